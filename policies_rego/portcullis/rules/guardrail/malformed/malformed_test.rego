package portcullis.rules.guardrail.malformed_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.malformed

refused := {"rule": "guardrail/malformed", "severity": "high", "level": "enforce", "fixed": false}

warned := object.union(refused, {"level": "warn"})

odd := fixtures.put(fixtures.reach(fixtures.narrow, null), "/malformed", ["spec.x: 010.0.0.0/8 has leading zeros"])

test_allow_empty_document if malformed.deny == set() with input as {}

test_allow_well_formed if malformed.deny == set() with input as fixtures.opened(fixtures.reach(fixtures.narrow, null))

test_deny_what_is_read_differently if {
	parts := ["ada may not create NetworkPolicy dev/web: spec.x: 010.0.0.0/8 has leading zeros"]
	fixtures.denied(malformed.deny, refused, parts) with input as fixtures.opened(odd)
}

test_deny_each if {
	document := fixtures.opened(fixtures.put(odd, "/malformed", ["a", "b"]))
	count(malformed.deny) == 2 with input as document
}

test_deny_unreadable if {
	document := fixtures.put(fixtures.opened(fixtures.reach(null, null)), "/reaches/0/unreadable", ["no"])
	fixtures.denied(malformed.deny, refused, ["ada may not create NetworkPolicy dev/web: it cannot be read: no"]) with input as document
}

test_deny_beside_unreadable if {
	document := fixtures.put(fixtures.opened(fixtures.reach(null, null)), "/reaches/0/unreadable_beside", ["no"])
	fixtures.denied(malformed.deny, refused, ["it cannot be judged: no"]) with input as document
}

test_deny_without_facts if {
	fixtures.denied(malformed.deny, refused, ["what it opens is not known"]) with input as fixtures.put(fixtures.opened({}), "/reaches", [])
}

narrowing := fixtures.put(odd, "/ingress/widens", false)

test_allow_update_that_opens_nothing_more_warns if {
	fixtures.denied(malformed.deny, warned, ["as it is, but it opens nothing more: spec.x"]) with input as fixtures.reopened(narrowing)
}

test_deny_update_that_widens if {
	fixtures.denied(malformed.deny, refused, ["ada may not update"]) with input as fixtures.reopened(odd)
	fixtures.denied(malformed.deny, refused, ["ada may not update"]) with input as fixtures.reopened(fixtures.put(narrowing, "/egress", fixtures.narrow))
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: spec.x"]
	fixtures.denied(malformed.deny, warned, parts) with input as fixtures.adopted(odd)
	unreadable := fixtures.put(fixtures.reach(null, null), "/unreadable", ["no"])
	fixtures.denied(malformed.deny, warned, ["NetworkPolicy old, which stands", "it cannot be read: no"]) with input as fixtures.adopted(unreadable)
}
