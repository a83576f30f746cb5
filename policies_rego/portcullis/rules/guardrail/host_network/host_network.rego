# METADATA
# title: No pod on the network of its node
# description: >-
#   In a namespace that a baseline applies to, exempt or not, no pod has `hostNetwork: true`, whoever creates it: the
#   behaviour of a NetworkPolicy on such a pod is undefined, and most networks let all of its traffic pass.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-and-hostnetwork-pods
# custom:
#   kinds: [Pod]
#   severity: high
#   guardrail: hostNetwork
#   default: Deny
#   remediation: Leave `hostNetwork` out, or ask an OrgAdmin for the guardrail `hostNetwork`.
package portcullis.rules.guardrail.host_network

import data.portcullis.asked
import data.portcullis.guardrails
import data.portcullis.pods
import data.portcullis.result

deny contains violation if {
	pods.created
	pods.guarded
	on_the_host
	guardrails.setting(input.places.new, "hostNetwork", "Deny") != "Allow"
	message := $"{asked.line}: it has spec.hostNetwork, and no NetworkPolicy binds a pod on the network of its node. Leave hostNetwork out, or ask an OrgAdmin to set the guardrail hostNetwork: Allow"
	violation := result.violation(rego.metadata.chain(), message)
}

# What the API server takes for false is absent, null or false.
on_the_host if {
	asked_for := input.object.spec.hostNetwork
	not asked_for in [false, null]
}
