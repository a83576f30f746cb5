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

policy_rule := ["rbac", "namespace_policy"]

found(documents, rules) := answer if {
	answer := batch.denials with input as {"documents": documents, "rules": rules}
		with data.system.bundles as fixtures.bundles
}

test_allow_what_rules_find_is_by_document if {
	answer := found([asked, refused, asked], [[policy_rule], [policy_rule, ["rbac", "tenancy"]], []])
	answer.revision == "r1"
	answer.found[0] == [{"set": []}]
	count(answer.found[1]) == 2
	[each.rule | some each in answer.found[1][0].set] == ["rbac/namespace-policy"]
	answer.found[1][1] == {"set": []}
	answer.found[2] == []
}

test_deny_a_rule_that_is_not_there_finds_nothing if {
	found([asked], [[["rbac", "gone"], policy_rule]]).found == {0: [{"set": []}]}
}

test_deny_a_list_is_not_told_as_the_set_of_the_same if {
	is_told(["b", "a"], {"value": ["b", "a"]})
	is_told({"b", "a"}, {"set": ["a", "b"]})
	is_told(null, {"value": null})
}

# A library's own function is asked: what else a rule may find is nobody's here.
is_told(deny, wanted) if batch.told(deny) == wanted
