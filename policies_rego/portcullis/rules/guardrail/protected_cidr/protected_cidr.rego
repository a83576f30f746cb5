# METADATA
# title: No policy leads into a protected range
# description: >-
#   In a namespace that a baseline applies to, no egress reaches a protected range, in part or whole, unless it is
#   excepted. Those of all levels add up; the metadata services of clouds are protected unless the Organization says
#   otherwise. An update that opens nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource
#   - ref: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
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
#   guardrail: protectedCIDRs
#   default: [169.254.169.254/32, fd00:ec2::254/128]
#   remediation: Put the range into `except`, or ask an OrgAdmin for the guardrail `protectedCIDRs`.
package portcullis.rules.guardrail.protected_cidr

import data.portcullis.guardrails

deny contains violation if {
	some [index, "egress"] in guardrails.opening
	spared := {cidr |
		guardrails.readable(index)
		some cidr, "" in input.reaches[index].egress.protected
	}
	some cidr in (protected - spared)
	violation := guardrails.violation(rego.metadata.chain(), index, "egress", reason(index, cidr))
}

# What the Organization says takes the place of the defaults; all others add to it.
protected contains cidr if {
	some cidr in object.get(input.tenants[organization].guardrails, "protectedCIDRs", defaults)
}

protected contains cidr if {
	some tenant in input.places.new.path
	some cidr in input.tenants[tenant].guardrails.protectedCIDRs
}

organization := $"Organization/{input.organization}"

defaults := ["169.254.169.254/32", "fd00:ec2::254/128"]

reason(index, cidr) := guardrails.unknown(index) if {
	guardrails.unknown(index)
} else := $"{input.reaches[index].egress.protected[cidr]} leads into {cidr}, which is protected (put it into `except`)" if {
	input.reaches[index].egress.protected[cidr]
} else := $"whether it leads into {cidr}, which is protected, is not known"
