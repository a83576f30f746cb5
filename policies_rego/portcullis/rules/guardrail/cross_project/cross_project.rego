# METADATA
# title: No policy leaves its project
# description: >-
#   Where the guardrail `crossProject` says Deny, no namespaceSelector of a policy can match a namespace of another project,
#   or one by a name that no namespace has yet. Namespaces of no project are the platform's, and pass. An update that
#   opens nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/#targeting-a-namespace-by-its-name
# custom:
#   kinds:
#     - NetworkPolicy.networking.k8s.io
#     - CiliumNetworkPolicy.cilium.io
#     - CiliumLocalRedirectPolicy.cilium.io
#     - NetworkPolicy.crd.projectcalico.org
#     - NetworkSet.crd.projectcalico.org
#     - NetworkPolicy.projectcalico.org
#     - NetworkSet.projectcalico.org
#     - Namespace
#   severity: high
#   guardrail: crossProject
#   default: Allow
#   remediation: Name namespaces or workspaces of your own project, or ask an OrgAdmin for the guardrail `crossProject`.
package portcullis.rules.guardrail.cross_project

import data.portcullis.guardrails

deny contains violation if {
	some [index, direction] in guardrails.opening
	not stays(index, direction)
	guardrails.setting(input.places.new, "crossProject", "Allow") != "Allow"
	violation := guardrails.violation(rego.metadata.chain(), index, direction, reason(index, direction))
}

stays(index, direction) if {
	guardrails.readable(index)
	count(input.reaches[index][direction].crossing) == 0
}

reason(index, direction) := guardrails.unknown(index) if {
	guardrails.unknown(index)
} else := $"{input.reaches[index][direction].crossing[0]} (name namespaces or workspaces of its own project)" if {
	input.reaches[index][direction].crossing[0]
} else := "whether it leaves its project is not known"
