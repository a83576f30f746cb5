package portcullis.rules.baseline.managed_policy_test

import data.portcullis.fixtures
import data.portcullis.rules.baseline.managed_policy

refused := {"rule": "baseline/managed-policy", "severity": "critical", "level": "enforce", "fixed": true}

plain := fixtures.policy

managed := fixtures.labelled(plain, {"app.kubernetes.io/managed-by": "portcullis"})

marked := fixtures.labelled(plain, {"portcullis.dev/baseline": ""})

dotted := fixtures.object_of("dev", "a.b", {})

generated := object.union(plain, {"metadata": {"name": "", "generateName": "a."}})

injected := fixtures.labelled(dotted, {"app.kubernetes.io/managed-by": "portcullis", "portcullis.dev/baseline": "a"})

creation(who, new) := fixtures.created(who, fixtures.network_policy, new, fixtures.checkout)

change(who, old, new) := fixtures.updated(who, fixtures.network_policy, old, new, [fixtures.checkout, fixtures.checkout])

deletion(who, old) := fixtures.deleted(who, fixtures.network_policy, old, fixtures.checkout)

test_allow_empty_document if managed_policy.deny == set() with input as {}

test_allow_plain_policy if {
	managed_policy.deny == set() with input as creation(fixtures.ada, plain)
	managed_policy.deny == set() with input as change(fixtures.ada, plain, plain)
	managed_policy.deny == set() with input as deletion(fixtures.ada, plain)
	managed_policy.deny == set() with input as creation(fixtures.ada, fixtures.labelled(plain, {"app.kubernetes.io/managed-by": "helm"}))
	managed_policy.deny == set() with input as creation(fixtures.ada, fixtures.labelled(plain, {"managed-by": "portcullis"}))
}

test_deny_managed_by_label if {
	parts := ["ada may not create NetworkPolicy dev/web: it has the label app.kubernetes.io/managed-by: portcullis, and", "written by Portcullis alone", "Change the NetworkBaseline"]
	fixtures.denied(managed_policy.deny, refused, parts) with input as creation(fixtures.ada, managed)
}

test_deny_baseline_label if {
	fixtures.denied(managed_policy.deny, refused, ["it has the label portcullis.dev/baseline, and"]) with input as creation(fixtures.ada, marked)
}

test_deny_dot if {
	fixtures.denied(managed_policy.deny, refused, ["dev/a.b: it has a dot in its name, and"]) with input as creation(fixtures.ada, dotted)
	fixtures.denied(managed_policy.deny, refused, ["dev/a.*: it has a dot in its name, and"]) with input as creation(fixtures.ada, generated)
}

test_deny_all_marks_in_one_violation if {
	parts := ["it has a dot in its name and the label app.kubernetes.io/managed-by: portcullis and the label portcullis.dev/baseline, and"]
	fixtures.denied(managed_policy.deny, refused, parts) with input as creation(fixtures.ada, injected)
}

test_deny_putting_a_mark_on_and_taking_it_off if {
	every side in [managed, marked] {
		fixtures.denied(managed_policy.deny, refused, ["may not update", "the label"]) with input as change(fixtures.ada, plain, side)
		fixtures.denied(managed_policy.deny, refused, ["may not update", "the label"]) with input as change(fixtures.ada, side, plain)
		fixtures.denied(managed_policy.deny, refused, ["may not delete", "the label"]) with input as deletion(fixtures.ada, side)
	}
}

test_deny_everybody_else if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.pam, fixtures.cilium, fixtures.root, fixtures.nobody] {
		fixtures.denied(managed_policy.deny, refused, []) with input as creation(who, injected)
		fixtures.denied(managed_policy.deny, refused, []) with input as deletion(who, injected)
	}
}

test_deny_unknown_version if {
	fixtures.denied(managed_policy.deny, refused, []) with input as fixtures.put(creation(fixtures.ada, managed), "/request/kind/version", "v2")
}

test_allow_other_kinds if {
	managed_policy.deny == set() with input as fixtures.put(creation(fixtures.ada, injected), "/request/kind", fixtures.cilium_policy)
	managed_policy.deny == set() with input as fixtures.put(creation(fixtures.ada, injected), "/request/kind", fixtures.calico_policy)
	managed_policy.deny == set() with input as fixtures.put(creation(fixtures.ada, injected), "/request/kind/kind", "Ingress")
}

test_allow_controller if {
	managed_policy.deny == set() with input as creation(fixtures.controller, injected)
	managed_policy.deny == set() with input as change(fixtures.controller, injected, injected)
	managed_policy.deny == set() with input as deletion(fixtures.controller, injected)
}

test_allow_system_delete if managed_policy.deny == set() with input as deletion(fixtures.namespace_controller, injected)

test_allow_system_release if {
	held := object.union(injected, {"metadata": {"finalizers": ["x"]}})
	managed_policy.deny == set() with input as change(fixtures.namespace_controller, held, injected)
	fixtures.denied(managed_policy.deny, refused, []) with input as change(fixtures.oz, held, injected)
}

test_deny_system_everything_else if {
	fixtures.denied(managed_policy.deny, refused, []) with input as creation(fixtures.namespace_controller, injected)
	fixtures.denied(managed_policy.deny, refused, []) with input as change(fixtures.namespace_controller, injected, plain)
}
