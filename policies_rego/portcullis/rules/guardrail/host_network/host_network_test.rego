package portcullis.rules.guardrail.host_network_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.host_network

refused := {"rule": "guardrail/host-network", "severity": "high", "level": "enforce", "fixed": false}

pod(spec) := fixtures.object_of("dev", "web", spec)

creation(spec) := fixtures.created(fixtures.ada, fixtures.pod, pod(spec), fixtures.checkout)

hosted := creation({"hostNetwork": true})

test_allow_empty_document if host_network.deny == set() with input as {}

test_allow_a_network_of_its_own if {
	every spec in [{}, {"hostNetwork": false}, {"hostNetwork": null}, {"hostPID": true}] {
		host_network.deny == set() with input as creation(spec)
	}
}

test_deny_the_nodes if {
	parts := ["ada may not create Pod dev/web: it has spec.hostNetwork, and no NetworkPolicy binds", "Leave hostNetwork out"]
	fixtures.denied(host_network.deny, refused, parts) with input as hosted
}

test_deny_what_is_no_boolean if {
	every value in ["true", 1, {}] {
		fixtures.denied(host_network.deny, refused, []) with input as creation({"hostNetwork": value})
	}
}

test_deny_whoever_creates_it if {
	every who in [fixtures.oz, fixtures.ivan, fixtures.cilium, fixtures.controller, fixtures.namespace_controller, fixtures.nobody] {
		fixtures.denied(host_network.deny, refused, []) with input as fixtures.put(hosted, "/user", who)
	}
}

test_deny_exempt_too if {
	document := fixtures.put(hosted, "/places/new/exempt", "2026-12-01T00:00:00Z")
	fixtures.denied(host_network.deny, refused, []) with input as document
}

test_deny_generated_name if {
	document := object.union(hosted, {"object": {"metadata": {"name": "", "generateName": "web-"}}, "request": {"name": ""}})
	fixtures.denied(host_network.deny, refused, ["Pod dev/web-*: it has spec.hostNetwork"]) with input as document
}

test_allow_by_the_guardrail_setting if {
	every key in ["Workspace~1checkout", "Project~1payments", "Organization~1acme"] {
		document := fixtures.put(hosted, $"/tenants/{key}/guardrails", {"hostNetwork": "Allow"})
		host_network.deny == set() with input as document
	}
}

test_deny_the_nearest_setting_counts if {
	wide := fixtures.put(hosted, "/tenants/Organization~1acme/guardrails", {"hostNetwork": "Allow"})
	document := fixtures.put(wide, "/tenants/Workspace~1checkout/guardrails", {"hostNetwork": "Deny"})
	fixtures.denied(host_network.deny, refused, []) with input as document
}

test_deny_by_another_setting if {
	every guardrails in [{"hostNetwork": "allow"}, {"hostNetwork": ""}, {"fromAnywhere": "Allow"}] {
		document := fixtures.put(hosted, "/tenants/Workspace~1checkout/guardrails", guardrails)
		fixtures.denied(host_network.deny, refused, []) with input as document
	}
}

test_allow_where_no_baseline_applies if {
	host_network.deny == set() with input as fixtures.put(hosted, "/places/new", fixtures.unowned)
}

test_allow_all_but_creation if {
	host_network.deny == set() with input as fixtures.subresource(hosted, "binding")
	host_network.deny == set() with input as fixtures.put(hosted, "/request/kind", fixtures.network_policy)
	places := [fixtures.checkout, fixtures.checkout]
	new := pod({"hostNetwork": true})
	host_network.deny == set() with input as fixtures.updated(fixtures.ada, fixtures.pod, new, new, places)
}
