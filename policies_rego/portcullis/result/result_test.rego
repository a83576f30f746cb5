package portcullis.result_test

import data.portcullis.result

chain := [
	{"path": ["portcullis", "rules", "a_b", "c_d_e", "deny"], "annotations": {"title": "a rule"}},
	{"path": ["portcullis", "rules", "a_b", "c_d_e"], "annotations": {"custom": {"severity": "low"}}},
	{"path": ["portcullis", "rules"], "annotations": {"custom": {"severity": "medium"}}},
]

shape := {"rule": "a-b/c-d-e", "severity": "low", "message": "m", "level": "enforce", "fixed": false}

test_deny_violation if result.violation(chain, "m") == shape

test_deny_following if {
	result.following(chain, "m", "x/y") == object.union(shape, {"follows": "x/y"})
}

test_deny_fixed if result.fixed(chain, "m") == object.union(shape, {"fixed": true})

test_deny_waiting if result.waiting(chain, "m") == object.union(shape, {"wait": true})

test_deny_warning if result.warning(chain, "m") == object.union(shape, {"level": "warn"})

test_deny_without_severity_is_high if {
	found := result.violation([{"path": ["portcullis", "rules", "a", "b", "deny"]}], "m")
	found == {"rule": "a/b", "severity": "high", "message": "m", "level": "enforce", "fixed": false}
}

test_allow_empty_document if not result.id([]) with input as {}
