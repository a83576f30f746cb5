package portcullis.rules.rbac.cluster_policy_test

import data.portcullis.fixtures
import data.portcullis.rules.rbac.cluster_policy

refused := {"rule": "rbac/cluster-policy", "severity": "critical", "level": "enforce", "fixed": false}

filled := fixtures.object_of("", "zero-trust", {"policies": [{"name": "deny"}]})

emptied := fixtures.object_of("", "zero-trust", {"policies": []})

definition(group, kind) := fixtures.object_of("", $"{lower(kind)}s.{group}", {"group": group, "names": {"kind": kind}})

ours := definition("portcullis.dev", "Project")

covered := definition("cilium.io", "CiliumNetworkPolicy")

foreign := definition("example.com", "Widget")

creation(who, kind, new) := fixtures.created(who, kind, new, null)

# Whatever a definition defines, it is the same object after the change.
change(who, kind, old, new) := fixtures.updated(who, kind, old, fixtures.put(new, "/metadata/name", old.metadata.name), [null, null])

deletion(who, kind, old) := fixtures.deleted(who, kind, old, null)

requests(who, kind, each) := [creation(who, kind, each), change(who, kind, each, each), deletion(who, kind, each)]

named(document) := fixtures.put(document, "/named_by", ["Organization/acme", "Project/payments"])

test_deny_named_baseline_tells_a_stranger_no_names if {
	found := cluster_policy.deny with input as named(deletion(fixtures.zed, fixtures.baseline, filled))
	some violation in found
	contains(violation.message, "the tree names this baseline (a tenant that you do not see)")
	every each in found { not contains(each.message, "payments") }
}

test_allow_empty_document if cluster_policy.deny == set() with input as {}

test_allow_platform if {
	every who in [fixtures.oz, fixtures.ivan] {
		every kind in [fixtures.cluster_policy, fixtures.baseline] {
			every document in requests(who, kind, filled) { cluster_policy.deny == set() with input as document }
		}
		cluster_policy.deny == set() with input as creation(who, fixtures.definition, ours)
		cluster_policy.deny == set() with input as change(who, fixtures.definition, covered, covered)
	}
}

test_deny_tenants if {
	every who in [fixtures.ada, fixtures.pam, fixtures.rita, fixtures.zed, fixtures.root] {
		every kind in [fixtures.cluster_policy, fixtures.baseline] {
			every document in requests(who, kind, filled) {
				parts := [$"{who.name} may not ", $" {kind.kind} zero-trust: it holds in the whole cluster. Allowed: "]
				fixtures.denied(cluster_policy.deny, refused, parts) with input as document
			}
		}
	}
}

test_deny_says_who_may_to_who_sees if {
	parts := ["Allowed: InfraAdmin of acme (User ivan, ServiceAccount gitops/argocd), OrgAdmin of acme (Group acme-admins)"]
	fixtures.denied(cluster_policy.deny, refused, parts) with input as creation(fixtures.caller("olga", ["acme-audit"]), fixtures.cluster_policy, filled)
	fixtures.denied(cluster_policy.deny, refused, ["Allowed: an InfraAdmin or OrgAdmin of the organization"]) with input as creation(fixtures.ada, fixtures.cluster_policy, filled)
}

test_deny_empty_user_name if {
	fixtures.denied(cluster_policy.deny, refused, ["a caller without a name may not create"]) with input as creation(fixtures.nobody, fixtures.cluster_policy, filled)
}

test_allow_other_kinds if {
	cluster_policy.deny == set() with input as creation(fixtures.zed, fixtures.pod, filled)
	cluster_policy.deny == set() with input as creation(fixtures.zed, fixtures.network_policy, filled)
	cluster_policy.deny == set() with input as named(deletion(fixtures.zed, fixtures.pod, filled))
}

test_allow_status_of_a_custom_resource if {
	cluster_policy.deny == set() with input as fixtures.subresource(change(fixtures.zed, fixtures.cluster_policy, filled, filled), "status")
	cluster_policy.deny == set() with input as named(fixtures.subresource(change(fixtures.zed, fixtures.baseline, filled, emptied), "status"))
}

test_deny_other_subresources if {
	fixtures.denied(cluster_policy.deny, refused, []) with input as fixtures.subresource(change(fixtures.zed, fixtures.cluster_policy, filled, filled), "scale")
}

test_deny_unknown_version if {
	every who in [fixtures.oz, fixtures.cilium] {
		every kind in [fixtures.cluster_policy, fixtures.definition] {
			document := fixtures.put(creation(who, kind, covered), "/request/kind/version", "v9")
			fixtures.denied(cluster_policy.deny, refused, ["version v9 is not known here"]) with input as document
		}
	}
}

test_deny_inconsistent if {
	every who in [fixtures.oz, fixtures.cilium] {
		document := fixtures.put(creation(who, fixtures.cluster_policy, filled), "/request/name", "other")
		fixtures.denied(cluster_policy.deny, refused, ["what it speaks of cannot be told from the object"]) with input as document
	}
}

test_deny_another_object_than_before if {
	every who in [fixtures.oz, fixtures.cilium, fixtures.controller] {
		document := fixtures.put(change(who, fixtures.baseline, filled, filled), "/old_object/metadata/name", "other")
		fixtures.denied(cluster_policy.deny, refused, ["what it speaks of cannot be told from the object"]) with input as document
	}
}

test_deny_without_an_object if {
	parts := ["what it speaks of cannot be told from the object"]
	fixtures.denied(cluster_policy.deny, refused, parts) with input as fixtures.put(creation(fixtures.oz, fixtures.cluster_policy, filled), "/object", null)
	fixtures.denied(cluster_policy.deny, refused, parts) with input as fixtures.put(creation(fixtures.oz, fixtures.definition, foreign), "/object", null)
}

test_deny_unknown_operation if {
	document := fixtures.put(creation(fixtures.oz, fixtures.cluster_policy, filled), "/request/operation", "CONNECT")
	fixtures.denied(cluster_policy.deny, refused, ["oz may not connect"]) with input as document
	fixtures.denied(cluster_policy.deny, refused, ["oz may not connect"]) with input as document with data.portcullis.asked.consistent as true
}

test_allow_system_writer if {
	every document in requests(fixtures.cilium, fixtures.cluster_policy, filled) { cluster_policy.deny == set() with input as document }
	cluster_policy.deny == set() with input as creation(fixtures.cilium, fixtures.definition, covered)
}

test_deny_system_writer_what_is_ours if {
	every document in requests(fixtures.cilium, fixtures.baseline, filled) {
		fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as document
	}
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as creation(fixtures.cilium, fixtures.definition, ours)
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as change(fixtures.cilium, fixtures.definition, ours, covered)
}

test_allow_foreign_definitions if {
	every document in requests(fixtures.zed, fixtures.definition, foreign) { cluster_policy.deny == set() with input as document }
	every document in requests(fixtures.zed, fixtures.definition, definition("cilium.io", "CiliumNode")) {
		cluster_policy.deny == set() with input as document
	}
}

test_deny_definitions if {
	every each in [ours, covered, definition("portcullis.dev", "Anything")] {
		fixtures.denied(cluster_policy.deny, refused, ["zed may not create CustomResourceDefinition", "it holds in the whole cluster"]) with input as creation(fixtures.zed, fixtures.definition, each)
		fixtures.denied(cluster_policy.deny, refused, ["zed may not update"]) with input as change(fixtures.zed, fixtures.definition, each, foreign)
		fixtures.denied(cluster_policy.deny, refused, ["zed may not update"]) with input as change(fixtures.zed, fixtures.definition, foreign, each)
	}
}

test_deny_unreadable_definitions if {
	every spec in [{}, {"group": 7}, {"group": null}, null] {
		each := fixtures.object_of("", "x", spec)
		fixtures.denied(cluster_policy.deny, refused, []) with input as creation(fixtures.zed, fixtures.definition, each)
		fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.zed, fixtures.definition, foreign, each)
	}
	fixtures.denied(cluster_policy.deny, refused, []) with input as creation(fixtures.zed, fixtures.definition, fixtures.without(foreign, "/spec"))
}

test_deny_deleting_a_definition_even_to_the_platform if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.namespace_controller] {
		every each in [ours, covered] {
			parts := ["may not delete CustomResourceDefinition", "all its objects would go with it unseen. Allowed: break-glass alone"]
			fixtures.denied(cluster_policy.deny, refused, parts) with input as deletion(who, fixtures.definition, each)
		}
	}
}

test_deny_deleting_a_definition_to_tenants_twice if {
	found := cluster_policy.deny with input as deletion(fixtures.zed, fixtures.definition, covered)
	count(found) == 2
}

test_deny_taking_a_named_baseline_away if {
	every who in [fixtures.oz, fixtures.ivan] {
		parts := ["NetworkBaseline zero-trust: the tree names this baseline", "Take it out of there first, or leave a policy in it"]
		fixtures.denied(cluster_policy.deny, refused, array.concat(parts, ["may not delete"])) with input as named(deletion(who, fixtures.baseline, filled))
		fixtures.denied(cluster_policy.deny, refused, array.concat(parts, ["may not update"])) with input as named(change(who, fixtures.baseline, filled, emptied))
		fixtures.denied(cluster_policy.deny, refused, parts) with input as named(change(who, fixtures.baseline, filled, fixtures.object_of("", "zero-trust", {})))
		fixtures.denied(cluster_policy.deny, refused, array.concat(parts, ["may not create"])) with input as named(creation(who, fixtures.baseline, emptied))
	}
}

test_deny_taking_a_named_baseline_away_whatever_stands_beside if {
	document := fixtures.put(named(deletion(fixtures.oz, fixtures.baseline, filled)), "/object", filled)
	fixtures.denied(cluster_policy.deny, refused, ["the tree names this baseline"]) with input as document
}

test_allow_changing_a_named_baseline if {
	cluster_policy.deny == set() with input as named(change(fixtures.oz, fixtures.baseline, filled, filled))
	cluster_policy.deny == set() with input as named(creation(fixtures.oz, fixtures.baseline, filled))
}

test_allow_taking_a_baseline_away_that_nobody_names if {
	cluster_policy.deny == set() with input as deletion(fixtures.oz, fixtures.baseline, filled)
	cluster_policy.deny == set() with input as change(fixtures.oz, fixtures.baseline, filled, emptied)
}

test_allow_system_delete if {
	cluster_policy.deny == set() with input as deletion(fixtures.namespace_controller, fixtures.cluster_policy, filled)
	cluster_policy.deny == set() with input as deletion(fixtures.namespace_controller, fixtures.baseline, filled)
}

held := object.union(filled, {"metadata": {"finalizers": ["portcullis.dev/kept"]}})

test_allow_system_release if {
	cluster_policy.deny == set() with input as change(fixtures.namespace_controller, fixtures.baseline, held, filled)
}

test_deny_system_anything_else if {
	fixtures.denied(cluster_policy.deny, refused, []) with input as creation(fixtures.namespace_controller, fixtures.cluster_policy, filled)
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.namespace_controller, fixtures.cluster_policy, filled, emptied)
}

test_deny_others_a_release if {
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.zed, fixtures.cluster_policy, held, filled)
}

holding(side, finalizers) := object.union(side, {"metadata": {"finalizers": finalizers}})

ending(side) := object.union(side, {"metadata": {"deletionTimestamp": "2026-11-01T00:00:00Z"}})

ours_alone := ["portcullis.dev/baseline"]

ours_too := ["a", "portcullis.dev/baseline"]

test_allow_controller_its_finalizer if {
	cluster_policy.deny == set() with input as change(fixtures.controller, fixtures.baseline, filled, holding(filled, ours_alone))
	cluster_policy.deny == set() with input as change(fixtures.controller, fixtures.baseline, holding(filled, ["a"]), holding(filled, ours_too))
	cluster_policy.deny == set() with input as change(fixtures.controller, fixtures.baseline, ending(holding(filled, ours_too)), ending(holding(filled, ["a"])))
	cluster_policy.deny == set() with input as change(fixtures.controller, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled))
}

# Its definition is being deleted, say: what the tree names ends all the same.
test_allow_controller_to_let_a_named_baseline_go if {
	cluster_policy.deny == set() with input as named(change(fixtures.controller, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled)))
}

test_deny_controller_more_than_its_finalizer if {
	every changed in [
		holding(filled, ["a"]),
		fixtures.labelled(holding(filled, ours_alone), {"a": "b"}),
		fixtures.annotated(holding(filled, ours_alone), {"a": "b"}),
		ending(holding(filled, ours_alone)),
		object.union(holding(filled, ours_alone), {"spec": {"drift": "Report"}}),
	] {
		fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as change(fixtures.controller, fixtures.baseline, filled, changed)
	}
	others := change(fixtures.controller, fixtures.baseline, holding(filled, ours_too), holding(filled, ours_alone))
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as others
}

test_deny_everybody_else_the_finalizer_of_what_ends if {
	parts := ["NetworkBaseline zero-trust: it is being deleted, and portcullis.dev/baseline goes by itself", "Allowed: Portcullis itself"]
	every who in [fixtures.ivan, fixtures.oz] {
		fixtures.denied(cluster_policy.deny, refused, parts) with input as change(who, fixtures.baseline, ending(holding(filled, ours_too)), ending(holding(filled, ["a"])))
		fixtures.denied(cluster_policy.deny, refused, parts) with input as change(who, fixtures.baseline, ending(holding(filled, ours_alone)), ending(emptied))
	}
	stranger := change(fixtures.zed, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled))
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as stranger
}

test_allow_the_platform_what_is_put_back if {
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, holding(filled, ours_too), filled)
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, filled, holding(filled, ours_too))
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, ending(holding(filled, ours_too)), ending(holding(filled, ours_alone)))
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, ending(holding(filled, ours_too)), ending(holding(emptied, ours_too)))
	cluster_policy.deny == set() with input as fixtures.subresource(change(fixtures.zed, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled)), "status")
}

test_allow_system_the_finalizer_of_what_ends if {
	cluster_policy.deny == set() with input as change(fixtures.namespace_controller, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled))
}

test_deny_controller_anything_else if {
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.controller, fixtures.baseline, filled, emptied)
	fixtures.denied(cluster_policy.deny, refused, []) with input as creation(fixtures.controller, fixtures.baseline, filled)
	fixtures.denied(cluster_policy.deny, refused, []) with input as deletion(fixtures.controller, fixtures.baseline, filled)
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.controller, fixtures.cluster_policy, filled, filled)
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.zed, fixtures.baseline, filled, held)
	fixtures.denied(cluster_policy.deny, refused, []) with input as change(fixtures.controller, fixtures.baseline, filled, held)
}

test_deny_controller_other_operations_with_the_same_spec if {
	every operation in ["CREATE", "DELETE"] {
		document := fixtures.put(change(fixtures.controller, fixtures.baseline, filled, filled), "/request/operation", operation)
		fixtures.denied(cluster_policy.deny, refused, []) with input as document
	}
}

established := object.union(covered, {"status": {"conditions": []}})

test_allow_api_server_establishes_a_definition if {
	document := fixtures.subresource(change(fixtures.namespace_controller, fixtures.definition, covered, established), "status")
	cluster_policy.deny == set() with input as document
}

test_deny_status_of_a_definition if {
	stranger := fixtures.subresource(change(fixtures.zed, fixtures.definition, covered, established), "status")
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as stranger
	whole := change(fixtures.namespace_controller, fixtures.definition, covered, established)
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as whole
	other := fixtures.subresource(change(fixtures.namespace_controller, fixtures.definition, covered, definition("cilium.io", "CiliumCIDRGroup")), "status")
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as other
}

test_deny_baseline_whose_policies_are_no_list if {
	emptied := change(fixtures.oz, fixtures.baseline, filled, object.union(filled, {"spec": {"policies": "x"}}))
	fixtures.denied(cluster_policy.deny, refused, ["the tree names this baseline (Organization/acme, Project/payments)"]) with input as named(emptied)
}

test_deny_definition_without_a_kind if {
	nameless := fixtures.object_of("", "things.example.com", {"group": "example.com", "names": {}})
	fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as creation(fixtures.zed, fixtures.definition, nameless)
}

unread(document) := fixtures.put(document, "/unreadable", "spec.policies.0: no")

test_deny_a_baseline_that_cannot_be_read if {
	parts := ["ivan may not ", " NetworkBaseline zero-trust: it cannot be read: spec.policies.0: no. Mend it"]
	fixed := object.union(refused, {"fixed": true})
	every document in [creation(fixtures.ivan, fixtures.baseline, filled), change(fixtures.ivan, fixtures.baseline, emptied, filled)] {
		fixtures.denied(cluster_policy.deny, fixed, parts) with input as unread(document)
	}
}

test_allow_what_stands_unread_to_stay if {
	cluster_policy.deny == set() with input as unread(change(fixtures.ivan, fixtures.baseline, filled, filled))
	cluster_policy.deny == set() with input as unread(fixtures.subresource(change(fixtures.ivan, fixtures.baseline, emptied, filled), "status"))
}

referring := object.union(filled, {"metadata": {"ownerReferences": [{"uid": "1"}]}})

test_deny_a_baseline_an_owner_reference if {
	parts := ["NetworkBaseline zero-trust: with an owner reference the garbage collector would delete it"]
	every who in [fixtures.ivan, fixtures.oz] {
		fixtures.denied(cluster_policy.deny, refused, parts) with input as change(who, fixtures.baseline, filled, referring)
	}
	fixtures.denied(cluster_policy.deny, refused, parts) with input as creation(fixtures.ivan, fixtures.baseline, referring)
}

test_allow_owner_references_elsewhere if {
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, referring, filled)
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, referring, referring)
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.cluster_policy, filled, referring)
	cluster_policy.deny == set() with input as fixtures.subresource(change(fixtures.zed, fixtures.baseline, filled, referring), "status")
}

owned_definition := object.union(covered, {"metadata": {"ownerReferences": [{"uid": "1"}]}})

test_deny_a_covered_definition_an_owner_reference if {
	parts := ["with an owner reference the garbage collector would delete it"]
	every who in [fixtures.ivan, fixtures.oz, fixtures.cilium] {
		fixtures.denied(cluster_policy.deny, refused, parts) with input as change(who, fixtures.definition, covered, owned_definition)
		fixtures.denied(cluster_policy.deny, refused, parts) with input as creation(who, fixtures.definition, owned_definition)
	}
	through_status := fixtures.subresource(change(fixtures.ivan, fixtures.definition, covered, owned_definition), "status")
	fixtures.denied(cluster_policy.deny, refused, parts) with input as through_status
}

test_allow_owner_references_of_other_definitions if {
	cluster_policy.deny == set() with input as change(fixtures.zed, fixtures.definition, foreign, object.union(foreign, {"metadata": {"ownerReferences": [{"uid": "1"}]}}))
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.definition, owned_definition, owned_definition)
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.definition, owned_definition, covered)
}

converted(side) := object.union(side, {"spec": {"conversion": {"strategy": "Webhook"}}})

test_deny_what_the_tree_means_to_all_but_an_org_admin if {
	fixed := object.union(refused, {"fixed": true})
	every kind in ["Organization", "Project", "Workspace"] {
		each := definition("portcullis.dev", kind)
		parts := [$"ivan may not update CustomResourceDefinition {lower(kind)}s.portcullis.dev: it says what the tree's objects mean", "Allowed: OrgAdmin of acme (Group acme-admins)"]
		fixtures.denied(cluster_policy.deny, fixed, parts) with input as change(fixtures.ivan, fixtures.definition, each, converted(each))
		fixtures.denied(cluster_policy.deny, fixed, []) with input as change(fixtures.ivan, fixtures.definition, converted(each), each)
	}
	renamed := definition("portcullis.dev", "Other")
	fixtures.denied(cluster_policy.deny, fixed, []) with input as change(fixtures.ivan, fixtures.definition, ours, renamed)
}

test_allow_what_the_tree_means_to_an_org_admin if {
	cluster_policy.deny == set() with input as change(fixtures.oz, fixtures.definition, ours, converted(ours))
}

test_allow_the_platform_what_leaves_the_tree_as_it_is if {
	labelled := fixtures.labelled(ours, {"a": "b"})
	baselines := definition("portcullis.dev", "NetworkBaseline")
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.definition, ours, labelled)
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.definition, baselines, converted(baselines))
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.definition, covered, converted(covered))
	cluster_policy.deny == set() with input as creation(fixtures.ivan, fixtures.definition, converted(ours))
	established_ours := object.union(ours, {"status": {"conditions": []}})
	cluster_policy.deny == set() with input as fixtures.subresource(change(fixtures.namespace_controller, fixtures.definition, ours, established_ours), "status")
}

test_deny_a_named_baseline_that_ends_its_last_finalizer if {
	last := ending(holding(filled, ["a"]))
	fixtures.denied(cluster_policy.deny, refused, ["the tree names this baseline"]) with input as named(change(fixtures.ivan, fixtures.baseline, last, ending(filled)))
	cluster_policy.deny == set() with input as change(fixtures.ivan, fixtures.baseline, last, ending(filled))
	cluster_policy.deny == set() with input as named(change(fixtures.ivan, fixtures.baseline, last, last))
}

test_allow_the_finalizer_of_anothers_object if {
	document := change(fixtures.oz, fixtures.cluster_policy, ending(holding(filled, ours_alone)), ending(filled))
	cluster_policy.deny == set() with input as document
}

test_allow_the_status_of_what_ends if {
	document := change(fixtures.oz, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled))
	cluster_policy.deny == set() with input as fixtures.subresource(document, "status")
}

test_allow_delete_of_what_ends if {
	document := change(fixtures.oz, fixtures.baseline, ending(holding(filled, ours_alone)), ending(filled))
	cluster_policy.deny == set() with input as fixtures.put(document, "/request/operation", "DELETE")
}

test_allow_what_is_unreadable_and_not_covered if {
	every document in [
		creation(fixtures.zed, fixtures.network_policy, filled),
		creation(fixtures.zed, fixtures.definition, foreign),
	] {
		cluster_policy.deny == set() with input as fixtures.put(document, "/unreadable", "no")
	}
}

test_deny_definition_whose_group_cannot_be_read if {
	every spec in [{"group": 5, "names": {"kind": "Widget"}}, {"names": {"kind": "Widget"}}] {
		document := creation(fixtures.zed, fixtures.definition, fixtures.object_of("", "widgets.example.com", spec))
		fixtures.denied(cluster_policy.deny, refused, ["it holds in the whole cluster"]) with input as document
	}
}

test_deny_definition_that_is_no_object if {
	document := fixtures.put(creation(fixtures.zed, fixtures.definition, foreign), "/object", {"spec": foreign.spec})
	count(cluster_policy.deny) == 1 with input as document
}

test_deny_system_actors_all_but_updates_of_a_status if {
	document := fixtures.subresource(change(fixtures.namespace_controller, fixtures.definition, covered, covered), "status")
	count(cluster_policy.deny) == 1 with input as fixtures.put(document, "/request/operation", "CREATE")
}

test_deny_controller_its_finalizer_in_an_unknown_version if {
	document := change(fixtures.controller, fixtures.baseline, filled, holding(filled, ours_alone))
	fixtures.denied(cluster_policy.deny, refused, ["version v9 is not known here"]) with input as fixtures.put(document, "/request/kind/version", "v9")
}

test_deny_unreadable_at_creation_whatever_stands if {
	document := fixtures.put(change(fixtures.oz, fixtures.cluster_policy, filled, filled), "/request/operation", "CREATE")
	some violation in cluster_policy.deny with input as fixtures.put(document, "/unreadable", "no")
	contains(violation.message, "it cannot be read: no")
}

test_deny_named_baseline_what_does_not_write_it if {
	document := fixtures.put(named(creation(fixtures.oz, fixtures.baseline, filled)), "/request/operation", "CONNECT")
	some violation in cluster_policy.deny with input as document
	contains(violation.message, "the tree names this baseline")
}
