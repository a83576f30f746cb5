# METADATA
# title: Injected policies are the controller's
# description: >-
#   A NetworkPolicy that carries the controller's labels, or has a dot in its name (reserved for `BASELINE.POLICY`), is
#   written and deleted by the controller alone. To change what is injected, change the NetworkBaseline.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
# custom:
#   kinds: [NetworkPolicy.networking.k8s.io]
#   severity: critical
#   softened: never
#   remediation: Change the NetworkBaseline, as an InfraAdmin or OrgAdmin, or give your own policy a name without a dot.
package portcullis.rules.baseline.managed_policy

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.derived
import data.portcullis.kinds
import data.portcullis.result

deny contains violation if {
	kinds.covers["network policies"]
	count(marks) > 0
	not allowed
	message := $"{asked.line}: it has {concat(" and ", sort(marks))}, and such policies are written by Portcullis alone. Change the NetworkBaseline (InfraAdmin, OrgAdmin), or leave that out of a policy of your own"
	violation := result.fixed(rego.metadata.chain(), message)
}

sides := [side.metadata | some side in [input.object, input.old_object]]

marks contains "the label app.kubernetes.io/managed-by: portcullis" if {
	some metadata in sides
	metadata.labels["app.kubernetes.io/managed-by"] == "portcullis"
}

marks contains $"the label {derived.baseline}" if {
	some metadata in sides
	derived.baseline in object.keys(metadata.labels)
}

marks contains "a dot in its name" if {
	some metadata in sides
	some name in [metadata.name, metadata.generateName]
	contains(name, ".")
}

allowed if actors.controller(input.user)

allowed if {
	actors.system(input.user)
	input.request.operation == "DELETE"
}

allowed if {
	actors.system(input.user)
	asked.releases
}
