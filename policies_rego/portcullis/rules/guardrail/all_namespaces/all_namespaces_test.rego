package portcullis.rules.guardrail.all_namespaces_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.all_namespaces

refused := {"rule": "guardrail/all-namespaces", "severity": "high", "level": "enforce", "fixed": false}

warned := object.union(refused, {"level": "warn"})

following := object.union(refused, {"follows": "guardrail/malformed"})

wide := fixtures.put(fixtures.narrow, "/open_namespaces", ["spec.x.from[0]", "spec.x.from[1]"])

narrowing := fixtures.put(wide, "/widens", false)

test_allow_empty_document if all_namespaces.deny == set() with input as {}

test_allow_bounded if {
	all_namespaces.deny == set() with input as fixtures.opened(fixtures.reach(fixtures.narrow, fixtures.narrow))
	all_namespaces.deny == set() with input as fixtures.opened(fixtures.reach(null, null))
}

test_deny_open_in_either_direction if {
	parts := ["ada may not create NetworkPolicy dev/web: spec.x.from[0] is not bounded to namespaces that it names (add kubernetes.io/metadata.name"]
	fixtures.denied(all_namespaces.deny, refused, parts) with input as fixtures.opened(fixtures.reach(wide, null))
	fixtures.denied(all_namespaces.deny, refused, parts) with input as fixtures.opened(fixtures.reach(null, wide))
}

test_allow_by_the_guardrail_setting if {
	document := fixtures.put(fixtures.opened(fixtures.reach(wide, null)), "/tenants/Organization~1acme/guardrails", {"allNamespaces": "Allow"})
	all_namespaces.deny == set() with input as document
}

test_deny_unreadable if {
	document := fixtures.put(fixtures.opened(fixtures.reach(null, null)), "/reaches/0/unreadable", ["no"])
	every violation in all_namespaces.deny {
		object.remove(violation, {"message"}) == following
		violation.message == "ada may not create NetworkPolicy dev/web: it cannot be read: no"
	} with input as document
	count(all_namespaces.deny) == 1 with input as document
}

test_deny_without_facts if {
	count(all_namespaces.deny) == 1 with input as fixtures.put(fixtures.opened({}), "/reaches", [])
	parts := ["which namespaces it opens to is not known"]
	document := fixtures.opened(fixtures.reach(fixtures.without(wide, "/open_namespaces"), null))
	fixtures.denied(all_namespaces.deny, refused, parts) with input as document
}

test_deny_update_that_widens if {
	fixtures.denied(all_namespaces.deny, refused, ["ada may not update"]) with input as fixtures.reopened(fixtures.reach(wide, null))
}

test_allow_update_that_opens_nothing_more_warns if {
	fixtures.denied(all_namespaces.deny, warned, ["as it is, but it opens nothing more: spec.x"]) with input as fixtures.reopened(fixtures.reach(narrowing, null))
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: spec.x"]
	fixtures.denied(all_namespaces.deny, warned, parts) with input as fixtures.adopted(fixtures.reach(wide, null))
}

# It is bounded as far as it can be read.
test_deny_unreadable_that_seems_bounded if {
	document := fixtures.put(fixtures.opened(fixtures.reach(fixtures.narrow, fixtures.narrow)), "/reaches/0/unreadable", ["no"])
	count(all_namespaces.deny) == 1 with input as document
}
