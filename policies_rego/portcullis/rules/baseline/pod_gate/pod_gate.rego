# METADATA
# title: No pod before its baseline
# description: >-
#   In a namespace that a baseline applies to, a pod is created only once every policy of every such baseline stands there
#   as it has to; while a changed baseline rolls out the older one counts. What lacks is brought before the pod is judged,
#   so that it starts right after its namespace; what hinders that is told. Whoever creates it is asked. A namespace that
#   is exempt is left alone until the end of its exemption.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
# custom:
#   kinds: [Pod]
#   severity: critical
#   softened: partly
#   remediation: Wait a moment and try again; if it lasts, the annotation `portcullis.dev/baseline` of the namespace says why.
package portcullis.rules.baseline.pod_gate

import data.portcullis.asked
import data.portcullis.pods
import data.portcullis.result

# What cannot be decided is denied, and no setting softens that.
deny contains violation if {
	pods.created
	not pods.placed
	violation := result.fixed(rego.metadata.chain(), $"{asked.line}: {unplaced}")
}

deny contains violation if {
	shut
	not lacking
	message := $"{asked.line}: a baseline of its namespace cannot be in place: {reason}. Only an InfraAdmin or OrgAdmin mends that, in the NetworkBaseline or in what names it"
	violation := result.violation(rego.metadata.chain(), message)
}

# The controller is about to bring what lacks.
deny contains violation if {
	shut
	lacking
	not hindered
	message := $"{asked.line}: the baseline of its namespace is not in place yet: {listed(input.cover.lacking)}. Portcullis is bringing it: try again in a moment; if it lasts, the annotation portcullis.dev/baseline of the namespace says why"
	violation := result.waiting(rego.metadata.chain(), message)
}

# It was to be brought within this request.
deny contains violation if {
	shut
	lacking
	hindered
	passing
	message := $"{asked.line}: the baseline of its namespace is not in place yet: {listed(input.cover.lacking)}. Portcullis could not bring it just now: {listed(input.cover.hindered)}. Try again in a moment"
	violation := result.waiting(rego.metadata.chain(), message)
}

deny contains violation if {
	shut
	lacking
	hindered
	not passing
	message := $"{asked.line}: the baseline of its namespace is not in place: {listed(input.cover.lacking)}. Portcullis is kept from bringing it: {listed(input.cover.hindered)}. Have that mended, then try again: no pod starts without it"
	violation := result.violation(rego.metadata.chain(), message)
}

shut if {
	pods.created
	pods.placed
	pods.guarded
	not exempt
	not covered
}

# METADATA
# description: Until when it is was found out as of the request's time.
exempt if input.places.new.exempt != ""

covered if {
	count(input.cover.failed) == 0
	count(input.cover.lacking) == 0
}

# METADATA
# description: Says whether all that keeps the gate shut is what Portcullis brings.
lacking if {
	count(input.cover.failed) == 0
	count(input.cover.lacking) > 0
}

hindered if count(input.cover.hindered) > 0

# METADATA
# description: Says whether waiting helps against what hindered Portcullis.
passing if input.cover.passing

default reason := "what stands there is not known"

reason := listed(input.cover.failed) if count(input.cover.failed) > 0

listed(texts) := $"{concat("; ", array.slice(texts, 0, 5))}{more(count(texts) - 5)}"

more(rest) := $"; and {rest} more" if {
	rest > 0
} else := ""

default unplaced := "in which namespace it would be cannot be told from the object: it is not there, or the request names another one"

unplaced := $"version {input.request.kind.version} is not known here. Use a version that Portcullis knows, or update Portcullis" if {
	input.request.kind.version != "v1"
} else := $"no namespace {input.object.metadata.namespace} is known. Create it first" if {
	input.places.new.standing == "unknown"
}
