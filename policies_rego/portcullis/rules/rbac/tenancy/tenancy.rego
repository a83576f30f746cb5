# METADATA
# title: The tree belongs to who stands above
# description: >-
#   A Workspace is changed by a ProjectAdmin of its project, a Project and the Organization by an OrgAdmin, and a move
#   needs both ends. Nobody gives a role to a ServiceAccount that somebody below could use or to everybody, widens a
#   guardrail unless an OrgAdmin, deletes what still owns something, or leaves the Organization without an OrgAdmin.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/security/rbac-good-practices/
#   - ref: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
# custom:
#   kinds: [Organization.portcullis.dev, Project.portcullis.dev, Workspace.portcullis.dev]
#   severity: critical
#   softened: never
#   remediation: Ask an admin of the level above for the change.
package portcullis.rules.rbac.tenancy

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.guardrails
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	covered
	not permitted
	not released
	violation := result.fixed(rego.metadata.chain(), $"{asked.line}: {reason}")
}

deny contains violation if {
	judged
	asked.ends
	input.tenancy.owns > 0
	message := $"{asked.line}: {input.tenancy.owns} {owned} still name it ({concat(", ", input.tenancy.owned)}{roles.more(input.tenancy.owns - count(input.tenancy.owned))}). Delete or move them first; what is ending counts until it is gone"
	violation := result.fixed(rego.metadata.chain(), message)
}

# Orphans of a former workspace: whoever takes the name would take them.
deny contains violation if {
	judged
	input.request.operation == "CREATE"
	kind == "Workspace"
	input.tenancy.owns > 0
	not org_admin
	message := $"{asked.line}: namespaces carry this name in their label already and would become the workspace's. Choose another name, or ask for it. Allowed: {admins}"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	count(lent) > 0
	message := $"{asked.line}: it would give {some_of(lent)}, in a namespace that is owned below: whoever runs pods there could take the role. Use an account of a namespace that nobody below owns"
	violation := result.fixed(rego.metadata.chain(), message)
}

# With a workspace its namespaces come to other owners, and with them who runs pods there.
deny contains violation if {
	judged
	moves
	some key in input.service_accounts
	not roles.may_grant(key)
	message := $"{asked.line}: in its namespaces live ServiceAccounts that the tree gives a role to, and whoever owns those has the role. Allowed: an OrgAdmin, or for a role in a workspace a ProjectAdmin of its project"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	count(given_away) > 0
	message := $"{asked.line}: it would give {some_of(given_away)}, which is everybody. Name a group of your own"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	count(widened) > 0
	message := $"{asked.line}: it would set {concat(", ", sort(widened))} to Allow, where Deny stands above it. Leave it out, or ask for it. Allowed: {admins}"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	kind == "Organization"
	not unchanged
	not administered
	message := $"{asked.line}: nobody would be OrgAdmin any more, and nobody could change that. Leave a subject that exists in the role OrgAdmin"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	asked.adopts
	message := $"{asked.line}: with an owner reference the garbage collector would delete it together with its owner. Leave metadata.ownerReferences as they are"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	some key in input.tenancy.missing
	violation := result.warning(rego.metadata.chain(), lacking(key))
}

covered if {
	kinds.covers.tenants
	not asked.status
}

# Who may not is told no more than that.
judged if {
	permitted
	not released
}

kind := input.request.kind.kind

# Whatever state we believe it in: what Kubernetes itself ends has to end.
released if {
	actors.system(input.user)
	input.request.operation == "DELETE"
}

released if {
	actors.system(input.user)
	asked.releases
}

permitted if {
	understood
	input.request.operation == "CREATE"
	kind != "Organization"
	roles.owns(after)
}

# Both are the same but for a move.
permitted if {
	understood
	input.request.operation == "UPDATE"
	roles.owns(before)
	roles.owns(after)
}

permitted if {
	understood
	input.request.operation == "DELETE"
	kind != "Organization"
	roles.owns(before)
}

understood if {
	addressed
	kinds.knows.tenants
	input.request.subresource == ""
	readable
}

# An object without a name is judged as nobody knows which.
addressed if {
	asked.consistent
	asked.identity.name != ""
}

readable if input.unreadable == ""

readable if unchanged

# What stands already may lose its finalizer, say.
unchanged if {
	input.request.operation == "UPDATE"
	input.object.spec == input.old_object.spec
}

moves if input.tenancy.new.project != input.tenancy.old.project

# METADATA
# description: >-
#   Where the tenant was: it counts itself, for whoever holds a role there sees its names. One that cannot be read has no
#   project, so it is an OrgAdmin's.
before := {"standing": kind, "path": array.concat([$"{kind}/{asked.identity.name}"], above(input.tenancy.old))}

# METADATA
# description: >-
#   Where it would be, without itself: a role in a workspace of this name says nothing about the project that the request
#   names. The Organization has nothing above it.
after := before if {
	kind == "Organization"
} else := {"standing": kind, "path": above(input.tenancy.new)}

above(tenant) := [$"Project/{tenant.project}", $"Organization/{input.organization}"] if {
	tenant.kind == "Workspace"
} else := [$"Organization/{input.organization}"] if {
	kind != "Organization"
} else := []

org_admin if roles.holds($"Organization/{input.organization}", "OrgAdmin")

# METADATA
# description: Who may what an OrgAdmin alone may, as told to who sees the tenant.
admins := roles.owners_of({"standing": "Organization", "path": after.path})

default owned := "namespaces"

owned := "workspaces" if kind == "Project"

# METADATA
# description: The roles that the request gives and that did not stand before.
granted := grants(input.tenancy.new) - grants(input.tenancy.old)

grants(tenant) := {[grant.role, subject] |
	some grant in tenant.roles
	some subject in grant.subjects
}

lent contains $"{role} to {roles.called(subject)}" if {
	some [role, subject] in granted
	path := input.tenancy.homes[home(subject)]
	$"{kind}/{asked.identity.name}" in array.slice(path, 1, count(path))
}

given_away contains $"{role} to {roles.called(subject)}" if {
	some [role, subject] in granted
	not endswith(role, "Reader")
	[subject.kind, subject.name] in everybody
}

everybody := {
	["Group", "system:authenticated"],
	["Group", "system:unauthenticated"],
	["Group", "system:serviceaccounts"],
	["User", "system:anonymous"],
}

# METADATA
# description: The namespace whose ServiceAccounts the subject is one or all of, empty where it is none.
home(subject) := subject.namespace if {
	subject.kind == "ServiceAccount"
} else := trim_prefix(subject.name, "system:serviceaccounts:") if {
	subject.kind == "Group"
	startswith(subject.name, "system:serviceaccounts:")
} else := ""

some_of(names) := $"{concat(", ", array.slice(sort(names), 0, 5))}{roles.more(count(names) - 5)}"

# What is Allow unless said otherwise stands last.
defaults := {
	"fromAnywhere": "Deny",
	"toAnywhere": "Deny",
	"allNamespaces": "Deny",
	"hostNetwork": "Deny",
	"notUnderstood": "Deny",
	"crossProject": "Allow",
}

widened contains key if {
	not org_admin
	some key, fallback in defaults
	input.tenancy.new.guardrails[key] == "Allow"
	guardrails.setting(after, key, fallback) != "Allow"
	not left(key)
}

# An OrgAdmin has set it, in this project.
left(key) if {
	input.request.operation == "UPDATE"
	not moves
	input.tenancy.old.guardrails[key] == "Allow"
}

administered if {
	some grant in input.tenancy.new.roles
	grant.role == "OrgAdmin"
	some subject in grant.subjects
	exists(subject)
}

# An account of a namespace that there is not is nobody.
exists(subject) if home(subject) == ""

exists(subject) if input.tenancy.homes[home(subject)]

default reason := "what it speaks of cannot be told from the object: it is not there or has no name, or the request names another one"

reason := $"version {input.request.kind.version} is not known here. Use a version that Portcullis knows, or update Portcullis" if {
	not kinds.knows.tenants
} else := $"it cannot be read: {input.unreadable}. Mend it, for it would count as not there" if {
	not readable
} else := $"{input.request.subresource} is no part of it that is known here" if {
	input.request.subresource != ""
} else := refusal if {
	addressed
	is_object(input.tenancy)
}

refusal := "a cluster belongs to one Organization, and there is one. Allowed: break-glass alone" if {
	kind == "Organization"
	input.request.operation == "CREATE"
} else := "everything in the tree belongs to it. Allowed: break-glass alone" if {
	kind == "Organization"
	input.request.operation == "DELETE"
} else := $"it belongs to the organization. Allowed: {roles.owners_of(place)}" if {
	kind != "Workspace"
} else := $"it says that it belongs to project {input.tenancy.new.project}. Allowed: {roles.owners_of(place)}" if {
	input.request.operation == "CREATE"
} else := $"it would move the workspace to project {input.tenancy.new.project}, and it belongs to {project(before, input.tenancy.old)}. Allowed: who owns both, which are {roles.owners_of(before)}; and {roles.owners_of(after)}" if {
	moves
} else := $"it belongs to {project(before, input.tenancy.old)}. Allowed: {roles.owners_of(place)}"

# METADATA
# description: Where the tenant stands; what is created stands nowhere yet.
place := after if {
	input.request.operation == "CREATE"
} else := before

project(at, tenant) := $"project {tenant.project}" if {
	roles.sees(at)
	tenant.project != ""
} else := "another project"

lacking(key) := $"there is no {kind_of(key)} yet: until there is, the namespaces of the workspace are an OrgAdmin's alone" if {
	startswith(key, "Project/")
} else := $"there is no {kind_of(key)} yet: until there is, no pod starts in the namespaces that are to get it"

kind_of(key) := concat(" ", split(key, "/"))
