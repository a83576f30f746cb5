package portcullis.rules.guardrail.not_understood_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.not_understood

refused := {"rule": "guardrail/not-understood", "severity": "high", "level": "enforce", "fixed": false}

warned := object.union(refused, {"level": "warn"})

strange := fixtures.put(fixtures.reach(fixtures.narrow, null), "/not_understood", ["spec.egress[0].toFQDNs"])

test_allow_empty_document if not_understood.deny == set() with input as {}

test_allow_understood if not_understood.deny == set() with input as fixtures.opened(fixtures.reach(fixtures.narrow, null))

test_deny_not_understood if {
	parts := ["ada may not create NetworkPolicy dev/web: spec.egress[0].toFQDNs is not understood, so it could open anything"]
	fixtures.denied(not_understood.deny, refused, parts) with input as fixtures.opened(strange)
}

test_allow_by_the_guardrail_setting if {
	document := fixtures.put(fixtures.opened(strange), "/tenants/Workspace~1checkout/guardrails", {"notUnderstood": "Allow"})
	not_understood.deny == set() with input as document
}

narrowing := fixtures.put(strange, "/ingress/widens", false)

test_allow_update_that_says_it_as_before_warns if {
	fixtures.denied(not_understood.deny, warned, ["as it is, but it opens nothing more: spec.egress[0].toFQDNs"]) with input as fixtures.reopened(narrowing)
}

test_deny_update_that_says_more if {
	fixtures.denied(not_understood.deny, refused, ["ada may not update"]) with input as fixtures.reopened(fixtures.put(narrowing, "/not_understood_before", false))
	fixtures.denied(not_understood.deny, refused, ["ada may not update"]) with input as fixtures.reopened(strange)
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: spec.egress[0].toFQDNs"]
	fixtures.denied(not_understood.deny, warned, parts) with input as fixtures.adopted(strange)
}
