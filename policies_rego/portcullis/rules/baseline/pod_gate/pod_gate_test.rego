package portcullis.rules.baseline.pod_gate_test

import data.portcullis.fixtures
import data.portcullis.rules.baseline.pod_gate

refused := {"rule": "baseline/pod-gate", "severity": "critical", "level": "enforce", "fixed": false}

undecided := object.union(refused, {"fixed": true})

waits := object.union(refused, {"wait": true})

web := fixtures.object_of("dev", "web", {})

creation(cover) := fixtures.put(fixtures.created(fixtures.ada, fixtures.pod, web, fixtures.checkout), "/cover", cover)

whole := {"lacking": [], "failed": []}

lacking(texts) := {"lacking": texts, "failed": []}

failed(texts) := {"lacking": [], "failed": texts}

test_allow_empty_document if pod_gate.deny == set() with input as {}

test_allow_in_place if pod_gate.deny == set() with input as creation(whole)

test_deny_lacking if {
	parts := [
		"ada may not create Pod dev/web: the baseline of its namespace is not in place yet: zero-trust.a is missing; zero-trust.b differs in ingress. Portcullis is bringing it",
		"try again in a moment",
	]
	document := creation(lacking(["zero-trust.a is missing", "zero-trust.b differs in ingress"]))
	fixtures.denied(pod_gate.deny, waits, parts) with input as document
}

test_deny_counts_what_is_beyond_five if {
	document := creation(lacking(["a1", "a2", "a3", "a4", "a5", "a6", "a7"]))
	fixtures.denied(pod_gate.deny, waits, ["a1; a2; a3; a4; a5; and 2 more. Portcullis"]) with input as document
	fixtures.denied(pod_gate.deny, waits, ["a4; a5. Portcullis"]) with input as creation(lacking(["a1", "a2", "a3", "a4", "a5"]))
}

hindered(passing) := {
	"lacking": ["zero-trust.a is missing"],
	"failed": [],
	"hindered": ["zero-trust.a: exceeded quota: none", "zero-trust.b: slow"],
	"passing": passing,
}

test_deny_hindered if {
	parts := [
		"ada may not create Pod dev/web: the baseline of its namespace is not in place: zero-trust.a is missing. Portcullis is kept from bringing it: zero-trust.a: exceeded quota: none; zero-trust.b: slow. Have that mended",
		"no pod starts without it",
	]
	fixtures.denied(pod_gate.deny, refused, parts) with input as creation(hindered(false))
	fixtures.denied(pod_gate.deny, refused, parts) with input as fixtures.without(creation(hindered(false)), "/cover/passing")
}

test_deny_hindered_for_a_moment if {
	parts := ["is not in place yet: zero-trust.a is missing. Portcullis could not bring it just now: zero-trust.a: exceeded quota: none; zero-trust.b: slow. Try again in a moment"]
	fixtures.denied(pod_gate.deny, waits, parts) with input as creation(hindered(true))
}

# Waiting does not help where something else lacks too.
test_deny_failed_and_hindered if {
	document := creation(object.union(hindered(true), {"failed": ["there is no NetworkBaseline x"]}))
	fixtures.denied(pod_gate.deny, refused, ["cannot be in place: there is no NetworkBaseline x. Only"]) with input as document
}

test_allow_hindered_and_in_place if pod_gate.deny == set() with input as creation(object.union(hindered(false), {"lacking": []}))

test_deny_failed if {
	parts := ["ada may not create Pod dev/web: a baseline of its namespace cannot be in place: there is no NetworkBaseline x. Only an InfraAdmin or OrgAdmin mends that"]
	fixtures.denied(pod_gate.deny, refused, parts) with input as creation(failed(["there is no NetworkBaseline x"]))
}

# Waiting does not help where something else lacks too.
test_deny_failed_and_lacking if {
	document := creation({"failed": ["there is no NetworkBaseline x"], "lacking": ["y.a is missing"]})
	fixtures.denied(pod_gate.deny, refused, ["there is no NetworkBaseline x. Only"]) with input as document
}

test_deny_without_cover if {
	every document in [
		creation(null),
		fixtures.without(creation(null), "/cover"),
		creation({}),
		fixtures.without(creation(whole), "/cover/failed"),
		fixtures.without(creation(whole), "/cover/lacking"),
	] {
		fixtures.denied(pod_gate.deny, refused, ["what stands there is not known"]) with input as document
	}
}

test_deny_whoever_creates_it if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.cilium, fixtures.controller, fixtures.namespace_controller, fixtures.root, fixtures.nobody] {
		document := fixtures.put(creation(lacking(["a is missing"])), "/user", who)
		fixtures.denied(pod_gate.deny, waits, []) with input as document
	}
}

test_deny_generated_name if {
	document := object.union(creation(lacking(["a is missing"])), {"object": {"metadata": {"name": "", "generateName": "web-"}}, "request": {"name": ""}})
	fixtures.denied(pod_gate.deny, waits, ["Pod dev/web-*: "]) with input as document
}

exempt(until) := fixtures.put(creation(lacking(["a is missing"])), "/places/new/exempt", until)

test_allow_exempt if pod_gate.deny == set() with input as exempt("2026-12-01T00:00:00Z")

test_deny_not_exempt if {
	fixtures.denied(pod_gate.deny, waits, []) with input as exempt("")
	fixtures.denied(pod_gate.deny, waits, []) with input as fixtures.without(exempt(""), "/places/new/exempt")
}

test_allow_where_no_baseline_applies if {
	pod_gate.deny == set() with input as fixtures.put(creation(null), "/places/new", fixtures.unowned)
	pod_gate.deny == set() with input as fixtures.put(creation(failed(["x"])), "/places/new/baselines", [])
}

test_allow_all_but_creation if {
	pod_gate.deny == set() with input as fixtures.subresource(creation(lacking(["a"])), "binding")
	pod_gate.deny == set() with input as fixtures.put(creation(lacking(["a"])), "/request/kind", fixtures.network_policy)
	pod_gate.deny == set() with input as fixtures.deleted(fixtures.ada, fixtures.pod, web, fixtures.unknown)
}

test_deny_unknown_namespace if {
	document := fixtures.put(creation(null), "/places/new", fixtures.unknown)
	fixtures.denied(pod_gate.deny, undecided, ["ada may not create Pod dev/web: no namespace dev is known. Create it first"]) with input as document
}

test_deny_unknown_version if {
	document := fixtures.put(creation(whole), "/request/kind/version", "v2")
	fixtures.denied(pod_gate.deny, undecided, ["version v2 is not known here"]) with input as document
}

test_deny_what_cannot_be_told if {
	every document in [
		fixtures.put(creation(whole), "/object", null),
		fixtures.put(creation(whole), "/request/namespace", "other"),
		fixtures.put(creation(whole), "/places/new", null),
		fixtures.put(creation(whole), "/places/new/namespace", "other"),
	] {
		fixtures.denied(pod_gate.deny, undecided, ["in which namespace it would be cannot be told"]) with input as document
	}
}

test_allow_exempt_whatever_hinders if {
	every passing in [true, false] {
		pod_gate.deny == set() with input as fixtures.put(creation(hindered(passing)), "/places/new/exempt", "2026-12-01T00:00:00Z")
	}
}

test_deny_nothing_hinders if {
	document := creation(object.union(hindered(true), {"hindered": []}))
	fixtures.denied(pod_gate.deny, waits, ["Portcullis is bringing it: try again"]) with input as document
}

test_deny_failed_and_hindered_for_good if {
	document := creation(object.union(hindered(false), {"failed": ["there is no NetworkBaseline x"]}))
	fixtures.denied(pod_gate.deny, refused, ["cannot be in place: there is no NetworkBaseline x. Only"]) with input as document
}

test_deny_what_cannot_be_told_says_nothing_of_the_baseline if {
	document := fixtures.put(creation(lacking(["a is missing"])), "/request/namespace", "other")
	fixtures.denied(pod_gate.deny, undecided, ["in which namespace it would be cannot be told"]) with input as document
}
