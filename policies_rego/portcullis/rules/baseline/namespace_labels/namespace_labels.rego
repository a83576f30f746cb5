# METADATA
# title: Derived labels agree with the tree
# description: >-
#   A Namespace carries the labels that follow from its workspace and the baselines that apply to it, none missing, none
#   wrong, none left over, and the state that the controller wrote. The mutation stamps them; this rule finds who got
#   around it. The labels by which a baseline selects it are taken off by an InfraAdmin or OrgAdmin alone.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
# custom:
#   kinds: [Namespace]
#   severity: critical
#   softened: never
#   remediation: Leave the labels and the annotation of `portcullis.dev/` out; they are filled in.
package portcullis.rules.baseline.namespace_labels

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.derived
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	judged
	changed
	not input.places.new.standing
	message := $"{asked.line}: which labels it has to carry is not known"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	changed
	some key in derived.keys
	not agrees(key)
	message := $"{asked.line}: the label {key} is {said(key)} and has to be {wanted(key)}. Leave it out, it is filled in"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	judged
	not state_kept
	message := $"{asked.line}: the annotation {derived.baseline} is written by Portcullis alone. Leave it as it is, or out"
	violation := result.fixed(rego.metadata.chain(), message)
}

# A label of anybody's may select a baseline: with the label its default deny, the guardrails and the pod gate would go.
deny contains violation if {
	judged
	input.request.operation == "UPDATE"
	count(escaped) > 0
	not platform
	message := $"{asked.line}: with these labels NetworkBaseline {concat(", ", sort(escaped))} would not apply to it any more. Leave the labels that its namespaceSelector asks for as they are. Allowed: an InfraAdmin or OrgAdmin of the organization"
	violation := result.fixed(rego.metadata.chain(), message)
}

# METADATA
# description: The baselines that go with a label that changes; those that go with the workspace are its owners' affair.
escaped := {name | some name in input.places.old.baselines} - {name | some name in input.places.kept.baselines}

platform if {
	some role in ["InfraAdmin", "OrgAdmin"]
	roles.holds($"Organization/{input.organization}", role)
}

judged if {
	kinds.covers.namespaces
	asked.writes
	not actors.system(input.user)
}

changed if input.request.operation == "CREATE"

changed if {
	some key in (derived.keys | {derived.workspace})
	label(input.object, key) != label(input.old_object, key)
}

# A label of anybody's may select a baseline.
changed if derived.labels(input.places.old) != derived.labels(input.places.new)

# An absent label is no string: told apart from one that is empty.
label(side, key) := side.metadata.labels[key]

label(side, key) := null if not side.metadata.labels[key]

agrees(key) if label(input.object, key) == object.get(derived.labels(input.places.new), key, null)

said(key) := $"'{label(input.object, key)}'" if {
	label(input.object, key) != null
} else := "missing"

# What a workspace's project is called is told only to those who see it.
wanted(key) := "absent" if {
	not derived.labels(input.places.new)[key]
} else := $"'{derived.labels(input.places.new)[key]}'" if {
	roles.sees(input.places.new)
} else := "what follows from its workspace"

state_kept if not state(input.object)

state_kept if state(input.object) == state(input.old_object)

state_kept if {
	input.request.operation == "CREATE"
	state(input.object) == derived.pending(input.places.new)[derived.baseline]
}

state_kept if actors.controller(input.user)

state(side) := side.metadata.annotations[derived.baseline]
