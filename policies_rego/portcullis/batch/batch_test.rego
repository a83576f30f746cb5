package portcullis.batch_test

import data.portcullis.batch
import data.portcullis.fixtures
import data.portcullis.validate

asked := fixtures.opened(fixtures.reach(fixtures.narrow, null))

refused := fixtures.put(asked, "/user", fixtures.zed)

decisions(documents) := found if {
	found := batch.decisions with input as {"documents": documents} with data.system.bundles as fixtures.bundles
}

alone(document) := found if {
	found := validate.decision with input as document with data.system.bundles as fixtures.bundles
}

test_allow_each_is_decided_as_if_alone if {
	decisions([asked, refused, asked]) == {0: alone(asked), 1: alone(refused), 2: alone(asked)}
	found := [{each.rule | some each in alone(document).violations} | some document in [asked, refused]]
	found[1] - found[0] == {"rbac/namespace-policy"}
}

test_allow_none_of_none if {
	decisions([]) == {}
}

test_deny_one_without_a_decision_keeps_no_other_from_its_own if {
	decisions([{}, refused, null, 7]) == {1: alone(refused)}
}

test_deny_nothing_goes_from_one_to_the_next if {
	decisions([asked, fixtures.without(asked, "/user"), {"request": asked.request}]) == {0: alone(asked)}
}

test_deny_empty_document if {
	batch.decisions == {} with input as {}
}
