# METADATA
# title: A namespace belongs to its workspace
# description: >-
#   Its owners create, change and delete it; a move needs ownership of both ends, adopting and releasing need an OrgAdmin,
#   and where a ServiceAccount lives that the tree gives a role to, only who may grant that role. An InfraAdmin changes
#   labels and annotations outside `portcullis.dev/` and the exemption. Finalizing is the namespace controller's.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
# custom:
#   kinds: [Namespace]
#   severity: critical
#   softened: partly
#   remediation: Ask an owner of the namespace; a workspace's label says which workspace that is.
package portcullis.rules.rbac.namespace

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.derived
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	covered
	not allowed
	not relabelled
	violation := result.violation(rego.metadata.chain(), $"{asked.line}: {reason}")
}

# Whose a namespace is, is never softened.
deny contains violation if {
	covered
	not allowed
	relabelled
	violation := result.fixed(rego.metadata.chain(), $"{asked.line}: {reason}")
}

deny contains violation if {
	covered
	arrives
	not actors.system(input.user)
	some key in input.service_accounts
	not roles.may_grant(key)
	message := $"{asked.line}: the tree gives a role to a ServiceAccount of a namespace of this name, so only who may grant that role may. Allowed: an OrgAdmin, or for a role in a workspace a ProjectAdmin of its project"
	violation := result.fixed(rego.metadata.chain(), message)
}

covered if kinds.covers.namespaces

new := input.places.new

old := input.places.old

relabelled if before != after

default before := ""

before := old.workspace

default after := ""

after := new.workspace if asked.writes

after := before if input.request.operation == "DELETE"

arrives if input.request.operation == "CREATE"

# A label on a reserved namespace means nothing, so with another it comes from nobody and to nobody.
arrives if {
	input.request.operation == "UPDATE"
	relabelled
	new.standing != "reserved"
}

# A namespace without a name could be one of Kubernetes' own, or where an account lives.
understood if {
	asked.consistent
	asked.identity.name != ""
	kinds.knows.namespaces
	input.request.subresource in {"", "status"}
}

allowed if {
	understood
	input.request.operation == "CREATE"
	new.standing in {"owned", "unowned"}
	roles.owns(new)
}

# Kubernetes' own and ours belong to nobody: no label makes them somebody's.
allowed if {
	understood
	input.request.operation == "CREATE"
	new.standing == "reserved"
	after == ""
	roles.owns(new)
}

allowed if {
	understood
	input.request.operation == "DELETE"
	roles.owns(old)
}

allowed if {
	stays
	roles.owns(new)
}

allowed if {
	stays
	new.standing == "owned"
	roles.holds_any(new, ["InfraAdmin"])
	beside_ownership
}

# A move: both ends. Adopting is moving from what nobody but an OrgAdmin gives away.
allowed if {
	moves
	new.standing == "owned"
	before != ""
	roles.owns(old)
	roles.owns(new)
}

allowed if {
	moves
	new.standing in {"owned", "unowned"}
	roles.holds_any(new, ["OrgAdmin"])
}

# A label on a reserved namespace means nothing, so whoever may change the namespace may take it off.
allowed if {
	moves
	new.standing == "reserved"
	after == ""
	roles.owns(new)
}

allowed if {
	understood
	actors.system_writer(input.organization)
	asked.same(claims(input.object), claims(input.old_object))
}

allowed if {
	understood
	actors.system_writer(input.organization)
	input.request.operation == "DELETE"
}

allowed if {
	stays
	actors.controller(input.user)
	only_derived
}

# Whatever state we believe the namespace in: it has to end, and Kubernetes' own have to be there.
allowed if {
	actors.system(input.user)
	input.request.operation == "DELETE"
}

allowed if {
	actors.system(input.user)
	input.request.subresource in {"status", "finalize"}
	input.request.operation == "UPDATE"
	asked.same(input.object.metadata.labels, input.old_object.metadata.labels)
	asked.same(input.object.metadata.annotations, input.old_object.metadata.annotations)
}

allowed if {
	actors.system(input.user)
	asked.releases
}

allowed if {
	actors.system(input.user)
	input.request.operation == "CREATE"
	input.object.metadata.name in {"default", "kube-system", "kube-public", "kube-node-lease"}
	after == ""
}

updates if {
	understood
	input.request.operation == "UPDATE"
}

stays if {
	updates
	not relabelled
}

moves if {
	updates
	relabelled
}

# METADATA
# description: Says that nothing changes but labels and annotations that are not ours, and the exemption.
beside_ownership if {
	asked.same_beside
	asked.same_metadata(input.object.metadata, input.old_object.metadata, {"labels", "annotations"})
	asked.same(unexempt(claims(input.object)), unexempt(claims(input.old_object)))
}

unexempt(keys) := object.remove(keys, {
	["labels", "portcullis.dev/exempt"],
	["annotations", "portcullis.dev/exempt-reason"],
	["annotations", "portcullis.dev/exempt-until"],
})

# METADATA
# description: >-
#   The labels and annotations of ours on one side, none where there is no object; without the derived ones, which the
#   mutation stamps for everybody and baseline/namespace-labels checks.
claims(side) := {[kind, key]: value |
	some kind in ["labels", "annotations"]
	some key, value in side.metadata[kind]
	startswith(key, "portcullis.dev/")
	not derived.stamped(kind, key)
}

only_derived if {
	asked.same_beside
	new_metadata := input.object.metadata
	old_metadata := input.old_object.metadata
	asked.same_metadata(new_metadata, old_metadata, {"labels", "annotations"})
	asked.same(asked.without_keys(new_metadata.labels, derived.keys), asked.without_keys(old_metadata.labels, derived.keys))
	asked.same(asked.without_keys(new_metadata.annotations, {derived.baseline}), asked.without_keys(old_metadata.annotations, {derived.baseline}))
}

default reason := "what it speaks of cannot be told from the object: it is not there, or the request names another one"

reason := $"version {input.request.kind.version} is not known here. Use a version that Portcullis knows, or update Portcullis" if {
	not kinds.knows.namespaces
} else := $"{input.request.subresource} of a namespace is written by Kubernetes' namespace controller alone" if {
	not input.request.subresource in {"", "status"}
} else := "it has no name yet, and by its name it could be one of Kubernetes' own, or where an account of the tree lives. Name it" if {
	asked.identity.name == ""
} else := several if {
	count(administered) > 1
	new.standing == "unowned"
} else := "Kubernetes' own namespaces and Portcullis' belong to no workspace. Leave the label portcullis.dev/workspace out" if {
	new.standing == "reserved"
	after != ""
} else := $"there is no workspace {after} with a project. Name one that exists in the label portcullis.dev/workspace, or have a ProjectAdmin create it" if {
	new.standing == "orphaned"
	relabelled
} else := $"{arrival}. Allowed: {roles.owners_of(new)}" if {
	input.request.operation == "CREATE"
} else := $"it would move the namespace to {destination}, and {roles.belongs(old)}. Allowed: who owns both, which are {roles.owners_of(old)}; and {roles.owners_of(new)}" if {
	moves
	new.standing == "owned"
	old.standing == "owned"
} else := $"only an OrgAdmin takes a namespace into a workspace or out of it. Allowed: {roles.owners_of(platform)}" if {
	moves
} else := $"{roles.belongs(old)}. Allowed: {roles.owners_of(old)}" if {
	asked.consistent
}

# The request holds the name, so it may be said to whoever sent it.
default arrival := "a namespace without the label portcullis.dev/workspace belongs to no workspace"

arrival := $"the label says that it belongs to workspace {after}" if after != ""

destination := $"workspace {after}"

platform := {"path": [$"Organization/{input.organization}"], "standing": "orphaned"}

administered := [place.workspace |
	some place in input.places.administered
	roles.holds($"Workspace/{place.workspace}", "WorkspaceAdmin")
]

several := $"you are WorkspaceAdmin of {concat(", ", administered)}. Say which of them owns it by the label portcullis.dev/workspace, for example portcullis.dev/workspace: {administered[0]}"
