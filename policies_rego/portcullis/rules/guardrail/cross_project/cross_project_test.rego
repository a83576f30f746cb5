package portcullis.rules.guardrail.cross_project_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.cross_project

refused := {"rule": "guardrail/cross-project", "severity": "high", "level": "enforce", "fixed": false}

warned := object.union(refused, {"level": "warn"})

following := object.union(refused, {"follows": "guardrail/malformed"})

leaving := fixtures.put(fixtures.narrow, "/crossing", ["spec.x.from[0] can match namespaces of other projects", "another"])

denied(document) := fixtures.put(document, "/tenants/Organization~1acme/guardrails", {"crossProject": "Deny"})

test_allow_empty_document if cross_project.deny == set() with input as {}

test_allow_by_default if cross_project.deny == set() with input as fixtures.opened(fixtures.reach(leaving, leaving))

test_allow_what_stays if {
	cross_project.deny == set() with input as denied(fixtures.opened(fixtures.reach(fixtures.narrow, fixtures.narrow)))
	cross_project.deny == set() with input as denied(fixtures.opened(fixtures.reach(null, null)))
}

test_allow_by_a_nearer_setting if {
	document := fixtures.put(denied(fixtures.opened(fixtures.reach(leaving, null))), "/tenants/Workspace~1checkout/guardrails", {"crossProject": "Allow"})
	cross_project.deny == set() with input as document
}

test_deny_what_leaves_in_either_direction if {
	parts := ["ada may not create NetworkPolicy dev/web: spec.x.from[0] can match namespaces of other projects (name namespaces"]
	fixtures.denied(cross_project.deny, refused, parts) with input as denied(fixtures.opened(fixtures.reach(leaving, null)))
	fixtures.denied(cross_project.deny, refused, parts) with input as denied(fixtures.opened(fixtures.reach(null, leaving)))
}

test_deny_unreadable if {
	document := fixtures.put(denied(fixtures.opened(fixtures.reach(null, null))), "/reaches/0/unreadable", ["no"])
	fixtures.denied(cross_project.deny, following, ["it cannot be read: no"]) with input as document
}

test_deny_without_facts if {
	parts := ["whether it leaves its project is not known"]
	document := denied(fixtures.opened(fixtures.reach(fixtures.without(leaving, "/crossing"), null)))
	fixtures.denied(cross_project.deny, refused, parts) with input as document
}

test_allow_update_that_opens_nothing_more_warns if {
	document := denied(fixtures.reopened(fixtures.reach(fixtures.put(leaving, "/widens", false), null)))
	fixtures.denied(cross_project.deny, warned, ["as it is, but it opens nothing more: spec.x"]) with input as document
	widening := denied(fixtures.reopened(fixtures.reach(leaving, null)))
	fixtures.denied(cross_project.deny, refused, ["ada may not update"]) with input as widening
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: spec.x"]
	fixtures.denied(cross_project.deny, warned, parts) with input as denied(fixtures.adopted(fixtures.reach(leaving, null)))
}

# It stays in its project as far as it can be read.
test_deny_unreadable_that_seems_to_stay if {
	document := fixtures.put(fixtures.opened(fixtures.reach(fixtures.narrow, fixtures.narrow)), "/reaches/0/unreadable", ["no"])
	strict := fixtures.put(document, "/tenants/Organization~1acme/guardrails", {"crossProject": "Deny"})
	count(cross_project.deny) == 1 with input as strict
}
