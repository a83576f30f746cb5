package portcullis.rules.rbac.namespace_policy_test

import data.portcullis.fixtures
import data.portcullis.rules.rbac.namespace_policy

refused := {"rule": "rbac/namespace-policy", "severity": "high", "level": "enforce", "fixed": false}

fixed := object.union(refused, {"fixed": true})

creation(who, place) := fixtures.created(who, fixtures.network_policy, fixtures.policy, place)

change(who, place) := fixtures.updated(who, fixtures.network_policy, fixtures.policy, fixtures.policy, [place, place])

deletion(who, place) := fixtures.deleted(who, fixtures.network_policy, fixtures.policy, place)

requests(who, place) := [creation(who, place), change(who, place), deletion(who, place)]

test_allow_empty_document if namespace_policy.deny == set() with input as {}

test_allow_owners if {
	every who in [fixtures.ada, fixtures.pam, fixtures.oz] {
		every document in requests(who, fixtures.checkout) { namespace_policy.deny == set() with input as document }
	}
	every who in [fixtures.ivan, fixtures.oz] {
		every document in requests(who, fixtures.unowned) { namespace_policy.deny == set() with input as document }
	}
}

test_deny_others if {
	every who in [fixtures.bo, fixtures.sam, fixtures.vic, fixtures.ivan, fixtures.rita, fixtures.zed, fixtures.controller, fixtures.root] {
		every document in requests(who, fixtures.checkout) {
			fixtures.denied(namespace_policy.deny, refused, [$"{who.name} may not ", " NetworkPolicy dev/web: the namespace belongs to "]) with input as document
		}
	}
	every who in [fixtures.ada, fixtures.pam, fixtures.zed] {
		every document in requests(who, fixtures.unowned) {
			fixtures.denied(namespace_policy.deny, refused, ["belongs to no workspace. Allowed: an InfraAdmin or OrgAdmin"]) with input as document
		}
	}
}

test_deny_says_who_may_to_who_sees if {
	parts := ["rita may not create NetworkPolicy dev/web: the namespace belongs to workspace checkout. Allowed: WorkspaceAdmin of checkout (Group checkout-team), ProjectAdmin of payments"]
	fixtures.denied(namespace_policy.deny, refused, parts) with input as creation(fixtures.rita, fixtures.checkout)
}

test_deny_tells_a_stranger_no_name if {
	found := namespace_policy.deny with input as creation(fixtures.bo, fixtures.checkout)
	fixtures.denied(found, refused, ["belongs to another workspace. Allowed: an admin of that workspace"])
	every violation in found { not contains(violation.message, "checkout") }
}

test_deny_empty_user_name if {
	every document in requests(fixtures.nobody, fixtures.checkout) {
		fixtures.denied(namespace_policy.deny, refused, ["a caller without a name may not "]) with input as document
	}
}

test_deny_another_object_than_before if {
	every who in [fixtures.oz, fixtures.cilium] {
		every field in ["name", "namespace"] {
			document := fixtures.put(change(who, fixtures.checkout), $"/old_object/metadata/{field}", "other")
			fixtures.denied(namespace_policy.deny, fixed, ["what it speaks of cannot be told from the object"]) with input as document
		}
	}
}

# The place is the one of the object's own side.
test_deny_by_the_place_before_a_deletion if {
	document := fixtures.put(deletion(fixtures.ada, fixtures.refunds), "/places/new", fixtures.checkout)
	fixtures.denied(namespace_policy.deny, refused, ["may not delete"]) with input as document
}

test_deny_by_the_place_after_a_change if {
	document := fixtures.put(change(fixtures.ada, fixtures.checkout), "/places/new", fixtures.refunds)
	fixtures.denied(namespace_policy.deny, refused, ["may not update"]) with input as document
}

test_deny_unknown_namespace if {
	every who in [fixtures.oz, fixtures.cilium] {
		parts := ["no such namespace is known. Allowed: nobody, until the namespace exists"]
		fixtures.denied(namespace_policy.deny, fixed, parts) with input as creation(who, fixtures.unknown)
	}
}

test_deny_inconsistent if {
	every path in ["/request/name", "/request/namespace"] {
		parts := ["what it speaks of cannot be told from the object"]
		fixtures.denied(namespace_policy.deny, fixed, parts) with input as fixtures.put(creation(fixtures.oz, fixtures.checkout), path, "other")
		fixtures.denied(namespace_policy.deny, fixed, parts) with input as fixtures.put(creation(fixtures.cilium, fixtures.checkout), path, "other")
	}
}

test_deny_without_an_object if {
	parts := ["what it speaks of cannot be told from the object"]
	fixtures.denied(namespace_policy.deny, fixed, parts) with input as fixtures.put(creation(fixtures.oz, fixtures.checkout), "/object", null)
	fixtures.denied(namespace_policy.deny, fixed, parts) with input as fixtures.put(deletion(fixtures.oz, fixtures.checkout), "/old_object", null)
}

test_deny_unknown_version if {
	every who in [fixtures.oz, fixtures.cilium, fixtures.controller] {
		document := fixtures.put(creation(who, fixtures.checkout), "/request/kind/version", "v9")
		fixtures.denied(namespace_policy.deny, fixed, ["version v9 is not known here"]) with input as document
	}
}

# DELETE has an old object and a place, CONNECT has what Python may one day put there: neither is an answer.
test_deny_unknown_operation if {
	document := fixtures.put(creation(fixtures.oz, fixtures.checkout), "/request/operation", "CONNECT")
	fixtures.denied(namespace_policy.deny, fixed, ["oz may not connect NetworkPolicy web: what it speaks of"]) with input as document
	mocked := namespace_policy.deny with input as document
		with data.portcullis.asked.consistent as true
		with data.portcullis.rules.rbac.namespace_policy.place as fixtures.checkout
	fixtures.denied(mocked, fixed, ["oz may not connect"])
}

test_allow_status_of_a_custom_resource if {
	namespace_policy.deny == set() with input as fixtures.subresource(change(fixtures.zed, fixtures.checkout), "status")
}

test_deny_other_subresources if {
	fixtures.denied(namespace_policy.deny, refused, []) with input as fixtures.subresource(change(fixtures.zed, fixtures.checkout), "scale")
}

test_allow_other_kinds if {
	namespace_policy.deny == set() with input as fixtures.put(creation(fixtures.zed, fixtures.checkout), "/request/kind", fixtures.pod)
	namespace_policy.deny == set() with input as fixtures.put(creation(fixtures.zed, fixtures.checkout), "/request/kind", fixtures.cluster_policy)
}

test_deny_every_covered_kind if {
	every kind in [fixtures.cilium_policy, fixtures.calico_policy, fixtures.calico_set] {
		fixtures.denied(namespace_policy.deny, refused, [kind.kind]) with input as fixtures.put(creation(fixtures.zed, fixtures.checkout), "/request/kind", kind)
	}
}

test_allow_system_writer if {
	every place in [fixtures.checkout, fixtures.unowned, fixtures.orphaned] {
		every document in requests(fixtures.cilium, place) { namespace_policy.deny == set() with input as document }
	}
}

test_allow_controller_its_injected_policies if {
	dotted := fixtures.object_of("dev", "zero-trust.deny", {})
	namespace_policy.deny == set() with input as fixtures.created(fixtures.controller, fixtures.network_policy, dotted, fixtures.checkout)
	namespace_policy.deny == set() with input as fixtures.deleted(fixtures.controller, fixtures.network_policy, dotted, fixtures.checkout)
}

test_deny_controller_what_it_cannot_tell if {
	dotted := fixtures.created(fixtures.controller, fixtures.network_policy, fixtures.object_of("dev", "zero-trust.deny", {}), fixtures.checkout)
	fixtures.denied(namespace_policy.deny, fixed, ["version v9 is not known"]) with input as fixtures.put(dotted, "/request/kind/version", "v9")
	fixtures.denied(namespace_policy.deny, fixed, ["what it speaks of"]) with input as fixtures.put(dotted, "/request/name", "other")
	fixtures.denied(namespace_policy.deny, fixed, ["no such namespace is known"]) with input as fixtures.put(dotted, "/places/new", fixtures.unknown)
}

test_deny_others_a_dotted_name if {
	dotted := fixtures.object_of("dev", "zero-trust.deny", {})
	fixtures.denied(namespace_policy.deny, refused, []) with input as fixtures.created(fixtures.zed, fixtures.network_policy, dotted, fixtures.checkout)
}

test_allow_system_delete if {
	every place in [fixtures.checkout, fixtures.unknown, null] {
		namespace_policy.deny == set() with input as deletion(fixtures.namespace_controller, place)
	}
	unknown_version := fixtures.put(deletion(fixtures.namespace_controller, null), "/request/kind/version", "v9")
	namespace_policy.deny == set() with input as unknown_version
}

held := object.union(fixtures.policy, {"metadata": {"finalizers": ["x"]}})

release(who, new) := fixtures.updated(who, fixtures.network_policy, held, new, [fixtures.checkout, fixtures.checkout])

test_allow_system_release if {
	namespace_policy.deny == set() with input as release(fixtures.namespace_controller, fixtures.policy)
}

test_deny_system_anything_else if {
	fixtures.denied(namespace_policy.deny, refused, []) with input as creation(fixtures.namespace_controller, fixtures.checkout)
	changed := object.union(fixtures.policy, {"spec": {"ingress": []}})
	fixtures.denied(namespace_policy.deny, refused, []) with input as release(fixtures.namespace_controller, changed)
}

test_deny_others_a_release if {
	fixtures.denied(namespace_policy.deny, refused, []) with input as release(fixtures.zed, fixtures.policy)
}

test_allow_status_wherever_it_is if {
	document := fixtures.put(creation(fixtures.ada, fixtures.unknown), "/request/kind", fixtures.cilium_policy)
	namespace_policy.deny == set() with input as fixtures.subresource(document, "status")
}
