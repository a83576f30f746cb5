# METADATA
# title: No policy opens to all namespaces
# description: >-
#   In a namespace that a baseline applies to, a namespaceSelector names what it selects: by `kubernetes.io/metadata.name`,
#   `portcullis.dev/workspace` or `portcullis.dev/project` in matchLabels or with `In`. Whatever else it says, anybody who
#   creates a namespace could come in by it. An update that opens nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors
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
#   guardrail: allNamespaces
#   default: Deny
#   remediation: Add one of these labels to the selector, or ask an OrgAdmin for the guardrail `allNamespaces`.
package portcullis.rules.guardrail.all_namespaces

import data.portcullis.guardrails

deny contains violation if {
	some [index, direction] in guardrails.opening
	not bounded(index, direction)
	guardrails.refuses("allNamespaces")
	violation := guardrails.violation(rego.metadata.chain(), index, direction, reason(index, direction))
}

bounded(index, direction) if {
	guardrails.readable(index)
	count(input.reaches[index][direction].open_namespaces) == 0
}

reason(index, direction) := guardrails.unknown(index) if {
	guardrails.unknown(index)
} else := $"{input.reaches[index][direction].open_namespaces[0]} is not bounded to namespaces that it names (add kubernetes.io/metadata.name, portcullis.dev/workspace or portcullis.dev/project to its matchLabels)" if {
	input.reaches[index][direction].open_namespaces[0]
} else := "which namespaces it opens to is not known"
