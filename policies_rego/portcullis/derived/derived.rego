# METADATA
# title: The labels and the annotation that follow from the tree
# description: What a Namespace at a place carries; the mutation stamps it and a rule checks it (contract, section 1).
package portcullis.derived

workspace := "portcullis.dev/workspace"

project := "portcullis.dev/project"

organization := "portcullis.dev/organization"

gate := "portcullis.dev/gate"

baseline := "portcullis.dev/baseline"

keys := {project, organization, gate}

labels(place) := object.union(ownership(place), gating(place))

ownership(place) := {project: place.project, organization: place.organization} if {
	place.standing == "owned"
} else := {}

gating(place) := {gate: "enforced"} if {
	count(place.baselines) > 0
} else := {}

# METADATA
# description: The annotation of a new namespace; from then on the controller writes it.
pending(place) := {baseline: `{"reason":"the namespace is new: its baseline policies are not applied yet","revision":"","state":"Pending"}`} if {
	count(place.baselines) > 0
} else := {}

# METADATA
# description: Says whether the mutation or the controller, and nobody else, writes this label or annotation.
stamped("labels", key) if key in keys

stamped("annotations", key) if key == baseline
