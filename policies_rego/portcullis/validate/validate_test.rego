package portcullis.validate_test

import data.portcullis.fixtures
import data.portcullis.validate

shipped := {
	["baseline", "exemption"],
	["baseline", "managed_policy"],
	["baseline", "namespace_labels"],
	["baseline", "pod_gate"],
	["guardrail", "all_namespaces"],
	["guardrail", "cross_project"],
	["guardrail", "from_anywhere"],
	["guardrail", "host_network"],
	["guardrail", "malformed"],
	["guardrail", "not_understood"],
	["guardrail", "protected_cidr"],
	["guardrail", "to_anywhere"],
	["rbac", "cluster_policy"],
	["rbac", "namespace"],
	["rbac", "namespace_policy"],
	["rbac", "tenancy"],
}

asked := fixtures.opened(fixtures.reach(fixtures.narrow, null))

by(who) := fixtures.put(asked, "/user", who)

# The decision by the shipped rules alone, whatever other rules there are: what they find is found first.
decision(document) := ruled(document, object.union_n(found)) if {
	found := [{category: {rule: {"deny": deny}}} |
		some [category, rule] in shipped
		deny := data.portcullis.rules[category][rule].deny with input as document
	]
}

# The decision where these are all the rules that there are, by their folders.
ruled(document, rules) := found if {
	found := validate.decision with input as document
		with data.system.bundles as fixtures.bundles
		with data.portcullis.rules as rules
}

violation(rule) := {"rule": rule, "severity": "low", "message": "m", "level": "enforce", "fixed": false}

warning(rule) := object.union(violation(rule), {"level": "warn"})

fixed(rule) := object.union(violation(rule), {"fixed": true})

# The action of one violation under an enforcement, and whether the request is allowed.
weighed(each, enforcement) := [found.action, outcome.allowed] if {
	outcome := ruled(fixtures.put(asked, "/enforcement", enforcement), {"a": {"b": {"deny": {each}}}})
	[found] = [every_one | some every_one in outcome.violations]
	object.remove(found, {"action"}) == each
	outcome.break_glass == false
	outcome.undecided == ""
}

test_deny_empty_document if {
	not validate.decision with input as {}
	not decision({})
}

test_deny_without_a_whole_request if {
	every path in ["/request/operation", "/request/kind/kind", "/user/name"] { not decision(fixtures.without(asked, path)) }
	not decision(fixtures.put(asked, "/user/name", null))
	not decision(fixtures.put(asked, "/user/name", 7))
	not validate.decision with input as asked
}

test_allow_owner if {
	found := decision(asked)
	object.remove(found, {"rules"}) == {"revision": "r1", "allowed": true, "break_glass": false, "undecided": "", "violations": []}
	found.rules == shipped
}

test_deny_stranger if {
	found := decision(by(fixtures.zed))
	[found.allowed, found.break_glass, found.undecided] == [false, false, ""]
	[each] = [each | some each in found.violations]
	[each.rule, each.action] == ["rbac/namespace-policy", "enforce"]
}

test_deny_every_rule_that_finds_something if {
	document := object.union(
		fixtures.put(by(fixtures.zed), "/object", fixtures.object_of("dev", "a.b", {})),
		{"request": {"name": "a.b"}, "reaches": [fixtures.reach(fixtures.opening(1, 1), fixtures.opening(1, 1))]},
	)
	found := {each.rule | some each in decision(document).violations}
	found == {"rbac/namespace-policy", "baseline/managed-policy", "guardrail/from-anywhere", "guardrail/to-anywhere"}
}

test_deny_another_set_of_rules_shows if {
	found := ruled(asked, {"a_b": {"c_d": {"deny": set()}}, "e": {"f": {"deny": {violation("e/f")}}, "g": {"else": true}}})
	found.rules == {["a_b", "c_d"], ["e", "f"]}
	found.allowed == false
	ruled(asked, {}).rules == set()
}

test_deny_rules_are_weighed_together if {
	rules := {"a": {"b": {"deny": {warning("a/b")}}, "c": {"deny": set()}}, "d": {"e": {"deny": {violation("d/e")}}}}
	found := ruled(asked, rules)
	found.allowed == false
	found.violations == [
		object.union(violation("d/e"), {"action": "enforce"}),
		object.union(warning("a/b"), {"action": "warn"}),
	]
}

test_deny_what_is_no_violation if {
	every deny in [[violation("a/b")], violation("a/b"), {"a/b"}, {null}, {{"message": "no"}}, {object.union(violation("a/b"), {"rule": 7})}, "a/b", 7, null, true] {
		found := ruled(asked, {"a": {"b": {"deny": deny}}})
		[found.allowed, found.undecided] == [false, "a rule found what is no violation"]
	}
}

test_deny_without_what_is_no_violation if {
	found := ruled(asked, {"a": {"b": {"deny": {object.union(violation("a/b"), {"rule": 7, "fixed": true})}}}})
	[found.allowed, found.violations] == [false, []]
}

test_deny_enforces_by_default if {
	weighed(violation("a/b"), {}) == ["enforce", false]
	weighed(violation("a/b"), {"a/b": "enforce"}) == ["enforce", false]
	weighed(violation("a/b"), {"c/d": "audit", "c/*": "audit", "a/": "audit", "a/c": "audit"}) == ["enforce", false]
}

test_deny_what_is_neither_warn_nor_audit if {
	every value in ["off", "", "Audit", "AUDIT", null, false, 7] {
		weighed(violation("a/b"), {"*": value}) == ["enforce", false]
		weighed(violation("a/b"), {"a/b": value, "*": "audit"}) == ["enforce", false]
	}
}

test_allow_softened if {
	every key in ["a/b", "a/*", "*"] {
		weighed(violation("a/b"), {key: "warn"}) == ["warn", true]
		weighed(violation("a/b"), {key: "audit"}) == ["audit", true]
	}
}

test_allow_the_nearest_setting_counts if {
	weighed(violation("a/b"), {"a/b": "audit", "a/*": "enforce", "*": "enforce"}) == ["audit", true]
	weighed(violation("a/b"), {"a/*": "audit", "*": "enforce"}) == ["audit", true]
	weighed(violation("a/b"), {"a/b": "warn", "a/*": "audit", "*": "enforce"}) == ["warn", true]
}

test_deny_the_nearest_setting_counts if {
	weighed(violation("a/b"), {"a/b": "enforce", "a/*": "audit", "*": "audit"}) == ["enforce", false]
	weighed(violation("a/b"), {"a/*": "enforce", "*": "audit"}) == ["enforce", false]
}

test_deny_fixed_is_not_softened if {
	every key in ["a/b", "a/*", "*"] {
		every value in ["warn", "audit"] { weighed(fixed("a/b"), {key: value}) == ["enforce", false] }
	}
}

test_deny_what_is_never_softened if {
	every rule in ["rbac/tenancy", "baseline/managed-policy", "baseline/namespace-labels", "baseline/exemption"] {
		every value in ["warn", "audit"] {
			weighed(violation(rule), {rule: value}) == ["enforce", false]
			weighed(violation(rule), {"*": value}) == ["enforce", false]
		}
	}
}

test_allow_warnings_warn if {
	weighed(warning("a/b"), {}) == ["warn", true]
	weighed(warning("a/b"), {"*": "warn"}) == ["warn", true]
	weighed(warning("a/b"), {"*": "enforce"}) == ["warn", true]
	weighed(warning("a/b"), {"*": "off"}) == ["warn", true]
}

test_allow_warnings_of_fixed_rules_warn if {
	every value in ["warn", "audit", "enforce"] {
		weighed(object.union(fixed("a/b"), {"level": "warn"}), {"*": value}) == ["warn", true]
		weighed(warning("rbac/tenancy"), {"*": value}) == ["warn", true]
	}
}

test_allow_warnings_are_softened_too if weighed(warning("a/b"), {"*": "audit"}) == ["audit", true]

test_allow_real_rules_are_softened if {
	found := decision(fixtures.put(by(fixtures.zed), "/enforcement", {"rbac/*": "audit"}))
	[found.allowed, found.break_glass] == [true, false]
	[each.action | some each in found.violations] == ["audit"]
}

test_allow_break_glass if {
	found := decision(by(fixtures.root))
	[found.allowed, found.break_glass, found.undecided] == [true, true, ""]
	[[each.rule, each.action] | some each in found.violations] == [["rbac/namespace-policy", "enforce"]]
}

test_allow_break_glass_against_fixed_rules if {
	found := ruled(by(fixtures.root), {"a": {"b": {"deny": {fixed("a/b"), fixed("baseline/exemption")}}}})
	[found.allowed, found.break_glass, count(found.violations)] == [true, true, 2]
}

test_allow_break_glass_breaks_nothing_where_nothing_refuses if {
	found := ruled(by(fixtures.root), {"a": {"b": {"deny": {warning("a/b")}}}})
	[found.allowed, found.break_glass] == [true, false]
}

test_deny_break_glass_without_a_name if {
	found := decision(by(fixtures.nobody))
	[found.allowed, found.break_glass] == [false, false]
}

test_deny_break_glass_of_another_group if {
	found := decision(fixtures.put(by(fixtures.root), "/break_glass_groups", ["others"]))
	[found.allowed, found.break_glass] == [false, false]
	none := decision(fixtures.put(by(fixtures.root), "/break_glass_groups", []))
	[none.allowed, none.break_glass] == [false, false]
	missing := decision(fixtures.without(by(fixtures.root), "/break_glass_groups"))
	[missing.allowed, missing.break_glass] == [false, false]
}

unloaded(document) := object.union(fixtures.without(document, "/tenants"), {
	"tree": false,
	"tenants": {},
	"organization": "",
	"places": {"new": null, "old": null},
})

test_deny_undecided_without_the_tree if {
	every who in [fixtures.ada, fixtures.oz, fixtures.namespace_controller, fixtures.nobody] {
		found := decision(unloaded(by(who)))
		[found.allowed, found.break_glass, found.undecided] == [false, false, "the tenant tree is not loaded"]
	}
}

test_deny_undecided_whatever_the_rules_find if {
	found := ruled(unloaded(asked), {})
	[found.allowed, found.undecided, found.violations] == [false, "the tenant tree is not loaded", []]
	softened := ruled(fixtures.put(unloaded(asked), "/enforcement", {"*": "audit"}), {"a": {"b": {"deny": {violation("a/b")}}}})
	[softened.allowed, softened.undecided] == [false, "the tenant tree is not loaded"]
	missing := ruled(fixtures.without(asked, "/tree"), {})
	[missing.allowed, missing.undecided] == [false, "the tenant tree is not loaded"]
}

test_allow_break_glass_without_the_tree if {
	found := decision(unloaded(by(fixtures.root)))
	[found.allowed, found.break_glass, found.undecided] == [true, true, "the tenant tree is not loaded"]
}

following := object.union(violation("c/d"), {"follows": "a/b"})

rules_of(found) := {each.rule | some each in found.violations}

test_deny_what_follows_is_not_told_beside_its_cause if {
	both := {"a": {"b": {"deny": {violation("a/b")}}}, "c": {"d": {"deny": {following}}}}
	rules_of(ruled(asked, both)) == {"a/b"}
}

test_deny_what_follows_holds_where_its_cause_does_not if {
	alone := ruled(asked, {"c": {"d": {"deny": {following}}}})
	[alone.allowed, rules_of(alone)] == [false, {"c/d"}]
	both := {"a": {"b": {"deny": {violation("a/b")}}}, "c": {"d": {"deny": {following}}}}
	softened := ruled(fixtures.put(asked, "/enforcement", {"a/b": "audit"}), both)
	[softened.allowed, rules_of(softened)] == [false, {"a/b", "c/d"}]
	ring := {"a": {"b": {"deny": {object.union(violation("a/b"), {"follows": "c/d"})}}}, "c": {"d": {"deny": {following}}}}
	rules_of(ruled(asked, ring)) == {"a/b", "c/d"}
}

indexed(document, index) := found if {
	found := validate.decision with input as document
		with data.system.bundles as fixtures.bundles
		with data.portcullis.rules as {"a": {"b": {"deny": {violation("a/b")}}, "c": {"deny": set()}}}
		with data.portcullis.index as index
}

test_deny_the_rules_of_the_kind_run_and_no_other if {
	index := {"kinds": {"networking.k8s.io": {"NetworkPolicy": [["a", "b"]]}}, "others": [["a", "c"]]}
	found := indexed(asked, index)
	[found.allowed, found.rules, rules_of(found)] == [false, {["a", "b"]}, {"a/b"}]
	indexed(fixtures.put(asked, "/request/kind/version", "v2"), index).rules == {["a", "b"]}
	indexed(fixtures.put(asked, "/request/kind/kind", "Ingress"), index).rules == {["a", "c"]}
	indexed(fixtures.put(asked, "/request/kind/group", ""), index).rules == {["a", "c"]}
}

test_deny_a_rule_of_the_index_that_is_not_there_did_not_run if {
	index := {"kinds": {}, "others": [["a", "c"], ["a", "gone"]]}
	indexed(asked, index).rules == {["a", "c"]}
}

test_deny_every_rule_runs_without_an_index if {
	every index in [{}, {"kinds": {}}] {
		found := indexed(asked, index)
		[found.allowed, found.rules] == [false, {["a", "b"], ["a", "c"]}]
	}
}
