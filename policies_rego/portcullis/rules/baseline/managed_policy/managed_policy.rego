# METADATA
# title: Injected policies are the controller's
# description: >-
#   A NetworkPolicy that carries the controller's labels, or has a dot in its name (reserved for `BASELINE.POLICY`), is
#   written and deleted by the controller alone. To change what is injected, change the NetworkBaseline.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
# custom:
#   severity: critical
#   remediation: Change the NetworkBaseline, as an InfraAdmin or OrgAdmin, or give your own policy a name without a dot.
package portcullis.rules.baseline.managed_policy

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.derived
import data.portcullis.kinds
import data.portcullis.result

deny contains violation if {
	kinds.covers({"networking.k8s.io": {"NetworkPolicy": set()}}, input.request.kind)
	some side in [input.object, input.old_object]
	some mark in marks(side.metadata)
	not allowed
	message := $"{asked.line}: {mark}, and such policies are written by Portcullis alone. Change the NetworkBaseline (InfraAdmin, OrgAdmin), or leave the mark out of a policy of your own"
	violation := result.fixed(rego.metadata.chain(), message)
}

marks(metadata) := ({"it has the label app.kubernetes.io/managed-by: portcullis" |
	metadata.labels["app.kubernetes.io/managed-by"] == "portcullis"
} | {$"it has the label {derived.baseline}" |
	derived.baseline in object.keys(metadata.labels)
}) | {"it has a dot in its name" |
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
