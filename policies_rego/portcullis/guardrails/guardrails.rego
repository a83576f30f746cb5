# METADATA
# title: What guardrails have in common
# description: >-
#   Which policies are judged, by which setting, when what they open is known, and how a violation is told (contract,
#   section 4). A policy goes by its place in `input.reaches`: OPA hashes the arguments of a function at every call.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
package portcullis.guardrails

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

# METADATA
# description: >-
#   The policies that the request puts in force where a baseline applies, by their place: the one that it writes, whether
#   or not anything is known of it, or those that stand in a namespace which gets another owner or its first baseline.
#   The controller's own policies are whatever the baseline says.
judged contains 0 if {
	writes_policy
	count(input.places.new.baselines) > 0
	not injected
	not released
}

judged contains index if {
	kinds.covers.namespaces
	asked.writes
	sees_both
	some index, _ in input.reaches
}

# METADATA
# description: >-
#   What they open, by their place and direction: all but what is known to be without effect. Found once for all rules.
opening := {[index, direction] |
	some index in judged
	some direction in ["ingress", "egress"]
	not idle(index, direction)
}

# What stands in a namespace is told to nobody who does not see whose it was and would be.
sees_both if {
	input.request.operation == "CREATE"
	roles.sees(input.places.new)
}

sees_both if {
	roles.sees(input.places.old)
	roles.sees(input.places.new)
}

writes_policy if {
	kinds.covers["namespace policies"]
	asked.writes
	not asked.status
}

# Kubernetes' own controllers take finalizers and owner references off whatever it says.
released if {
	actors.system(input.user)
	asked.releases
}

injected if {
	actors.controller(input.user)
	kinds.covers["network policies"]
	contains(input.object.metadata.name, ".")
}

# METADATA
# description: The setting nearest to the namespace counts.
setting(place, key, fallback) := array.concat(
	[value |
		some tenant in place.path
		value := input.tenants[tenant].guardrails[key]
	],
	[fallback],
)[0]

# METADATA
# description: Says that a setting of the place under review is left at refusing, which what is not known to be allowed is.
refuses(key) if setting(input.places.new, key, "Deny") != "Allow"

# METADATA
# description: The policies that could be read, and with them what stands beside them.
readable := {index |
	some index, reach in input.reaches
	count(reach.unreadable) == 0
	count(reach.unreadable_beside) == 0
}

# METADATA
# description: Says that a policy adds up with what stands beside it in ways that are known, or need not be.
adds_up(index) if count(input.reaches[index].not_understood_beside) == 0

adds_up(_) if not refuses("notUnderstood")

# METADATA
# description: Says that a direction of a readable policy is without effect.
idle(index, direction) if {
	readable[index]
	is_null(input.reaches[index][direction])
}

# METADATA
# description: Says that a direction is known to open less than a quarter of the addresses, or has no effect.
narrow(index, direction) if idle(index, direction)

narrow(index, direction) if {
	readable[index]
	adds_up(index)

	# What it opens alone is a part of what it opens together with others.
	input.reaches[index][direction].joint_ipv4 < 0.25
	input.reaches[index][direction].joint_ipv6 < 0.25
}

# METADATA
# description: Says that the update opens nothing in a direction, or in the "whole", that the old object did not open.
narrows(index, direction) if {
	input.request.operation == "UPDATE"
	writes_policy
	kept(index, direction)
}

narrows(index, "whole") if {
	input.request.operation == "UPDATE"
	writes_policy
	every direction in ["ingress", "egress"] { kept(index, direction) }
	input.reaches[index].malformed_before
	input.reaches[index].not_understood_before
}

kept(index, direction) if idle(index, direction)

kept(index, direction) if {
	readable[index]
	input.reaches[index][direction].widens == false
}

# METADATA
# description: >-
#   The violation of a rule by what a policy opens in a direction, or as a whole: a warning where an update opens nothing more, and of a
#   policy that stands already. That one cannot be read is told by another rule, unless that one is softened.
violation(chain, index, direction, reason) := result.following(chain, $"{line(index)}: {reason}", "guardrail/malformed") if {
	writes_policy
	not readable[index]
} else := result.warning(chain, $"{line(index)} as it is, but it opens nothing more: {reason}") if {
	narrows(index, direction)
} else := result.violation(chain, $"{line(index)}: {reason}") if {
	writes_policy
} else := result.warning(chain, $"{line(index)} would be refused today: {reason}")

line(index) := $"{input.reaches[index].policy}, which stands in namespace {asked.name}," if {
	kinds.covers.namespaces
} else := asked.line

# METADATA
# description: >-
#   Says why a policy is not judged, if it is not. What stands in the namespace is told only to those who see it.
unknown(index) := $"it cannot be read: {concat("; ", input.reaches[index].unreadable)}" if {
	count(input.reaches[index].unreadable) > 0
} else := $"it cannot be judged: {concat("; ", input.reaches[index].unreadable_beside)}" if {
	count(input.reaches[index].unreadable_beside) > 0
	roles.sees(input.places.new)
} else := "it cannot be judged beside the policies that stand there" if {
	count(input.reaches[index].unreadable_beside) > 0
} else := "what it opens is not known" if {
	not readable[index]
}

# METADATA
# description: Says what opens everything, and the smallest change that would not.
why(index, direction, peer) := unknown(index) if {
	unknown(index)
} else := $"{input.reaches[index][direction].unbounded[0]} names no {peer}, which means every address ({hint(peer)})" if {
	count(input.reaches[index][direction].unbounded) > 0
} else := $"its addresses add up to {covers(index, direction, "ipv4", "ipv6")} ({hint(peer)})" if {
	alone(index, direction)
} else := beside(index) if {
	not adds_up(index)
} else := $"together with {concat(", ", array.slice(names, 0, 5))}, which can select the same pods, its addresses add up to {covers(index, direction, "joint_ipv4", "joint_ipv6")} ({hint(peer)})" if {
	roles.sees(input.places.new)
	names := input.reaches[index][direction].joint_with
} else := $"together with policies that stand there its addresses add up to everywhere ({hint(peer)})" if {
	count(input.reaches[index][direction].joint_with) > 0
} else := "what it opens is not known"

beside(index) := $"what it adds up to is not known: {concat("; ", input.reaches[index].not_understood_beside)} is not understood" if {
	roles.sees(input.places.new)
} else := "what it adds up to is not known: a policy that stands there is not understood"

alone(index, direction) if input.reaches[index][direction].ipv4 >= 0.25

alone(index, direction) if input.reaches[index][direction].ipv6 >= 0.25

covers(index, direction, ipv4, ipv6) := $"{percent(input.reaches[index][direction][ipv4])} % of all IPv4 addresses and {percent(input.reaches[index][direction][ipv6])} % of 2000::/3"

# Rounded down, as the shares are: just under a quarter is never told as a quarter. A thousandth of 0.504 is 503.99… in
# OPA's arithmetic, which is binary, and 504 in that of its WASM: the last summand, less than a share differs from the
# next by, puts both above it.
percent(share) := floor((share * 1000) + 0.000000000000001) / 10

hint(peer) := $"name each {peer} by podSelector, namespaceSelector or CIDRs of less than a quarter in all"
