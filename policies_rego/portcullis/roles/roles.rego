# METADATA
# title: Roles in the tenant tree
# description: Who holds which role where, by exact identity, and how that is told to whom (contract, sections 1 to 3).
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects
package portcullis.roles

# A role counts at its own level alone.
levels := {
	"Organization": {"OrgAdmin", "InfraAdmin", "OrgReader", "SystemWriter"},
	"Project": {"ProjectAdmin", "ProjectReader"},
	"Workspace": {"WorkspaceAdmin", "WorkspaceReader"},
}

# By the standing of a namespace, and by the kind of a tenant.
owners := {
	"owned": ["WorkspaceAdmin", "ProjectAdmin", "OrgAdmin"],
	"unowned": ["InfraAdmin", "OrgAdmin"],
	"reserved": ["InfraAdmin", "OrgAdmin"],
	"orphaned": ["OrgAdmin"],
	"unknown": [],
	"Workspace": ["ProjectAdmin", "OrgAdmin"],
	"Project": ["OrgAdmin"],
	"Organization": ["OrgAdmin"],
}

# METADATA
# description: >-
#   Every subject that the caller is, exactly and as the tree writes it: a ServiceAccount is its full name, and an empty
#   name is nobody whatever its groups. One set, for OPA runs one by its members at every look.
identities := {{"kind": "User", "name": input.user.name, "namespace": ""}} | (groups | accounts) if input.user.name != ""

groups := {{"kind": "Group", "name": group, "namespace": ""} | some group in input.user.groups}

accounts := {{"kind": "ServiceAccount", "name": name, "namespace": namespace} |
	["system", "serviceaccount", namespace, name] = split(input.user.name, ":")
}

# METADATA
# description: The roles that the caller holds, by tenant; found once, asked for often.
# entrypoint: true
held := {key: found |
	some key, tenant in input.tenants
	found := levels[tenant.kind] & {grant.role |
		some grant in tenant.roles
		identities[grant.subjects[_]]
	}
}

holds(key, role) if role in held[key]

# METADATA
# description: Says whether the user holds one of the roles at the place or above it.
holds_any(place, roles) if {
	some key in place.path
	some role in held[key]
	role in roles
}

owns(place) if holds_any(place, owners[place.standing])

# METADATA
# description: Says whether the user may give away roles at a tenant, which is to have a role above it.
may_grant(_) if holds($"Organization/{input.organization}", "OrgAdmin")

may_grant(key) if {
	tenant := input.tenants[key]
	tenant.kind == "Workspace"
	holds($"Project/{tenant.project}", "ProjectAdmin")
}

# METADATA
# description: Says whether the user holds any role, a reader's too, at the place or above it.
sees(place) if {
	some key in place.path
	count(held[key]) > 0
}

# METADATA
# description: How the place is told to the user; a stranger reads no name.
belongs(place) := "no such namespace is known" if {
	place.standing == "unknown"
} else := "the namespace belongs to no workspace" if {
	place.standing in {"unowned", "reserved"}
} else := $"the namespace belongs to workspace {place.workspace}, which does not exist or has no project" if {
	place.standing == "orphaned"
	sees(place)
} else := "the namespace belongs to a workspace that does not exist or has no project" if {
	place.standing == "orphaned"
} else := $"the namespace belongs to workspace {place.workspace}" if {
	sees(place)
} else := "the namespace belongs to another workspace"

# METADATA
# description: Who owns the place, with names and groups for those who see it.
owners_of(place) := "nobody, until the namespace exists" if {
	place.standing == "unknown"
} else := concat(", ", holders) if {
	sees(place)
	holders := [holder |
		some key in place.path
		some role in owners[place.standing]
		role in levels[input.tenants[key].kind]
		holder := $"{role} of {input.tenants[key].name}{named(input.tenants[key], role)}"
	]
} else := "an admin of that workspace, of its project or of the organization" if {
	place.standing == "owned"
} else := "an OrgAdmin of the organization" if {
	place.standing in {"orphaned", "Project", "Organization"}
} else := "a ProjectAdmin of its project or an OrgAdmin of the organization" if {
	place.standing == "Workspace"
} else := "an InfraAdmin or OrgAdmin of the organization"

named(tenant, role) := said(subjects(tenant, role))

said([]) := " (nobody yet)"

said(names) := $" ({concat(", ", array.slice(names, 0, 5))}{more(count(names) - 5)})" if count(names) > 0

more(rest) := $" and {rest} more" if {
	rest > 0
} else := ""

subjects(tenant, role) := [called(subject) |
	some grant in tenant.roles
	grant.role == role
	some subject in grant.subjects
]

called(subject) := $"ServiceAccount {subject.namespace}/{subject.name}" if {
	subject.kind == "ServiceAccount"
} else := $"{subject.kind} {subject.name}"
