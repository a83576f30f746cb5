package portcullis.rules.guardrail.protected_cidr_test

import data.portcullis.fixtures
import data.portcullis.rules.guardrail.protected_cidr

refused := {"rule": "guardrail/protected-cidr", "severity": "critical", "level": "enforce", "fixed": false}

warned := object.union(refused, {"level": "warn"})

following := object.union(refused, {"follows": "guardrail/malformed"})

leading := fixtures.put(fixtures.narrow, "/protected/169.254.169.254~132", "spec.egress[1]")

guarding(document, tenant, cidrs) := fixtures.put(document, $"/tenants/{replace(tenant, "/", "~1")}/guardrails", {"protectedCIDRs": cidrs})

test_allow_empty_document if protected_cidr.deny == set() with input as {}

test_allow_what_leads_nowhere if {
	protected_cidr.deny == set() with input as fixtures.opened(fixtures.reach(leading, fixtures.narrow))
	protected_cidr.deny == set() with input as fixtures.opened(fixtures.reach(leading, null))
}

test_deny_a_default if {
	parts := ["ada may not create NetworkPolicy dev/web: spec.egress[1] leads into 169.254.169.254/32, which is protected (put it into `except`)"]
	fixtures.denied(protected_cidr.deny, refused, parts) with input as fixtures.opened(fixtures.reach(null, leading))
}

test_allow_where_the_organization_drops_the_defaults if {
	protected_cidr.deny == set() with input as guarding(fixtures.opened(fixtures.reach(null, leading)), "Organization/acme", [])
}

test_deny_where_another_level_drops_them if {
	every tenant in ["Project/payments", "Workspace/checkout"] {
		count(protected_cidr.deny) == 1 with input as guarding(fixtures.opened(fixtures.reach(null, leading)), tenant, [])
	}
}

test_deny_what_a_level_adds if {
	into := fixtures.put(fixtures.narrow, "/protected/10.0.0.0~18", "spec.egress[0]")
	every tenant in ["Organization/acme", "Project/payments", "Workspace/checkout"] {
		document := guarding(fixtures.opened(fixtures.reach(null, into)), tenant, ["10.0.0.0/8"])
		fixtures.denied(protected_cidr.deny, refused, ["leads into 10.0.0.0/8"]) with input as document
	}
	elsewhere := guarding(fixtures.opened(fixtures.reach(null, into)), "Workspace/video", ["10.0.0.0/8"])
	protected_cidr.deny == set() with input as elsewhere
}

test_deny_what_was_not_asked if {
	document := guarding(fixtures.opened(fixtures.reach(null, fixtures.narrow)), "Workspace/checkout", ["10.0.0.0/8"])
	fixtures.denied(protected_cidr.deny, refused, ["whether it leads into 10.0.0.0/8, which is protected, is not known"]) with input as document
}

test_deny_unreadable if {
	document := guarding(fixtures.put(fixtures.opened(fixtures.reach(null, null)), "/reaches/0/unreadable", ["no"]), "Organization/acme", ["10.0.0.0/8"])
	fixtures.denied(protected_cidr.deny, following, ["it cannot be read: no"]) with input as document
}

test_allow_update_that_opens_nothing_more_warns if {
	document := fixtures.reopened(fixtures.reach(null, fixtures.put(leading, "/widens", false)))
	fixtures.denied(protected_cidr.deny, warned, ["as it is, but it opens nothing more: spec.egress[1]"]) with input as document
	fixtures.denied(protected_cidr.deny, refused, ["ada may not update"]) with input as fixtures.reopened(fixtures.reach(null, leading))
}

test_allow_adoption_warns_of_what_stands if {
	parts := ["NetworkPolicy old, which stands in namespace dev, would be refused today: spec.egress[1]"]
	fixtures.denied(protected_cidr.deny, warned, parts) with input as fixtures.adopted(fixtures.reach(null, leading))
}

# It leads nowhere as far as it can be read.
test_deny_unreadable_that_seems_to_lead_nowhere if {
	document := fixtures.put(fixtures.opened(fixtures.reach(null, fixtures.narrow)), "/reaches/0/unreadable", ["no"])
	fixtures.denied(protected_cidr.deny, following, ["it cannot be read: no"]) with input as document
}
