# METADATA
# title: No policy says what the gate does not understand
# description: >-
#   Cilium's and Calico's kinds get the same guardrails where a field means the same as in a NetworkPolicy. A field that is
#   not understood could open anything, so it is refused in a namespace that a baseline applies to. An update that opens
#   nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://docs.cilium.io/en/stable/security/policy/language/
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/networkpolicy
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
#   guardrail: notUnderstood
#   default: Deny
#   remediation: Leave the field out, use a NetworkPolicy, or ask an OrgAdmin for the guardrail `notUnderstood`.
package portcullis.rules.guardrail.not_understood

import data.portcullis.guardrails

deny contains violation if {
	some index in guardrails.judged
	some what in input.reaches[index].not_understood
	guardrails.refuses("notUnderstood")
	reason := $"{what} is not understood, so it could open anything (leave it out, or use a NetworkPolicy)"
	violation := guardrails.violation(rego.metadata.chain(), index, "whole", reason)
}
