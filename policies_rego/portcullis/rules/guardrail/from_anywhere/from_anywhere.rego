# METADATA
# title: No policy lets everybody in
# description: >-
#   In a namespace that a baseline applies to, no policy opens ingress from everywhere, alone or together with those that
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
#   guardrail: fromAnywhere
#   default: Deny
#   remediation: Name each source by podSelector, namespaceSelector or a CIDR, or ask an OrgAdmin for the guardrail `fromAnywhere`.
package portcullis.rules.guardrail.from_anywhere

import data.portcullis.guardrails

deny contains violation if {
	some [index, "ingress"] in guardrails.opening
	not guardrails.narrow(index, "ingress")
	guardrails.refuses("fromAnywhere")
	violation := guardrails.violation(rego.metadata.chain(), index, "ingress", reason(index))
}

reason(index) := said if {
	said := guardrails.why(index, "ingress", "source")
} else := "what it opens is not known"
