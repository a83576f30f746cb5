package portcullis.rules.baseline.namespace_labels_test

import data.portcullis.fixtures
import data.portcullis.rules.baseline.namespace_labels

refused := {"rule": "baseline/namespace-labels", "severity": "critical", "level": "enforce", "fixed": true}

creation(new, place) := fixtures.created(fixtures.oz, fixtures.namespace, new, place)

change(old, new, place) := fixtures.updated(fixtures.oz, fixtures.namespace, old, new, [place, place])

right := fixtures.dev_of_checkout

lacking(key) := fixtures.labelled(fixtures.dev, object.remove(fixtures.of_checkout, {key}))

wrong(key) := fixtures.labelled(fixtures.dev, object.union(fixtures.of_checkout, {key: "forged"}))

state(value) := fixtures.annotated(right, {"portcullis.dev/baseline": value})

test_allow_empty_document if namespace_labels.deny == set() with input as {}

test_allow_what_agrees if {
	namespace_labels.deny == set() with input as creation(right, fixtures.checkout)
	namespace_labels.deny == set() with input as creation(fixtures.dev, fixtures.unowned)
	namespace_labels.deny == set() with input as change(fixtures.dev, right, fixtures.checkout)
	namespace_labels.deny == set() with input as change(right, fixtures.dev, fixtures.unowned)
}

test_deny_missing if {
	every key, value in object.remove(fixtures.of_checkout, {"portcullis.dev/workspace"}) {
		parts := [$"oz may not create Namespace dev: the label {key} is missing and has to be '{value}'. Leave it out"]
		fixtures.denied(namespace_labels.deny, refused, parts) with input as creation(lacking(key), fixtures.checkout)
		fixtures.denied(namespace_labels.deny, refused, ["is missing"]) with input as change(right, lacking(key), fixtures.checkout)
	}
}

test_deny_wrong if {
	every key, value in object.remove(fixtures.of_checkout, {"portcullis.dev/workspace"}) {
		parts := [$"the label {key} is 'forged' and has to be '{value}'"]
		fixtures.denied(namespace_labels.deny, refused, parts) with input as creation(wrong(key), fixtures.checkout)
		fixtures.denied(namespace_labels.deny, refused, parts) with input as change(right, wrong(key), fixtures.checkout)
	}
}

test_deny_left_over if {
	every key in ["portcullis.dev/project", "portcullis.dev/organization", "portcullis.dev/gate"] {
		new := fixtures.labelled(fixtures.dev, {key: ""})
		parts := [$"the label {key} is '' and has to be absent. Leave it out"]
		fixtures.denied(namespace_labels.deny, refused, parts) with input as creation(new, fixtures.unowned)
		fixtures.denied(namespace_labels.deny, refused, parts) with input as change(fixtures.dev, new, fixtures.unowned)
	}
}

test_deny_each_wrong_label if {
	found := namespace_labels.deny with input as creation(fixtures.dev, fixtures.checkout)
	count(found) == 3
}

test_deny_move_with_the_old_labels if {
	moved := fixtures.labelled(fixtures.dev, object.union(fixtures.of_checkout, {"portcullis.dev/workspace": "video"}))
	parts := ["the label portcullis.dev/project is 'payments' and has to be 'media'"]
	fixtures.denied(namespace_labels.deny, refused, parts) with input as change(right, moved, fixtures.video)
}

# The controller mends what stood there; a request that does not touch it is not held up.
test_allow_what_is_wrong_already if {
	namespace_labels.deny == set() with input as change(wrong("portcullis.dev/gate"), wrong("portcullis.dev/gate"), fixtures.checkout)
	namespace_labels.deny == set() with input as change(fixtures.dev, fixtures.labelled(fixtures.dev, {"team": "a"}), fixtures.checkout)
}

test_deny_unknown_place if {
	vague := namespace_labels.deny with input as fixtures.without(creation(right, null), "/places/new")
	some violation in vague
	fixtures.denied({violation}, refused, ["oz may not create Namespace dev: which labels it has to carry is not known"])
	changed := namespace_labels.deny with input as fixtures.without(change(right, wrong("portcullis.dev/gate"), null), "/places/new")
	some other in changed
	fixtures.denied({other}, refused, ["oz may not update Namespace dev: which labels it has to carry is not known"])
}

test_allow_unknown_place_where_nothing_changes if {
	namespace_labels.deny == set() with input as fixtures.without(change(right, right, null), "/places/new")
}

test_allow_delete if {
	namespace_labels.deny == set() with input as fixtures.deleted(fixtures.oz, fixtures.namespace, wrong("portcullis.dev/gate"), fixtures.checkout)
}

test_allow_delete_whose_place_is_not_known if {
	deletion := fixtures.deleted(fixtures.oz, fixtures.namespace, right, fixtures.checkout)
	namespace_labels.deny == set() with input as fixtures.without(deletion, "/places/new")
}

test_allow_other_kinds if {
	namespace_labels.deny == set() with input as fixtures.put(fixtures.without(creation(right, null), "/places/new"), "/request/kind", fixtures.pod)
	namespace_labels.deny == set() with input as fixtures.put(creation(wrong("portcullis.dev/gate"), fixtures.checkout), "/request/kind", fixtures.pod)
	namespace_labels.deny == set() with input as fixtures.put(creation(state("x"), fixtures.checkout), "/request/kind", fixtures.pod)
}

test_deny_unknown_version if {
	document := fixtures.put(creation(wrong("portcullis.dev/gate"), fixtures.checkout), "/request/kind/version", "v2")
	fixtures.denied(namespace_labels.deny, refused, ["portcullis.dev/gate"]) with input as document
}

test_allow_system if {
	namespace_labels.deny == set() with input as fixtures.put(creation(fixtures.dev, fixtures.checkout), "/user", fixtures.namespace_controller)
	namespace_labels.deny == set() with input as fixtures.put(change(state("a"), state("b"), fixtures.checkout), "/user", fixtures.namespace_controller)
}

test_deny_controller_a_wrong_label if {
	document := fixtures.put(change(right, wrong("portcullis.dev/gate"), fixtures.checkout), "/user", fixtures.controller)
	fixtures.denied(namespace_labels.deny, refused, ["portcullis.dev/gate"]) with input as document
}

test_allow_state if {
	namespace_labels.deny == set() with input as creation(state(fixtures.pending), fixtures.checkout)
	namespace_labels.deny == set() with input as change(state("a"), state("a"), fixtures.checkout)
	namespace_labels.deny == set() with input as change(state("a"), right, fixtures.checkout)
}

test_deny_state if {
	parts := ["the annotation portcullis.dev/baseline is written by Portcullis alone"]
	fixtures.denied(namespace_labels.deny, refused, parts) with input as creation(state("a"), fixtures.checkout)
	fixtures.denied(namespace_labels.deny, refused, parts) with input as creation(state(""), fixtures.checkout)
	fixtures.denied(namespace_labels.deny, refused, parts) with input as change(state("a"), state("b"), fixtures.checkout)
	fixtures.denied(namespace_labels.deny, refused, parts) with input as change(right, state("b"), fixtures.checkout)
	fixtures.denied(namespace_labels.deny, refused, parts) with input as change(right, state(fixtures.pending), fixtures.checkout)
}

test_deny_pending_where_no_baseline_applies if {
	new := fixtures.annotated(fixtures.dev, {"portcullis.dev/baseline": fixtures.pending})
	fixtures.denied(namespace_labels.deny, refused, ["portcullis.dev/baseline"]) with input as creation(new, fixtures.unowned)
}

test_allow_controller_its_state if {
	namespace_labels.deny == set() with input as fixtures.put(change(state("a"), state("b"), fixtures.checkout), "/user", fixtures.controller)
}

test_deny_a_label_that_selects_a_baseline_without_the_gate if {
	gated := object.union(fixtures.unowned, {"baselines": ["edge"]})
	new := fixtures.labelled(fixtures.dev, {"tier": "edge"})
	parts := ["the label portcullis.dev/gate is missing and has to be 'enforced'"]
	request := fixtures.updated(fixtures.oz, fixtures.namespace, fixtures.dev, new, [fixtures.unowned, gated])
	fixtures.denied(namespace_labels.deny, refused, parts) with input as request
}

test_deny_tells_a_stranger_no_names if {
	found := namespace_labels.deny with input as fixtures.created(fixtures.zed, fixtures.namespace, fixtures.dev, fixtures.checkout)
	every violation in found { contains(violation.message, "has to be what follows from its workspace") }
	count(found) == 3
}

beneath(names) := object.union(fixtures.checkout, {"baselines": names})

escaping(who, kept) := fixtures.put(fixtures.updated(who, fixtures.namespace, right, right, [beneath(["edge", "zero-trust"]), beneath(kept)]), "/places/kept", beneath(kept))

test_deny_a_label_by_which_a_baseline_selects_to_go if {
	parts := ["ada may not update Namespace dev: with these labels NetworkBaseline edge would not apply to it any more", "Allowed: an InfraAdmin or OrgAdmin"]
	fixtures.denied(namespace_labels.deny, refused, parts) with input as escaping(fixtures.ada, ["zero-trust"])
	fixtures.denied(namespace_labels.deny, refused, ["NetworkBaseline edge, zero-trust would"]) with input as escaping(fixtures.ada, ["other"])
	every who in [fixtures.pam, fixtures.cilium, fixtures.controller, fixtures.zed] {
		fixtures.denied(namespace_labels.deny, refused, ["NetworkBaseline edge would"]) with input as escaping(who, ["zero-trust"])
	}
}

test_deny_where_what_is_kept_is_not_known if {
	document := fixtures.put(escaping(fixtures.ada, ["edge", "zero-trust"]), "/places/kept", null)
	fixtures.denied(namespace_labels.deny, refused, ["NetworkBaseline edge, zero-trust would"]) with input as document
}

test_allow_the_platform_to_take_such_a_label_off if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.namespace_controller] {
		namespace_labels.deny == set() with input as escaping(who, ["zero-trust"])
	}
}

test_allow_baselines_that_stay_or_come if {
	namespace_labels.deny == set() with input as escaping(fixtures.ada, ["edge", "zero-trust"])
	namespace_labels.deny == set() with input as escaping(fixtures.ada, ["edge", "more", "zero-trust"])
	namespace_labels.deny == set() with input as fixtures.put(escaping(fixtures.ada, ["zero-trust"]), "/request/kind", fixtures.pod)
	namespace_labels.deny == set() with input as fixtures.put(escaping(fixtures.ada, ["zero-trust"]), "/request/operation", "DELETE")
}

# Those of a workspace go with it, and who may move it is another rule's.
test_allow_baselines_that_go_with_the_workspace if {
	document := fixtures.put(fixtures.put(escaping(fixtures.pam, []), "/places/kept", beneath(["edge", "zero-trust"])), "/places/new/baselines", ["edge"])
	namespace_labels.deny == set() with input as document
}

test_allow_a_creation_escapes_nothing if {
	document := fixtures.put(escaping(fixtures.ada, ["zero-trust"]), "/request/operation", "CREATE")
	every violation in namespace_labels.deny { not contains(violation.message, "would not apply") } with input as document
}
