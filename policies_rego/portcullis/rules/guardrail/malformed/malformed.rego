# METADATA
# title: No policy is read differently by different tools
# description: >-
#   What the API server refuses or should: a selector or an address that cannot be read, an `except` outside its block,
#   addresses with leading zeros, with bits beyond their prefix, or IPv4-mapped. Where the API server lets it in, or let
#   it in once, other guardrails count it as Go reads it. An update that opens nothing more than the old object passes with
#   a warning.
# related_resources:
#   - ref: https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/4858-ip-cidr-validation
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
#   remediation: Write the address or selector as the message says.
package portcullis.rules.guardrail.malformed

import data.portcullis.guardrails
import data.portcullis.result

deny contains violation if {
	some index in guardrails.judged
	guardrails.writes_policy
	not guardrails.readable(index)
	violation := result.violation(rego.metadata.chain(), $"{guardrails.line(index)}: {guardrails.unknown(index)}")
}

# One that stands already and cannot be read is told of as well.
deny contains violation if {
	some index in guardrails.judged
	not guardrails.writes_policy
	not guardrails.readable(index)
	violation := guardrails.violation(rego.metadata.chain(), index, "whole", guardrails.unknown(index))
}

deny contains violation if {
	some index in guardrails.judged
	some what in input.reaches[index].malformed
	violation := guardrails.violation(rego.metadata.chain(), index, "whole", what)
}
