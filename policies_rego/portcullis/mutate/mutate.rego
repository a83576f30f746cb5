# METADATA
# title: What a Namespace is stamped with
# description: >-
#   Fills in who owns a new namespace, keeps that when an update leaves it out, and puts the derived labels and the
#   baseline annotation as they have to be. Says which labels and annotations change, null for one that goes; the webhook
#   makes the JSON patch of it.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#mutatingadmissionwebhook
package portcullis.mutate

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.derived
import data.portcullis.kinds
import data.portcullis.roles
import data.portcullis.shipped

# METADATA
# entrypoint: true
decision := {
	"revision": shipped.revision,
	"rules": [["mutate", "namespace"]],
	"undecided": undecided,
	"changes": sort(changes),
} if {
	input.request.operation
	input.request.kind.kind
	is_string(input.user.name)
}

default undecided := ""

# Break-glass passes while the tree is not loaded; nothing is known then that could be stamped.
undecided := "the tenant tree is not loaded" if {
	not input.tree
	not actors.break_glass(input.user, input.break_glass_groups)
}

# Not what Kubernetes' own controllers write: they may end a namespace, and validation lets them change no label.
stamps if {
	kinds.covers.namespaces
	asked.writes
	not actors.system(input.user)
	input.tree
	input.object.metadata
}

changes contains {"on": kind, "key": key, "value": value} if {
	stamps
	some kind, keys in wanted
	some key, value in keys
	not kept(kind, key, value)
}

kept(kind, key, value) if input.object.metadata[kind][key] == value

kept(kind, key, null) if not key in object.keys(input.object.metadata[kind])

wanted.labels[key] := object.get(labels, key, null) if some key in (derived.keys | {derived.workspace})

wanted.annotations[derived.baseline] := state

labels := object.union(derived.labels(place), ownership)

default ownership := {}

ownership := {derived.workspace: place.workspace} if place.workspace != ""

# METADATA
# description: Where the namespace will stand.
place := filled if {
	input.request.operation == "CREATE"
	input.places.new.workspace == ""
	input.places.new.standing != "reserved"
} else := input.places.kept if {
	input.request.operation == "UPDATE"
	input.places.new.workspace == ""
	input.places.old.workspace != ""
	input.places.new.standing != "reserved"
	not releases
} else := input.places.new

# METADATA
# description: The one workspace that the caller administers, if they hold nothing higher anywhere.
filled := administered[0] if {
	count(administered) == 1
	not higher
}

administered := [each |
	some each in input.places.administered
	each.standing == "owned"
	roles.holds($"Workspace/{each.workspace}", "WorkspaceAdmin")
]

higher if {
	some key, _ in input.tenants
	some role in ["ProjectAdmin", "InfraAdmin", "OrgAdmin", "SystemWriter"]
	roles.holds(key, role)
}

releases if roles.holds($"Organization/{input.organization}", "OrgAdmin")

releases if actors.break_glass(input.user, input.break_glass_groups)

state := object.get(derived.pending(place), derived.baseline, null) if {
	input.request.operation == "CREATE"
} else := object.get(input.object.metadata.annotations, derived.baseline, null) if {
	actors.controller(input.user)
} else := object.get(input.old_object.metadata.annotations, derived.baseline, null)
