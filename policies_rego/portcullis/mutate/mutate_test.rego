package portcullis.mutate_test

import data.portcullis.fixtures
import data.portcullis.mutate

of_two := [fixtures.checkout, fixtures.refunds]

creation(who, new, place) := fixtures.created(who, fixtures.namespace, new, place)

change(who, old, new, places) := fixtures.updated(who, fixtures.namespace, old, new, places)

administering(who, places) := fixtures.put(creation(who, fixtures.dev, fixtures.unowned), "/places/administered", places)

keeping(who, new, places) := fixtures.put(change(who, fixtures.dev_of_checkout, new, places), "/places/kept", fixtures.checkout)

stamped(who) := change(who, state("a"), state("b"), [fixtures.checkout, fixtures.checkout])

state(value) := fixtures.annotated(fixtures.dev_of_checkout, {"portcullis.dev/baseline": value})

label(key, value) := {"on": "labels", "key": $"portcullis.dev/{key}", "value": value}

note(value) := {"on": "annotations", "key": "portcullis.dev/baseline", "value": value}

of_checkout := {label("workspace", "checkout"), label("project", "payments"), label("organization", "acme"), label("gate", "enforced"), note(fixtures.pending)}

test_deny_empty_document if {
	not mutate.decision with input as {}
	not mutate.decision with input as {} with data.system.bundles as fixtures.bundles
	mutate.changes == set() with input as {}
}

asked := creation(fixtures.ada, fixtures.labelled(fixtures.dev, {"portcullis.dev/workspace": "checkout"}), fixtures.checkout)

test_deny_without_a_whole_request if {
	every path in ["/request/operation", "/request/kind/kind", "/user/name"] {
		not mutate.decision with input as fixtures.without(asked, path) with data.system.bundles as fixtures.bundles
	}
	not mutate.decision with input as fixtures.put(asked, "/user/name", null) with data.system.bundles as fixtures.bundles
	not mutate.decision with input as asked
}

test_allow_decision if {
	decision := mutate.decision with input as asked with data.system.bundles as fixtures.bundles
	decision == {"revision": "r1", "rules": [["mutate", "namespace"]], "undecided": "", "changes": sort(of_checkout - {label("workspace", "checkout")})}
}

test_deny_undecided_without_the_tree if {
	decision := mutate.decision with input as fixtures.put(asked, "/tree", false)
		with data.system.bundles as fixtures.bundles
	decision == {"revision": "r1", "rules": [["mutate", "namespace"]], "undecided": "the tenant tree is not loaded", "changes": []}
}

test_deny_undecided_for_a_nameless_break_glass if {
	mutate.undecided == "the tenant tree is not loaded" with input as fixtures.put(fixtures.put(asked, "/tree", false), "/user", fixtures.nobody)
}

test_allow_break_glass_without_the_tree if {
	document := fixtures.put(fixtures.put(asked, "/tree", false), "/user", fixtures.root)
	mutate.undecided == "" with input as document
	mutate.changes == set() with input as document
}

test_allow_other_requests_unchanged if {
	mutate.changes == set() with input as fixtures.put(asked, "/request/kind", fixtures.pod)
	mutate.changes == set() with input as fixtures.put(asked, "/request/operation", "DELETE")
	mutate.changes == set() with input as fixtures.put(asked, "/object", null)
}

test_allow_stamps_what_is_missing if {
	mutate.changes == of_checkout - {label("workspace", "checkout")} with input as asked
}

test_allow_stamps_another_version if {
	count(mutate.changes) == 4 with input as fixtures.put(asked, "/request/kind/version", "v9")
}

test_allow_replaces_what_is_wrong if {
	wrong := {"portcullis.dev/project": "video", "portcullis.dev/organization": "", "portcullis.dev/gate": "no"}
	new := fixtures.labelled(fixtures.dev, object.union(fixtures.of_checkout, wrong))
	mutate.changes == of_checkout - {label("workspace", "checkout")} with input as creation(fixtures.ada, new, fixtures.checkout)
}

test_allow_takes_away_what_is_left_over if {
	new := fixtures.annotated(fixtures.labelled(fixtures.dev, object.remove(fixtures.of_checkout, ["portcullis.dev/workspace"])), {"portcullis.dev/baseline": "x"})
	gone := {label("project", null), label("organization", null), label("gate", null), note(null)}
	mutate.changes == gone with input as creation(fixtures.ivan, new, fixtures.unowned)
}

test_allow_a_label_that_names_no_workspace_stays if {
	new := fixtures.labelled(fixtures.dev, {"portcullis.dev/workspace": "lost"})
	mutate.changes == set() with input as creation(fixtures.ada, new, fixtures.orphaned)
}

test_allow_nothing_where_all_is_right if {
	mutate.changes == set() with input as creation(fixtures.ada, state(fixtures.pending), fixtures.checkout)
	mutate.changes == set() with input as change(fixtures.ada, state("a"), state("a"), [fixtures.checkout, fixtures.checkout])
	mutate.changes == set() with input as creation(fixtures.ivan, fixtures.dev, fixtures.unowned)
}

test_allow_other_labels_and_annotations_stay if {
	new := object.union(state(fixtures.pending), {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}})
	mutate.changes == set() with input as creation(fixtures.ada, new, fixtures.checkout)
}

test_allow_fills_in_the_only_workspace if {
	mutate.changes == of_checkout with input as administering(fixtures.ada, [fixtures.checkout])
	mutate.changes == of_checkout with input as administering(fixtures.ada, of_two)
}

test_allow_an_empty_label_is_none if {
	document := fixtures.put(administering(fixtures.ada, [fixtures.checkout]), "/object/metadata/labels", {"portcullis.dev/workspace": ""})
	mutate.changes == of_checkout with input as document
}

test_deny_fills_in_nothing_where_it_could_be_several if {
	mutate.changes == set() with input as administering(fixtures.two, of_two)
}

test_deny_fills_in_nothing_for_others if {
	mutate.changes == set() with input as administering(fixtures.zed, of_two)
	mutate.changes == set() with input as administering(fixtures.nobody, of_two)
	orphan := fixtures.put(fixtures.checkout, "/standing", "orphaned")
	mutate.changes == set() with input as administering(fixtures.ada, [orphan])
}

# Who holds something higher anywhere says what they mean.
test_deny_fills_in_nothing_for_who_holds_something_higher if {
	every group, role in {"Organization~1acme": "OrgAdmin", "Project~1media": "ProjectAdmin"} {
		document := fixtures.put(administering(fixtures.ada, [fixtures.checkout]), $"/tenants/{group}/roles/-", fixtures.grant(role, [fixtures.user("ada")]))
		mutate.changes == set() with input as document
	}
	every role in ["InfraAdmin", "SystemWriter"] {
		document := fixtures.put(administering(fixtures.ada, [fixtures.checkout]), "/tenants/Organization~1acme/roles/-", fixtures.grant(role, [fixtures.user("ada")]))
		mutate.changes == set() with input as document
	}
}

test_allow_fills_in_for_who_reads_higher if {
	every tenant, role in {"Organization~1acme": "OrgReader", "Project~1media": "ProjectReader", "Workspace~1video": "WorkspaceReader"} {
		document := fixtures.put(administering(fixtures.ada, [fixtures.checkout]), $"/tenants/{tenant}/roles/-", fixtures.grant(role, [fixtures.user("ada")]))
		mutate.changes == of_checkout with input as document
	}
}

test_deny_fills_in_nothing_where_it_is_said if {
	document := fixtures.put(creation(fixtures.ada, fixtures.labelled(fixtures.dev, {"portcullis.dev/workspace": "video"}), fixtures.video), "/places/administered", [fixtures.checkout])
	label("project", "media") in mutate.changes with input as document
	not label("workspace", "checkout") in mutate.changes with input as document
}

test_deny_fills_in_nothing_in_reserved_namespaces if {
	document := fixtures.put(administering(fixtures.ada, [fixtures.checkout]), "/places/new", fixtures.reserved)
	mutate.changes == set() with input as document
}

test_deny_fills_in_nothing_at_an_update if {
	document := fixtures.put(change(fixtures.ada, fixtures.dev, fixtures.dev, [fixtures.unowned, fixtures.unowned]), "/places/administered", [fixtures.checkout])
	mutate.changes == set() with input as document
}

test_allow_keeps_the_workspace if {
	every who in [fixtures.ada, fixtures.pam, fixtures.ivan, fixtures.zed, fixtures.controller, fixtures.cilium, fixtures.nobody] {
		document := keeping(who, fixtures.dev, [fixtures.checkout, fixtures.unowned])
		mutate.changes == of_checkout - {note(fixtures.pending)} with input as document
	}
}

test_allow_releases_for_who_may if {
	every who in [fixtures.oz, fixtures.root] {
		document := keeping(who, fixtures.labelled(fixtures.dev, object.remove(fixtures.of_checkout, ["portcullis.dev/workspace"])), [fixtures.checkout, fixtures.unowned])
		mutate.changes == {label("project", null), label("organization", null), label("gate", null)} with input as document
	}
}

test_allow_moves_what_is_said if {
	moved := fixtures.labelled(fixtures.dev, object.union(fixtures.of_checkout, {"portcullis.dev/workspace": "video"}))
	mutate.changes == {label("project", "media")} with input as keeping(fixtures.ada, moved, [fixtures.checkout, fixtures.video])
}

test_allow_what_was_unowned_stays_so if {
	document := fixtures.put(change(fixtures.ada, fixtures.dev, fixtures.dev, [fixtures.unowned, fixtures.unowned]), "/places/kept", fixtures.checkout)
	mutate.changes == set() with input as document
}

test_allow_keeps_nothing_at_creation if {
	document := fixtures.put(keeping(fixtures.zed, fixtures.dev, [fixtures.checkout, fixtures.unowned]), "/request/operation", "CREATE")
	mutate.changes == set() with input as document
}

test_allow_controller_its_state if mutate.changes == set() with input as stamped(fixtures.controller)

test_allow_anothers_state_is_put_back if {
	every who in [fixtures.ada, fixtures.oz, fixtures.root, fixtures.cilium] {
		mutate.changes == {note("a")} with input as stamped(who)
		mutate.changes == {note("a")} with input as fixtures.put(stamped(who), "/object/metadata/annotations", {})
		mutate.changes == {note(null)} with input as fixtures.put(stamped(who), "/old_object/metadata/annotations", {})
	}
}

test_allow_pending_even_from_the_controller if {
	mutate.changes == {note(fixtures.pending)} with input as creation(fixtures.controller, state("x"), fixtures.checkout)
}

test_allow_system_actors_stamp_nothing if {
	mutate.changes == set() with input as keeping(fixtures.namespace_controller, fixtures.dev, [fixtures.checkout, fixtures.unowned])
	mutate.changes == set() with input as creation(fixtures.namespace_controller, fixtures.dev_of_checkout, fixtures.unowned)
}

# A label on a reserved namespace means nothing, so none is kept.
test_allow_keeps_nothing_in_reserved_namespaces if {
	mutate.changes == set() with input as keeping(fixtures.oz, fixtures.dev, [fixtures.checkout, fixtures.reserved])
	mutate.changes == set() with input as keeping(fixtures.ada, fixtures.dev, [fixtures.checkout, fixtures.reserved])
}
