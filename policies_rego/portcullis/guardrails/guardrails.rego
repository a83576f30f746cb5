# METADATA
# title: What guardrails have in common
# description: >-
#   Which policies are judged, by which setting, and when addresses add up to everywhere (contract, section 4).
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
package portcullis.guardrails

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.kinds
import data.portcullis.roles

# METADATA
# description: >-
#   Says whether the request writes a policy into a namespace that a baseline applies to. The controller's own policies
#   are whatever the baseline says.
judged if {
	asked.writes
	input.request.kind.kind in {"NetworkPolicy", "CiliumNetworkPolicy"}
	kinds.covers("namespace policies", input.request.kind)
	not asked.status
	count(input.places.new.baselines) > 0
	not injected
	not released
}

# Kubernetes' own controllers take finalizers and owner references off whatever it says.
released if {
	actors.system(input.user)
	asked.releases
}

injected if {
	actors.controller(input.user)
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

readable if {
	count(input.reach.unreadable) == 0
	count(input.reach.unreadable_beside) == 0
}

# METADATA
# description: Says that a direction is known to open less than a quarter of the addresses, or has no effect.
narrow(direction) if {
	readable
	is_null(input.reach[direction])
}

narrow(direction) if {
	readable

	# What it opens alone is a part of what it opens together with others.
	input.reach[direction].joint_ipv4 < 0.25
	input.reach[direction].joint_ipv6 < 0.25
}

# METADATA
# description: Says that the update opens nothing in this direction that the old object did not open.
narrows(direction) if {
	input.request.operation == "UPDATE"
	readable
	input.reach[direction].widens == false
}

# METADATA
# description: >-
#   Says what opens everything, and the smallest change that would not. What stands in the namespace is told only to those
#   who see it.
why(direction, peer) := $"it cannot be read: {concat("; ", input.reach.unreadable)}" if {
	count(input.reach.unreadable) > 0
} else := $"it cannot be judged: {concat("; ", input.reach.unreadable_beside)}" if {
	count(input.reach.unreadable_beside) > 0
	roles.sees(input.places.new)
} else := "it cannot be judged beside the policies that stand there" if {
	count(input.reach.unreadable_beside) > 0
} else := $"{input.reach[direction].unbounded[0]} names no {peer}, which means every address ({hint(peer)})" if {
	count(input.reach[direction].unbounded) > 0
} else := $"its addresses add up to {covers(direction, "ipv4", "ipv6")} ({hint(peer)})" if {
	alone(direction)
} else := $"together with {concat(", ", array.slice(names, 0, 5))}, which can select the same pods, its addresses add up to {covers(direction, "joint_ipv4", "joint_ipv6")} ({hint(peer)})" if {
	roles.sees(input.places.new)
	names := input.reach[direction].joint_with
} else := $"together with policies that stand there its addresses add up to everywhere ({hint(peer)})" if {
	count(input.reach[direction].joint_with) > 0
} else := "what it opens is not known"

alone(direction) if input.reach[direction].ipv4 >= 0.25

alone(direction) if input.reach[direction].ipv6 >= 0.25

covers(direction, ipv4, ipv6) := $"{percent(input.reach[direction][ipv4])} % of all IPv4 addresses and {percent(input.reach[direction][ipv6])} % of 2000::/3"

# Rounded down, as the shares are: just under a quarter is never told as a quarter.
percent(share) := floor(share * 1000) / 10

hint(peer) := $"name each {peer} by podSelector, namespaceSelector or CIDRs of less than a quarter in all"
