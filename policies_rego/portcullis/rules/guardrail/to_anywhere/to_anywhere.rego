# METADATA
# title: No policy lets pods out to everywhere
# description: >-
#   In a namespace that a baseline applies to, no policy opens egress to everywhere, alone or together with those that
#   stand there, for that would undo the default deny. Everywhere is a quarter or more of IPv4 or of 2000::/3. An update
#   that opens nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
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
#   severity: critical
#   guardrail: toAnywhere
#   default: Deny
#   remediation: Name each target by podSelector, namespaceSelector or a CIDR, or ask an OrgAdmin for the guardrail `toAnywhere`.
package portcullis.rules.guardrail.to_anywhere

import data.portcullis.guardrails

deny contains violation if {
	some [index, "egress"] in guardrails.opening
	not guardrails.narrow(index, "egress")
	guardrails.refuses("toAnywhere")
	violation := guardrails.violation(rego.metadata.chain(), index, "egress", reason(index))
}

reason(index) := said if {
	said := guardrails.why(index, "egress", "target")
} else := "what it opens is not known"
