# METADATA
# title: No policy lets everybody in
# description: >-
#   In a namespace that a baseline applies to, no policy opens ingress from everywhere, alone or together with those that
#   stand there, for that would undo the default deny. Everywhere is a quarter or more of IPv4 or of 2000::/3. An update
#   that opens nothing more than the old object passes with a warning.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
# custom:
#   severity: critical
#   guardrail: fromAnywhere
#   default: Deny
#   remediation: Name each source by podSelector, namespaceSelector or a CIDR, or ask an OrgAdmin for the guardrail `fromAnywhere`.
package portcullis.rules.guardrail.from_anywhere

import data.portcullis.asked
import data.portcullis.guardrails
import data.portcullis.result

deny contains violation if {
	wide
	not guardrails.narrows("ingress")
	violation := result.violation(rego.metadata.chain(), $"{asked.line}: {reason}")
}

deny contains violation if {
	wide
	guardrails.narrows("ingress")
	violation := result.warning(rego.metadata.chain(), $"{asked.line} as it is, but it opens nothing more: {reason}")
}

wide if {
	guardrails.judged
	not guardrails.narrow("ingress")
	guardrails.setting(input.places.new, "fromAnywhere", "Deny") != "Allow"
}

default reason := "what it opens is not known"

reason := guardrails.why("ingress", "source")
