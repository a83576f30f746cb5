package portcullis.rules.guardrail.to_anywhere_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.to_anywhere

refused := {"rule": "guardrail/to-anywhere", "severity": "critical", "level": "enforce", "fixed": false}

following := object.union(refused, {"follows": "guardrail/malformed"})

warned := object.union(refused, {"level": "warn"})

wide := fixtures.opening(0.25, 0.1)

narrowing := fixtures.put(wide, "/widens", false)

creation(opening) := fixtures.opened(fixtures.reach(null, opening))

change(opening) := fixtures.reopened(fixtures.reach(null, opening))

test_allow_empty_document if to_anywhere.deny == set() with input as {}

test_allow_narrow_policy if {
	to_anywhere.deny == set() with input as creation(fixtures.narrow)
	to_anywhere.deny == set() with input as creation(null)
	to_anywhere.deny == set() with input as change(fixtures.narrow)
}

test_allow_other_direction if {
	to_anywhere.deny == set() with input as fixtures.put(creation(null), "/reaches/0/ingress", wide)
}

test_deny_wide_policy if {
	parts := ["ada may not create NetworkPolicy dev/web: its addresses add up to 25 %", "name each target by podSelector"]
	fixtures.denied(to_anywhere.deny, refused, parts) with input as creation(wide)
}

test_deny_wide_policy_of_an_org_admin if {
	fixtures.denied(to_anywhere.deny, refused, ["oz may not"]) with input as fixtures.put(creation(wide), "/user", fixtures.oz)
}

test_deny_unbounded if {
	parts := ["spec.x names no target, which means every address"]
	fixtures.denied(to_anywhere.deny, refused, parts) with input as creation(fixtures.put(fixtures.opening(1, 1), "/unbounded", ["spec.x"]))
}

test_deny_unreadable if {
	parts := ["it cannot be read: spec.y is no address"]
	fixtures.denied(to_anywhere.deny, following, parts) with input as fixtures.put(creation(null), "/reaches/0/unreadable", ["spec.y is no address"])
}

# What Python did not gather is not known to be narrow; the message may be vague, the denial not.
test_deny_without_reach if {
	[violation] = [each | some each in to_anywhere.deny] with input as fixtures.put(creation(null), "/reaches", [])
	object.remove(violation, {"message"}) == following
	startswith(violation.message, "ada may not create NetworkPolicy dev/web: ")
}

# A place is no set of violations: a function that is undefined stands for a reason that cannot be told.
test_deny_reason_that_is_undefined if {
	parts := ["ada may not create NetworkPolicy dev/web: what it opens is not known"]
	fixtures.denied(to_anywhere.deny, refused, parts) with input as creation(wide)
		with data.portcullis.guardrails.why as fixtures.denied
}

test_deny_update_that_widens if {
	fixtures.denied(to_anywhere.deny, refused, ["ada may not update NetworkPolicy dev/web: its addresses"]) with input as change(wide)
}

test_allow_update_that_opens_nothing_more_warns if {
	parts := ["ada may not update NetworkPolicy dev/web as it is, but it opens nothing more: its addresses add up to 25 %"]
	fixtures.denied(to_anywhere.deny, warned, parts) with input as change(narrowing)
}

test_deny_creation_is_no_narrowing if {
	fixtures.denied(to_anywhere.deny, refused, ["its addresses add up to 25 %"]) with input as creation(narrowing)
}

test_allow_narrow_update_is_silent if {
	to_anywhere.deny == set() with input as change(fixtures.put(fixtures.narrow, "/widens", false))
}

test_allow_by_the_guardrail_setting if {
	to_anywhere.deny == set() with input as fixtures.put(creation(wide), "/tenants/Project~1payments/guardrails", {"toAnywhere": "Allow"})
}

test_deny_by_another_setting if {
	every guardrails in [{"toAnywhere": "Deny"}, {"toAnywhere": "allow"}, {"toAnywhere": ""}, {"other": "Allow"}] {
		document := fixtures.put(creation(wide), "/tenants/Workspace~1checkout/guardrails", guardrails)
		fixtures.denied(to_anywhere.deny, refused, []) with input as document
	}
	elsewhere := fixtures.put(creation(wide), "/tenants/Workspace~1video/guardrails", {"toAnywhere": "Allow"})
	fixtures.denied(to_anywhere.deny, refused, []) with input as elsewhere
}

test_allow_where_no_baseline_applies if {
	to_anywhere.deny == set() with input as fixtures.put(creation(wide), "/places/new/baselines", [])
	to_anywhere.deny == set() with input as fixtures.put(change(narrowing), "/places/new/baselines", [])
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: its addresses add up to 25 %"]
	fixtures.denied(to_anywhere.deny, warned, parts) with input as fixtures.adopted(fixtures.reach(null, wide))
	to_anywhere.deny == set() with input as fixtures.adopted(fixtures.reach(null, fixtures.narrow))
}

test_deny_beside_what_is_not_understood if {
	document := fixtures.put(creation(fixtures.narrow), "/reaches/0/not_understood_beside", ["CiliumNetworkPolicy x: spec.y"])
	parts := ["what it adds up to is not known: CiliumNetworkPolicy x: spec.y is not understood"]
	fixtures.denied(to_anywhere.deny, refused, parts) with input as document
	hidden := ["what it adds up to is not known: a policy that stands there is not understood"]
	fixtures.denied(to_anywhere.deny, refused, hidden) with input as fixtures.put(document, "/user", fixtures.zed)
	to_anywhere.deny == set() with input as fixtures.put(document, "/tenants/Project~1payments/guardrails", {"notUnderstood": "Allow"})
}
