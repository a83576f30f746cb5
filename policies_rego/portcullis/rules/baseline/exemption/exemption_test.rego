package portcullis.rules.baseline.exemption_test

import data.portcullis.fixtures
import data.portcullis.rules.baseline.exemption

refused := {"rule": "baseline/exemption", "severity": "critical", "level": "enforce", "fixed": true}

plain := fixtures.dev_of_checkout

reason := {"portcullis.dev/exempt-reason": "moving house"}

until := {"portcullis.dev/exempt-until": "2026-12-01T00:00:00Z"}

label := {"portcullis.dev/exempt": "true"}

exempting(labels, notes) := fixtures.annotated(fixtures.labelled(fixtures.dev, object.union(fixtures.of_checkout, labels)), notes)

exempt := exempting(label, object.union(reason, until))

judged(document, problem) := fixtures.put(document, "/exemption_problem", problem)

creation(who, new) := judged(fixtures.created(who, fixtures.namespace, new, fixtures.checkout), "")

change(who, old, new) := judged(fixtures.updated(who, fixtures.namespace, old, new, [fixtures.checkout, fixtures.checkout]), "")

test_allow_empty_document if exemption.deny == set() with input as {}

test_allow_who_may if {
	every who in [fixtures.ivan, fixtures.oz] {
		exemption.deny == set() with input as creation(who, exempt)
		exemption.deny == set() with input as change(who, plain, exempt)
		exemption.deny == set() with input as change(who, exempt, plain)
	}
}

test_deny_everybody_else if {
	every who in [fixtures.ada, fixtures.pam, fixtures.zed, fixtures.cilium, fixtures.controller, fixtures.namespace_controller, fixtures.root, fixtures.nobody] {
		fixtures.denied(exemption.deny, refused, ["portcullis.dev/exempt and its annotations are put on"]) with input as creation(who, exempt)
		fixtures.denied(exemption.deny, refused, ["Leave them as they are"]) with input as change(who, plain, exempt)
		fixtures.denied(exemption.deny, refused, ["Leave them as they are"]) with input as change(who, exempt, plain)
	}
}

test_deny_each_part_of_it if {
	every side in [
		exempting(label, {}),
		exempting({"portcullis.dev/exempt": ""}, {}),
		exempting({}, reason),
		exempting({}, until),
		exempting({}, {"portcullis.dev/exempt-until": ""}),
	] {
		fixtures.denied(exemption.deny, refused, []) with input as creation(fixtures.ada, side)
		fixtures.denied(exemption.deny, refused, []) with input as change(fixtures.ada, plain, side)
		fixtures.denied(exemption.deny, refused, []) with input as change(fixtures.ada, side, plain)
		fixtures.denied(exemption.deny, refused, []) with input as change(fixtures.ada, side, exempt)
		fixtures.denied(exemption.deny, refused, []) with input as change(fixtures.ada, exempt, side)
	}
}

test_deny_subresources if {
	every name in ["status", "finalize"] {
		fixtures.denied(exemption.deny, refused, []) with input as fixtures.subresource(change(fixtures.ada, plain, exempt), name)
	}
}

test_deny_unknown_version if {
	document := fixtures.put(change(fixtures.ada, plain, exempt), "/request/kind/version", "v2")
	fixtures.denied(exemption.deny, refused, []) with input as document
}

test_deny_tells_insiders_who_may if {
	parts := ["ada may not update Namespace dev: the label", "Allowed: InfraAdmin of acme (User ivan, ServiceAccount gitops/argocd), OrgAdmin of acme (Group acme-admins)"]
	fixtures.denied(exemption.deny, refused, parts) with input as change(fixtures.ada, plain, exempt)
}

test_deny_tells_a_stranger_no_names if {
	[violation] = [each | some each in exemption.deny] with input as change(fixtures.zed, plain, exempt)
	endswith(violation.message, "Allowed: an InfraAdmin or OrgAdmin of the organization")
}

test_deny_unknown_place if {
	parts := ["Allowed: an InfraAdmin or OrgAdmin of the organization"]
	fixtures.denied(exemption.deny, refused, parts) with input as fixtures.put(change(fixtures.ada, plain, exempt), "/places/new", null)
}

test_deny_what_is_not_whole if {
	parts := ["ivan may not update Namespace dev: it would last too long. Or leave out the label portcullis.dev/exempt and both"]
	document := judged(change(fixtures.ivan, plain, exempt), "it would last too long")
	fixtures.denied(exemption.deny, refused, parts) with input as document
	fixtures.denied(exemption.deny, refused, ["it lacks its end"]) with input as judged(creation(fixtures.oz, exempt), "it lacks its end")
}

test_deny_where_it_is_not_known if {
	document := fixtures.without(change(fixtures.ivan, plain, exempt), "/exemption_problem")
	fixtures.denied(exemption.deny, refused, ["whether the exemption is whole is not known"]) with input as document
}

# What stands already is judged when it is changed.
test_allow_who_leaves_it_as_it_is if {
	every who in [fixtures.ada, fixtures.zed, fixtures.controller, fixtures.namespace_controller] {
		exemption.deny == set() with input as judged(change(who, exempt, exempt), "it ended")
		exemption.deny == set() with input as creation(who, plain)
	}
	tagged := fixtures.labelled(exempt, object.union(exempt.metadata.labels, {"team": "a"}))
	exemption.deny == set() with input as change(fixtures.ada, exempt, tagged)
}

test_allow_delete if {
	exemption.deny == set() with input as fixtures.deleted(fixtures.ada, fixtures.namespace, exempt, fixtures.checkout)
}

test_allow_other_kinds if {
	exemption.deny == set() with input as fixtures.put(creation(fixtures.ada, exempt), "/request/kind", fixtures.pod)
}

test_allow_who_may_leaves_what_is_not_whole_as_it_is if {
	every who in [fixtures.ivan, fixtures.oz] {
		exemption.deny == set() with input as judged(change(who, exempt, exempt), "it ended")
	}
}

test_deny_who_may_not_is_not_told_what_it_lacks if {
	parts := ["are put on, changed and taken off by an InfraAdmin or OrgAdmin alone"]
	fixtures.denied(exemption.deny, refused, parts) with input as judged(change(fixtures.ada, plain, exempt), "it would last too long")
}
