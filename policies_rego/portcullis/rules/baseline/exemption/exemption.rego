# METADATA
# title: An exemption is an InfraAdmin's, with a reason and an end
# description: >-
#   The label `portcullis.dev/exempt` and its two annotations on a Namespace are put on, changed and taken off by an
#   InfraAdmin or OrgAdmin alone, and what results is whole (the label "true", a reason, an end in the future and at most
#   30 days from the request) or wholly absent.
# related_resources:
#   - ref: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
# custom:
#   kinds: [Namespace]
#   severity: critical
#   softened: never
#   remediation: Ask an InfraAdmin for the exemption, with a reason and an end of at most 30 days from now.
package portcullis.rules.baseline.exemption

import data.portcullis.asked
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	changed
	not granted
	message := $"{asked.line}: the label portcullis.dev/exempt and its annotations are put on, changed and taken off by an InfraAdmin or OrgAdmin alone. Leave them as they are. Allowed: {owners}"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	changed
	granted
	not sound
	message := $"{asked.line}: {problem}. Or leave out the label portcullis.dev/exempt and both of its annotations"
	violation := result.fixed(rego.metadata.chain(), message)
}

parts := [
	["labels", "portcullis.dev/exempt"],
	["annotations", "portcullis.dev/exempt-reason"],
	["annotations", "portcullis.dev/exempt-until"],
]

changed if {
	kinds.covers.namespaces
	asked.writes
	asked_for(input.object) != asked_for(input.old_object)
}

asked_for(side) := {part: value |
	some part in parts
	value := side.metadata[part[0]][part[1]]
}

granted if {
	some role in ["InfraAdmin", "OrgAdmin"]
	roles.holds($"Organization/{input.organization}", role)
}

sound if input.exemption_problem == ""

default problem := "whether the exemption is whole is not known"

problem := input.exemption_problem

default owners := "an InfraAdmin or OrgAdmin of the organization"

owners := roles.owners_of({"path": input.places.new.path, "standing": "unowned"})
