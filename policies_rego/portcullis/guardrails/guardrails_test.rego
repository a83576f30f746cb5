package portcullis.guardrails_test

import data.portcullis.fixtures
import data.portcullis.guardrails

creation := fixtures.created(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.checkout)

change := fixtures.updated(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.policy, [fixtures.checkout, fixtures.checkout])

injection := fixtures.created(fixtures.controller, fixtures.network_policy, fixtures.object_of("dev", "zero-trust.deny", {}), fixtures.checkout)

test_allow_empty_document if {
	guardrails.judged == set() with input as {}
	not guardrails.narrow(0, "ingress") with input as {}
	not guardrails.narrows(0, "ingress") with input as {}
	guardrails.setting({}, "fromAnywhere", "Deny") == "Deny" with input as {}
}

test_deny_judged if {
	guardrails.judged == {0} with input as creation
	guardrails.judged == {0} with input as change
	guardrails.judged == {0} with input as fixtures.put(creation, "/request/kind", fixtures.cilium_policy)
	guardrails.judged == {0} with input as fixtures.put(creation, "/request/kind", fixtures.calico_policy)
	guardrails.judged == {0} with input as fixtures.put(creation, "/request/kind", fixtures.calico_set)
	guardrails.judged == {0} with input as fixtures.put(creation, "/request/kind/version", "v2")
	guardrails.judged == {0} with input as fixtures.put(creation, "/user", fixtures.oz)
	guardrails.judged == {0} with input as fixtures.subresource(creation, "scale")
}

test_allow_what_is_not_judged if {
	guardrails.judged == set() with input as fixtures.deleted(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.checkout)
	guardrails.judged == set() with input as fixtures.put(creation, "/request/operation", "DELETE")
	guardrails.judged == set() with input as fixtures.put(creation, "/request/kind/group", "example.com")
	guardrails.judged == set() with input as fixtures.subresource(creation, "status")
	guardrails.judged == set() with input as fixtures.put(creation, "/places/new/baselines", [])
}

test_allow_injected if guardrails.judged == set() with input as injection

test_deny_what_is_not_injected if {
	guardrails.judged == {0} with input as fixtures.put(injection, "/user", fixtures.oz)
	guardrails.judged == {0} with input as fixtures.put(injection, "/object/metadata/name", "web")
}

set(tenant, value) := fixtures.put(creation, $"/tenants/{replace(tenant, "/", "~1")}/guardrails", {"fromAnywhere": value})

test_allow_nearest_setting if {
	every tenant in ["Workspace/checkout", "Project/payments", "Organization/acme"] {
		guardrails.setting(fixtures.checkout, "fromAnywhere", "Deny") == "Allow" with input as set(tenant, "Allow")
	}
	nearer := fixtures.put(set("Organization/acme", "Allow"), "/tenants/Workspace~1checkout/guardrails", {"fromAnywhere": "Deny"})
	guardrails.setting(fixtures.checkout, "fromAnywhere", "?") == "Deny" with input as nearer
	guardrails.setting(fixtures.refunds, "fromAnywhere", "?") == "Allow" with input as nearer
}

test_deny_other_settings if {
	guardrails.setting(fixtures.checkout, "toAnywhere", "Deny") == "Deny" with input as set("Workspace/checkout", "Allow")
	guardrails.setting(fixtures.checkout, "fromAnywhere", "Deny") == "Deny" with input as set("Workspace/video", "Allow")
}

reaching(opening) := fixtures.opened(fixtures.reach(opening, null))

widening(opening) := fixtures.reopened(fixtures.reach(opening, null))

test_allow_narrow if {
	guardrails.narrow(0, "ingress") with input as reaching(fixtures.opening(0.24, 0.24))
	guardrails.narrow(0, "ingress") with input as reaching(null)
	guardrails.narrow(0, "egress") with input as reaching(fixtures.opening(1, 1))
}

test_deny_narrow if {
	every share in ["joint_ipv4", "joint_ipv6"] {
		not guardrails.narrow(0, "ingress") with input as reaching(fixtures.put(fixtures.narrow, $"/{share}", 0.25))
		not guardrails.narrow(0, "ingress") with input as reaching(fixtures.without(fixtures.narrow, $"/{share}"))
	}
	not guardrails.narrow(0, "ingress") with input as fixtures.without(reaching(null), "/reaches/0/ingress")
}

test_deny_narrow_where_it_cannot_be_read if {
	not guardrails.narrow(0, "ingress") with input as fixtures.put(reaching(fixtures.narrow), "/reaches/0/unreadable", ["x"])
	not guardrails.narrow(0, "ingress") with input as fixtures.put(reaching(null), "/reaches/0/unreadable", ["x"])
	not guardrails.narrow(0, "ingress") with input as fixtures.without(reaching(fixtures.narrow), "/reaches/0/unreadable")
	not guardrails.narrow(0, "ingress") with input as creation
}

same := fixtures.put(fixtures.opening(1, 1), "/widens", false)

test_allow_narrows if guardrails.narrows(0, "ingress") with input as widening(same)

test_deny_narrows if {
	not guardrails.narrows(0, "ingress") with input as reaching(same)
	not guardrails.narrows(0, "ingress") with input as widening(fixtures.opening(1, 1))
	not guardrails.narrows(0, "ingress") with input as widening(fixtures.without(same, "/widens"))
	not guardrails.narrows(0, "ingress") with input as fixtures.put(widening(same), "/reaches/0/unreadable", ["x"])
}

test_allow_what_is_idle_narrows if {
	guardrails.narrows(0, "egress") with input as widening(same)
	guardrails.narrows(0, "whole") with input as widening(same)
	not guardrails.narrows(0, "whole") with input as reaching(same)
	not guardrails.narrows(0, "whole") with input as fixtures.put(widening(same), "/reaches/0/egress", fixtures.narrow)
	not guardrails.narrows(0, "whole") with input as fixtures.put(widening(same), "/reaches/0/not_understood_before", false)
	not guardrails.narrows(0, "whole") with input as fixtures.put(widening(same), "/reaches/0/malformed_before", false)
	not guardrails.narrows(0, "whole") with input as fixtures.adopted(fixtures.reach(null, null))
	not guardrails.narrows(0, "ingress") with input as fixtures.adopted(fixtures.reach(null, null))
}

test_allow_judged_at_the_change_of_a_namespace if {
	adoption := fixtures.adopted(fixtures.reach(null, null))
	guardrails.judged == {0} with input as adoption
	guardrails.judged == {0, 1} with input as fixtures.put(adoption, "/reaches", [1, 2])
	guardrails.judged == set() with input as fixtures.put(adoption, "/reaches", [])
	guardrails.judged == set() with input as fixtures.put(adoption, "/request/operation", "DELETE")
}

test_deny_injected_in_a_kind_of_a_cni if {
	guardrails.judged == {0} with input as fixtures.put(injection, "/request/kind", fixtures.cilium_policy)
}

test_allow_refuses if {
	not guardrails.refuses("fromAnywhere") with input as fixtures.put(creation, "/tenants/Workspace~1checkout/guardrails", {"fromAnywhere": "Allow"})
	guardrails.refuses("fromAnywhere") with input as creation
}

hint := "(name each source by podSelector, namespaceSelector or CIDRs of less than a quarter in all)"

test_deny_why_unreadable if {
	document := fixtures.put(reaching(fixtures.opening(1, 1)), "/reaches/0/unreadable", ["a", "b"])
	guardrails.why(0, "ingress", "source") == "it cannot be read: a; b" with input as document
}

test_deny_why_unbounded if {
	document := reaching(fixtures.put(fixtures.opening(1, 1), "/unbounded", ["spec.ingress[0]", "spec.ingress[1]"]))
	guardrails.why(0, "ingress", "source") == $"spec.ingress[0] names no source, which means every address {hint}" with input as document
}

test_deny_why_alone if {
	guardrails.why(0, "ingress", "source") == $"its addresses add up to 25.5 % of all IPv4 addresses and 10 % of 2000::/3 {hint}" with input as reaching(fixtures.opening(0.2559, 0.1))
	guardrails.why(0, "ingress", "source") == $"its addresses add up to 10 % of all IPv4 addresses and 25 % of 2000::/3 {hint}" with input as reaching(fixtures.opening(0.1, 0.25))
	guardrails.why(0, "ingress", "source") == $"its addresses add up to 25 % of all IPv4 addresses and 0 % of 2000::/3 {hint}" with input as reaching(fixtures.opening(0.25, 0))
	guardrails.why(0, "ingress", "source") == $"its addresses add up to 50.4 % of all IPv4 addresses and 24.9 % of 2000::/3 {hint}" with input as reaching(fixtures.opening(0.504, 0.2499999999999998))
}

test_deny_why_together if {
	together := object.union(fixtures.narrow, {"joint_ipv4": 0.5, "joint_ipv6": 0.2999, "joint_with": ["a", "b", "c", "d", "e", "f"]})
	guardrails.why(0, "ingress", "source") == $"together with a, b, c, d, e, which can select the same pods, its addresses add up to 50 % of all IPv4 addresses and 29.9 % of 2000::/3 {hint}" with input as reaching(together)
}

test_deny_why_unknown if {
	guardrails.why(0, "egress", "target") == "what it opens is not known" with input as reaching(null)
}

together := object.union(fixtures.narrow, {"joint_ipv4": 0.5, "joint_with": ["secret"]})

beside := fixtures.put(fixtures.reach(null, null), "/unreadable_beside", ["NetworkPolicy secret cannot be read"])

test_deny_why_tells_who_sees_what_stands_there if {
	guardrails.why(0, "ingress", "source") == "it cannot be judged: NetworkPolicy secret cannot be read" with input as fixtures.opened(beside)
}

test_deny_why_tells_a_stranger_no_names if {
	stranger := fixtures.put(creation, "/user", fixtures.zed)
	hidden := fixtures.put(fixtures.put(stranger, "/reaches", [beside]), "/reaches/0/ingress", together)
	guardrails.why(0, "ingress", "source") == "it cannot be judged beside the policies that stand there" with input as hidden
	shown := $"together with policies that stand there its addresses add up to everywhere {hint}"
	guardrails.why(0, "ingress", "source") == shown with input as fixtures.put(hidden, "/reaches/0/unreadable_beside", [])
}

test_deny_narrow_beside_what_cannot_be_read if {
	not guardrails.narrow(0, "egress") with input as fixtures.opened(beside)
}

test_allow_system_actor_takes_finalizers_off if {
	with_finalizer := object.union(fixtures.policy, {"metadata": object.union(fixtures.policy.metadata, {"finalizers": ["x"]})})
	document := fixtures.updated(fixtures.namespace_controller, fixtures.network_policy, with_finalizer, fixtures.policy, [fixtures.checkout, fixtures.checkout])
	guardrails.judged == set() with input as document
	guardrails.judged == {0} with input as object.union(document, {"user": fixtures.ada})
}

test_deny_telling_what_stands_to_who_does_not_see_it if {
	adoption := fixtures.put(fixtures.adopted(fixtures.reach(null, null)), "/places/old", fixtures.video)
	guardrails.judged == {0} with input as adoption
	every who in [fixtures.ada, fixtures.vic, fixtures.zed, fixtures.nobody, fixtures.root] {
		guardrails.judged == set() with input as fixtures.put(adoption, "/user", who)
	}
	creation_of := fixtures.put(fixtures.put(adoption, "/request/operation", "CREATE"), "/places/old", null)
	guardrails.judged == {0} with input as fixtures.put(creation_of, "/user", fixtures.ada)
	guardrails.judged == set() with input as fixtures.put(creation_of, "/user", fixtures.vic)
}

test_deny_what_a_system_actor_does_not_release if {
	guardrails.judged == {0} with input as fixtures.put(creation, "/user", fixtures.namespace_controller)
}

test_deny_says_so_where_nothing_stands_beside_it if {
	document := fixtures.put(fixtures.opened(fixtures.reach(null, fixtures.narrow)), "/user", fixtures.zed)
	guardrails.why(0, "egress", "peer") == "what it opens is not known" with input as document
}
