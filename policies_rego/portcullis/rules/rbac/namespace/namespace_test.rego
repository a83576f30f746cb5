package portcullis.rules.rbac.namespace_test

import data.portcullis.fixtures
import data.portcullis.rules.rbac.namespace

refused := {"rule": "rbac/namespace", "severity": "critical", "level": "enforce", "fixed": false}

# Whose a namespace is, is never softened.
fixed := object.union(refused, {"fixed": true})

plain := fixtures.dev

of(workspace) := fixtures.labelled(plain, {"portcullis.dev/workspace": workspace})

reserved := fixtures.object_of("", "kube-system", {})

noted(notes) := fixtures.annotated(of("checkout"), notes)

with_labels(labels) := fixtures.labelled(plain, object.union({"portcullis.dev/workspace": "checkout"}, labels))

creation(who, new, place) := fixtures.created(who, fixtures.namespace, new, place)

change(who, old, new, places) := fixtures.updated(who, fixtures.namespace, old, new, places)

deletion(who, old, place) := fixtures.deleted(who, fixtures.namespace, old, place)

stays(who, old, new) := change(who, old, new, [fixtures.checkout, fixtures.checkout])

moves(who, from, to) := change(who, of(from.workspace), of(to.workspace), [from, to])

test_allow_empty_document if namespace.deny == set() with input as {}

test_allow_owners if {
	every who in [fixtures.ada, fixtures.pam, fixtures.oz] {
		namespace.deny == set() with input as creation(who, of("checkout"), fixtures.checkout)
		namespace.deny == set() with input as stays(who, of("checkout"), with_labels({"portcullis.dev/any": "x"}))
		namespace.deny == set() with input as deletion(who, of("checkout"), fixtures.checkout)
	}
	every who in [fixtures.ivan, fixtures.oz] {
		namespace.deny == set() with input as creation(who, plain, fixtures.unowned)
		namespace.deny == set() with input as change(who, plain, plain, [fixtures.unowned, fixtures.unowned])
		namespace.deny == set() with input as deletion(who, plain, fixtures.unowned)
	}
}

test_deny_creation if {
	every who in [fixtures.bo, fixtures.sam, fixtures.ivan, fixtures.rita, fixtures.zed, fixtures.controller, fixtures.root, fixtures.cilium] {
		parts := [$"{who.name} may not create Namespace dev: the label says that it belongs to workspace checkout. Allowed: "]
		fixtures.denied(namespace.deny, fixed, parts) with input as creation(who, of("checkout"), fixtures.checkout)
	}
	every who in [fixtures.ada, fixtures.pam, fixtures.zed] {
		parts := ["a namespace without the label portcullis.dev/workspace belongs to no workspace. Allowed: an InfraAdmin or OrgAdmin"]
		fixtures.denied(namespace.deny, refused, parts) with input as creation(who, plain, fixtures.unowned)
	}
}

test_deny_deletion if {
	every who in [fixtures.bo, fixtures.sam, fixtures.ivan, fixtures.zed, fixtures.controller] {
		parts := [$"{who.name} may not delete Namespace dev: the namespace belongs to "]
		fixtures.denied(namespace.deny, refused, parts) with input as deletion(who, of("checkout"), fixtures.checkout)
	}
	fixtures.denied(namespace.deny, refused, ["belongs to no workspace"]) with input as deletion(fixtures.ada, plain, fixtures.unowned)
}

test_deny_change if {
	every who in [fixtures.bo, fixtures.sam, fixtures.zed, fixtures.rita] {
		parts := [$"{who.name} may not update Namespace dev: the namespace belongs to "]
		fixtures.denied(namespace.deny, refused, parts) with input as stays(who, of("checkout"), of("checkout"))
	}
}

test_deny_empty_user_name if {
	parts := ["a caller without a name may not create Namespace dev"]
	fixtures.denied(namespace.deny, fixed, parts) with input as creation(fixtures.nobody, of("checkout"), fixtures.checkout)
}

test_allow_other_kinds if {
	namespace.deny == set() with input as fixtures.put(creation(fixtures.zed, of("checkout"), fixtures.checkout), "/request/kind", fixtures.pod)
	document := fixtures.put(creation(fixtures.zed, plain, fixtures.unowned), "/service_accounts", ["Organization/acme"])
	namespace.deny == set() with input as fixtures.put(document, "/request/kind", fixtures.pod)
}

test_deny_unknown_version if {
	every document in [
		creation(fixtures.oz, plain, fixtures.unowned),
		creation(fixtures.cilium, plain, fixtures.unowned),
		change(fixtures.oz, plain, plain, [fixtures.unowned, fixtures.unowned]),
		deletion(fixtures.oz, plain, fixtures.unowned),
	] {
		fixtures.denied(namespace.deny, refused, ["version v9 is not known here"]) with input as fixtures.put(document, "/request/kind/version", "v9")
	}
}

test_deny_inconsistent if {
	parts := ["what it speaks of cannot be told from the object"]
	every document in [change(fixtures.oz, plain, plain, [fixtures.unowned, fixtures.unowned]), deletion(fixtures.oz, plain, fixtures.unowned)] {
		fixtures.denied(namespace.deny, refused, parts) with input as fixtures.put(document, "/request/name", "other")
	}
	fixtures.denied(namespace.deny, refused, []) with input as fixtures.put(creation(fixtures.oz, plain, fixtures.unowned), "/request/name", "other")
	fixtures.denied(namespace.deny, refused, []) with input as fixtures.put(creation(fixtures.cilium, plain, fixtures.unowned), "/request/name", "other")
	every document in [creation(fixtures.oz, plain, fixtures.unowned), creation(fixtures.cilium, plain, fixtures.unowned)] {
		nameless := fixtures.put(fixtures.put(document, "/object/metadata/name", ""), "/request/name", "")
		fixtures.denied(namespace.deny, refused, ["may not create Namespace without a name: it has no name yet"]) with input as nameless
	}
}

test_deny_what_is_not_understood_whoever_asks if {
	labelled := object.union(fixtures.reserved, {"workspace": "checkout"})
	every document in [
		creation(fixtures.oz, of("checkout"), fixtures.checkout),
		creation(fixtures.oz, reserved, fixtures.reserved),
		change(fixtures.oz, reserved, reserved, [fixtures.reserved, fixtures.reserved]),
		change(fixtures.oz, reserved, reserved, [labelled, fixtures.reserved]),
		moves(fixtures.oz, fixtures.checkout, fixtures.video),
		moves(fixtures.pam, fixtures.checkout, fixtures.refunds),
		moves(fixtures.oz, fixtures.checkout, fixtures.unowned),
		stays(fixtures.ivan, of("checkout"), with_labels({"team": "a"})),
		stays(fixtures.controller, of("checkout"), with_labels({"portcullis.dev/gate": "x"})),
		stays(fixtures.cilium, of("checkout"), of("checkout")),
		deletion(fixtures.cilium, of("checkout"), fixtures.checkout),
	] {
		speaks with input as fixtures.put(document, "/request/name", "other")
		speaks with input as fixtures.put(document, "/request/kind/version", "v9")
		speaks with input as fixtures.subresource(document, "finalize")
		not speaks with input as document
	}
}

speaks if count(namespace.deny) > 0

test_deny_by_the_place_before_a_deletion if {
	document := fixtures.put(deletion(fixtures.ada, of("refunds"), fixtures.refunds), "/places/new", fixtures.checkout)
	fixtures.denied(namespace.deny, refused, ["ada may not delete Namespace dev"]) with input as document
}

test_deny_without_an_object if {
	every who in [fixtures.oz, fixtures.cilium, fixtures.zed] {
		fixtures.denied(namespace.deny, refused, []) with input as fixtures.put(deletion(who, plain, fixtures.unowned), "/old_object", null)
		fixtures.denied(namespace.deny, refused, []) with input as fixtures.put(creation(who, plain, fixtures.unowned), "/object", null)
	}
}

test_deny_unknown_operation if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.cilium] {
		document := fixtures.put(change(who, plain, plain, [fixtures.unowned, fixtures.unowned]), "/request/operation", "CONNECT")
		fixtures.denied(namespace.deny, refused, [$"{who.name} may not connect Namespace dev"]) with input as document
	}
}

test_deny_what_is_created_in_a_workspace_that_is_not if {
	parts := ["there is no workspace lost with a project. Name one that exists in the label portcullis.dev/workspace"]
	every who in [fixtures.oz, fixtures.ivan, fixtures.ada] {
		fixtures.denied(namespace.deny, fixed, parts) with input as creation(who, of("lost"), fixtures.orphaned)
		fixtures.denied(namespace.deny, fixed, parts) with input as moves(who, fixtures.checkout, fixtures.orphaned)
	}
}

test_allow_org_admin_to_mend_an_orphan if {
	namespace.deny == set() with input as deletion(fixtures.oz, of("lost"), fixtures.orphaned)
	namespace.deny == set() with input as change(fixtures.oz, of("lost"), of("lost"), [fixtures.orphaned, fixtures.orphaned])
	namespace.deny == set() with input as moves(fixtures.oz, fixtures.orphaned, fixtures.checkout)
	namespace.deny == set() with input as moves(fixtures.oz, fixtures.orphaned, fixtures.unowned)
}

test_deny_others_to_mend_an_orphan if {
	every who in [fixtures.ivan, fixtures.ada, fixtures.zed] {
		fixtures.denied(namespace.deny, refused, ["belongs to ", "does not exist or has no project"]) with input as deletion(who, of("lost"), fixtures.orphaned)
		fixtures.denied(namespace.deny, fixed, ["only an OrgAdmin takes a namespace into a workspace or out of it"]) with input as moves(who, fixtures.orphaned, fixtures.checkout)
	}
	every who in [fixtures.ada, fixtures.ivan] {
		changed := change(who, of("lost"), of("lost"), [fixtures.orphaned, fixtures.orphaned])
		fixtures.denied(namespace.deny, refused, ["does not exist or has no project"]) with input as changed
	}
}

test_allow_move_between_what_one_owns if {
	namespace.deny == set() with input as moves(fixtures.two, fixtures.checkout, fixtures.refunds)
	namespace.deny == set() with input as moves(fixtures.pam, fixtures.checkout, fixtures.refunds)
	namespace.deny == set() with input as moves(fixtures.oz, fixtures.checkout, fixtures.video)
}

test_deny_move if {
	every who in [fixtures.ada, fixtures.bo] {
		parts := ["it would move the namespace to workspace refunds, and the namespace belongs to ", "Allowed: who owns both, which are ", "; and "]
		fixtures.denied(namespace.deny, fixed, parts) with input as moves(who, fixtures.checkout, fixtures.refunds)
	}
	every who in [fixtures.pam, fixtures.sam, fixtures.ivan, fixtures.cilium, fixtures.controller] {
		fixtures.denied(namespace.deny, fixed, ["it would move the namespace to workspace video"]) with input as moves(who, fixtures.checkout, fixtures.video)
	}
}

test_allow_org_admin_to_adopt_and_release if {
	namespace.deny == set() with input as moves(fixtures.oz, fixtures.unowned, fixtures.checkout)
	namespace.deny == set() with input as change(fixtures.oz, of("checkout"), plain, [fixtures.checkout, fixtures.unowned])
}

both := fixtures.caller("ivan", ["checkout-team"])

test_deny_others_to_adopt_and_release if {
	every who in [fixtures.ada, fixtures.pam, fixtures.ivan, both, fixtures.cilium, fixtures.zed] {
		parts := ["only an OrgAdmin takes a namespace into a workspace or out of it. Allowed: ", "OrgAdmin of "]
		fixtures.denied(namespace.deny, fixed, parts) with input as change(who, plain, of("checkout"), [fixtures.unowned, fixtures.checkout])
		fixtures.denied(namespace.deny, fixed, parts) with input as change(who, of("checkout"), plain, [fixtures.checkout, fixtures.unowned])
	}
}

test_deny_updates_without_places if {
	fixtures.denied(namespace.deny, fixed, []) with input as change(fixtures.oz, of("checkout"), of("checkout"), [fixtures.checkout, null])
	fixtures.denied(namespace.deny, refused, []) with input as change(fixtures.oz, of("checkout"), of("checkout"), [null, null])
}

test_allow_platform_in_reserved if {
	labelled := object.union(fixtures.reserved, {"workspace": "checkout"})
	every who in [fixtures.oz, fixtures.ivan] {
		namespace.deny == set() with input as creation(who, reserved, fixtures.reserved)
		namespace.deny == set() with input as change(who, reserved, reserved, [fixtures.reserved, fixtures.reserved])
		namespace.deny == set() with input as change(who, reserved, reserved, [labelled, fixtures.reserved])
		namespace.deny == set() with input as deletion(who, reserved, fixtures.reserved)
	}
}

test_deny_reserved if {
	labelled := object.union(fixtures.reserved, {"workspace": "checkout"})
	every who in [fixtures.oz, fixtures.ivan, fixtures.ada] {
		parts := [" Namespace kube-system: Kubernetes' own namespaces and Portcullis' belong to no workspace. Leave the label"]
		fixtures.denied(namespace.deny, fixed, parts) with input as creation(who, reserved, labelled)
		fixtures.denied(namespace.deny, fixed, parts) with input as change(who, reserved, reserved, [fixtures.reserved, labelled])
	}
	fixtures.denied(namespace.deny, refused, ["kube-system: a namespace without the label portcullis.dev/workspace belongs to no workspace"]) with input as creation(fixtures.ada, reserved, fixtures.reserved)
	fixtures.denied(namespace.deny, fixed, []) with input as change(fixtures.ada, reserved, reserved, [labelled, fixtures.reserved])
	fixtures.denied(namespace.deny, refused, []) with input as change(fixtures.ada, reserved, reserved, [fixtures.reserved, fixtures.reserved])
}

test_allow_infra_admin_beside_ownership if {
	every new in [
		with_labels({"team": "a"}),
		with_labels({"portcullis.dev/exempt": "true"}),
		with_labels({"portcullis.dev/gate": "enforced"}),
		noted({"note": "x"}),
		noted({"portcullis.dev/exempt-reason": "x", "portcullis.dev/exempt-until": "2027-01-01T00:00:00Z"}),
	] {
		namespace.deny == set() with input as stays(fixtures.ivan, of("checkout"), new)
		namespace.deny == set() with input as stays(fixtures.ivan, new, of("checkout"))
	}
}

test_deny_infra_admin_what_is_ours_or_more if {
	every new in [
		with_labels({"portcullis.dev/other": "x"}),
		with_labels({"portcullis.dev/exempt-until": "x"}),
		with_labels({"portcullis.dev/exempt-reason": "x"}),
		noted({"portcullis.dev/other": "x"}),
		noted({"portcullis.dev/exempt": "x"}),
		object.union(of("checkout"), {"spec": {"finalizers": ["x"]}}),
		object.union(of("checkout"), {"metadata": {"finalizers": ["x"]}}),
	] {
		fixtures.denied(namespace.deny, refused, ["ivan may not update Namespace dev: the namespace belongs to workspace checkout"]) with input as stays(fixtures.ivan, of("checkout"), new)
	}
}

test_deny_others_beside_ownership if {
	fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.zed, of("checkout"), with_labels({"team": "a"}))
	document := change(fixtures.ivan, of("checkout"), with_labels({"team": "a"}), [fixtures.checkout, fixtures.refunds])
	fixtures.denied(namespace.deny, fixed, []) with input as document
}

test_allow_system_writer if {
	namespace.deny == set() with input as creation(fixtures.cilium, plain, fixtures.unowned)
	namespace.deny == set() with input as stays(fixtures.cilium, of("checkout"), with_labels({"team": "a"}))
	namespace.deny == set() with input as stays(fixtures.cilium, of("checkout"), object.union(of("checkout"), {"spec": {"finalizers": ["x"]}}))
	namespace.deny == set() with input as deletion(fixtures.cilium, of("checkout"), fixtures.checkout)
}

test_deny_system_writer_what_is_ours if {
	fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.cilium, of("checkout"), with_labels({"portcullis.dev/exempt": "true"}))
	fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.cilium, with_labels({"portcullis.dev/exempt": "true"}), of("checkout"))
	fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.cilium, of("checkout"), noted({"portcullis.dev/exempt-until": "x"}))
	fixtures.denied(namespace.deny, fixed, []) with input as creation(fixtures.cilium, of("checkout"), fixtures.checkout)
	fixtures.denied(namespace.deny, refused, []) with input as fixtures.subresource(deletion(fixtures.cilium, of("checkout"), fixtures.checkout), "finalize")
}

derived := with_labels({"portcullis.dev/project": "payments", "portcullis.dev/organization": "acme", "portcullis.dev/gate": "enforced"})

test_allow_controller_what_is_derived if {
	namespace.deny == set() with input as stays(fixtures.controller, of("checkout"), derived)
	namespace.deny == set() with input as stays(fixtures.controller, derived, of("checkout"))
	namespace.deny == set() with input as stays(fixtures.controller, of("checkout"), noted({"portcullis.dev/baseline": "x"}))
}

test_deny_controller_anything_else if {
	every new in [
		with_labels({"portcullis.dev/exempt": "true"}),
		with_labels({"team": "a"}),
		with_labels({"portcullis.dev/baseline": "x"}),
		noted({"portcullis.dev/gate": "x"}),
		noted({"note": "x"}),
		object.union(of("checkout"), {"spec": {"finalizers": ["x"]}}),
		object.union(of("checkout"), {"metadata": {"finalizers": ["x"]}}),
	] {
		fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.controller, of("checkout"), new)
	}
	fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.zed, of("checkout"), derived)
}

test_allow_system_delete if {
	every place in [fixtures.checkout, fixtures.reserved, fixtures.unknown, null] {
		namespace.deny == set() with input as deletion(fixtures.namespace_controller, of("checkout"), place)
	}
}

test_allow_system_status_and_finalize if {
	every subresource in ["status", "finalize"] {
		new := object.union(of("checkout"), {"spec": {"finalizers": []}, "status": {"phase": "Terminating"}})
		document := fixtures.subresource(stays(fixtures.namespace_controller, of("checkout"), new), subresource)
		namespace.deny == set() with input as document
	}
}

test_deny_system_anything_else if {
	who := fixtures.namespace_controller
	changed := object.union(of("checkout"), {"spec": {"finalizers": []}})
	fixtures.denied(namespace.deny, refused, []) with input as stays(who, of("checkout"), changed)
	every subresource in ["status", "finalize"] {
		relabelled := fixtures.subresource(stays(who, of("checkout"), with_labels({"team": "a"})), subresource)
		fixtures.denied(namespace.deny, refused, []) with input as relabelled
		annotated := fixtures.subresource(stays(who, of("checkout"), noted({"a": "b"})), subresource)
		fixtures.denied(namespace.deny, refused, []) with input as annotated
		created := fixtures.put(fixtures.subresource(stays(who, of("checkout"), changed), subresource), "/request/operation", "CREATE")
		fixtures.denied(namespace.deny, fixed, []) with input as fixtures.put(created, "/places/old", null)
	}
	fixtures.denied(namespace.deny, refused, []) with input as fixtures.subresource(stays(who, of("checkout"), changed), "other")
}

test_deny_others_finalize if {
	every who in [fixtures.oz, fixtures.ada, fixtures.ivan, fixtures.cilium, fixtures.controller] {
		parts := [$"{who.name} may not update Namespace dev: finalize of a namespace is written by Kubernetes' namespace controller alone"]
		fixtures.denied(namespace.deny, refused, parts) with input as fixtures.subresource(stays(who, of("checkout"), of("checkout")), "finalize")
	}
}

test_deny_others_status if {
	parts := ["zed may not update Namespace dev: the namespace belongs to another workspace"]
	fixtures.denied(namespace.deny, refused, parts) with input as fixtures.subresource(stays(fixtures.zed, of("checkout"), of("checkout")), "status")
}

test_allow_owner_status if {
	namespace.deny == set() with input as fixtures.subresource(stays(fixtures.ada, of("checkout"), of("checkout")), "status")
}

held := object.union(of("checkout"), {"metadata": {"finalizers": ["x"]}})

test_allow_system_release if namespace.deny == set() with input as stays(fixtures.namespace_controller, held, of("checkout"))

test_deny_others_a_release if fixtures.denied(namespace.deny, refused, []) with input as stays(fixtures.zed, held, of("checkout"))

test_allow_system_creates_kubernetes_own if {
	every name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
		namespace.deny == set() with input as creation(fixtures.namespace_controller, fixtures.object_of("", name, {}), fixtures.reserved)
	}
	default_place := object.union(fixtures.unowned, {"namespace": "default"})
	namespace.deny == set() with input as creation(fixtures.namespace_controller, fixtures.object_of("", "default", {}), default_place)
}

test_deny_system_creates_others if {
	fixtures.denied(namespace.deny, refused, []) with input as creation(fixtures.namespace_controller, plain, fixtures.unowned)
	of_default := fixtures.object_of("", "default", {})
	fixtures.denied(namespace.deny, fixed, []) with input as creation(fixtures.namespace_controller, of_default, fixtures.checkout)
	fixtures.denied(namespace.deny, refused, []) with input as creation(fixtures.zed, reserved, fixtures.reserved)
	updated := change(fixtures.namespace_controller, of_default, object.union(of_default, {"spec": {"a": 1}}), [fixtures.unowned, fixtures.unowned])
	fixtures.denied(namespace.deny, refused, []) with input as updated
}

accounts(document, keys) := fixtures.put(document, "/service_accounts", keys)

granted := "the tree gives a role to a ServiceAccount of a namespace of this name, so only who may grant that role may"

test_deny_namespace_of_a_service_account if {
	parts := ["ivan may not create Namespace dev: ", granted, "Allowed: an OrgAdmin, or for a role in a workspace a ProjectAdmin of its project"]
	fixtures.denied(namespace.deny, fixed, parts) with input as accounts(creation(fixtures.ivan, plain, fixtures.unowned), ["Organization/acme"])
	fixtures.denied(namespace.deny, fixed, [granted]) with input as accounts(creation(fixtures.ada, of("checkout"), fixtures.checkout), ["Workspace/checkout"])
	fixtures.denied(namespace.deny, fixed, [granted]) with input as accounts(creation(fixtures.pam, of("checkout"), fixtures.checkout), ["Workspace/refunds", "Workspace/video"])
	fixtures.denied(namespace.deny, fixed, [granted]) with input as accounts(creation(fixtures.pam, of("checkout"), fixtures.checkout), ["Project/payments"])
	fixtures.denied(namespace.deny, fixed, [granted]) with input as accounts(moves(fixtures.two, fixtures.checkout, fixtures.refunds), ["Workspace/checkout"])
}

test_allow_namespace_of_a_service_account if {
	every key in ["Organization/acme", "Project/payments", "Workspace/video"] {
		namespace.deny == set() with input as accounts(creation(fixtures.oz, plain, fixtures.unowned), [key])
	}
	namespace.deny == set() with input as accounts(creation(fixtures.pam, of("checkout"), fixtures.checkout), ["Workspace/checkout", "Workspace/refunds"])
	namespace.deny == set() with input as accounts(moves(fixtures.pam, fixtures.checkout, fixtures.refunds), ["Workspace/checkout"])
}

test_allow_what_arrives_nowhere_with_a_service_account if {
	namespace.deny == set() with input as accounts(stays(fixtures.ada, of("checkout"), of("checkout")), ["Organization/acme"])
	namespace.deny == set() with input as accounts(deletion(fixtures.ada, of("checkout"), fixtures.checkout), ["Organization/acme"])
	system := creation(fixtures.namespace_controller, reserved, fixtures.reserved)
	namespace.deny == set() with input as accounts(system, ["Organization/acme"])
	labelled := object.union(fixtures.reserved, {"workspace": "checkout"})
	namespace.deny == set() with input as accounts(change(fixtures.ivan, reserved, reserved, [labelled, fixtures.reserved]), ["Organization/acme"])
}

administered(who, places) := fixtures.put(creation(who, plain, fixtures.unowned), "/places/administered", places)

test_deny_says_which_workspaces_it_could_be if {
	parts := ["two may not create Namespace dev: you are WorkspaceAdmin of checkout, refunds. Say which of them owns it by the label portcullis.dev/workspace, for example portcullis.dev/workspace: checkout"]
	fixtures.denied(namespace.deny, refused, parts) with input as administered(fixtures.two, [fixtures.checkout, fixtures.refunds])
}

test_deny_names_no_workspace_of_others if {
	parts := ["a namespace without the label portcullis.dev/workspace belongs to no workspace"]
	fixtures.denied(namespace.deny, refused, parts) with input as administered(fixtures.ada, [fixtures.checkout, fixtures.refunds])
	fixtures.denied(namespace.deny, fixed, ["the label says"]) with input as fixtures.put(
		creation(fixtures.two, of("video"), fixtures.video),
		"/places/administered", [fixtures.checkout, fixtures.refunds],
	)
}

test_deny_what_is_no_operation_on_it if {
	document := fixtures.put(change(fixtures.zed, of("checkout"), of("refunds"), [fixtures.checkout, fixtures.refunds]), "/request/operation", "CONNECT")
	fixtures.denied(namespace.deny, fixed, []) with input as fixtures.put(document, "/service_accounts", ["Organization/acme"])
	other := change(fixtures.oz, reserved, reserved, [fixtures.reserved, fixtures.reserved])
	fixtures.denied(namespace.deny, refused, []) with input as fixtures.put(other, "/request/operation", "CONNECT")
}

test_deny_delete_wherever_it_would_be if {
	document := fixtures.put(deletion(fixtures.oz, plain, fixtures.unknown), "/places/new", fixtures.reserved)
	fixtures.denied(namespace.deny, refused, ["no such namespace is known"]) with input as document
}

test_deny_creation_where_nothing_says_whose_it_is if {
	count(namespace.deny) == 1 with input as creation(fixtures.oz, plain, fixtures.outside("dev", "orphaned", ""))
}

test_allow_controller_its_state_over_another if {
	old := noted({"portcullis.dev/baseline": "a"})
	new := noted({"portcullis.dev/baseline": "b"})
	namespace.deny == set() with input as stays(fixtures.controller, old, new)
}

test_deny_adoption_says_who_may_to_who_sees if {
	olga := fixtures.caller("olga", ["acme-audit"])
	document := change(olga, plain, of("checkout"), [fixtures.unowned, fixtures.checkout])
	fixtures.denied(namespace.deny, fixed, ["into a workspace or out of it. Allowed: OrgAdmin of acme (Group acme-admins)"]) with input as document
}
