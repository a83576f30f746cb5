package portcullis.roles_test

import data.portcullis.fixtures
import data.portcullis.roles

test_deny_empty_document if {
	roles.held == {} with input as {}
	not roles.owns({}) with input as {}
	not roles.holds("Organization/acme", "OrgAdmin") with input as {}
	not roles.may_grant("Organization/acme") with input as {}
	not roles.sees({}) with input as {}
}

# The caller is the subject to whom a tree of one workspace gives its one role.
is(who, subject) if {
	tenants := {"Workspace/w": fixtures.tenant("Workspace", "w", "p", [fixtures.grant("WorkspaceAdmin", [subject])])}
	roles.held == {"Workspace/w": {"WorkspaceAdmin"}} with input as {"user": who, "tenants": tenants}
}

test_allow_exact_subject if {
	is(fixtures.cilium, fixtures.user("system:serviceaccount:cni:cilium"))
	is(fixtures.caller("x", ["a", "b"]), fixtures.group("b"))
	is(fixtures.ivan, fixtures.user("ivan"))
	is(fixtures.ada, fixtures.group("checkout-team"))
	is(fixtures.cilium, fixtures.account("cni", "cilium"))
}

test_deny_another_subject if {
	not is(fixtures.ivan, fixtures.user("Ivan"))
	not is(fixtures.ivan, fixtures.user("iva"))
	not is(fixtures.ivan, fixtures.group("ivan"))
	not is(fixtures.ada, fixtures.group("checkout"))
	not is(fixtures.ada, fixtures.user("checkout-team"))
	not is(fixtures.caller("cilium", ["cilium"]), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("system:serviceaccount:dev:cilium", []), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("system:serviceaccount:cni:cilium2", []), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("system:serviceaccount:cni:cilium:x", []), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("system:serviceaccounts:cni:cilium", []), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("System:serviceaccount:cni:cilium", []), fixtures.account("cni", "cilium"))
	not is(fixtures.caller("x", ["system:serviceaccount:cni:cilium"]), fixtures.account("cni", "cilium"))
}

# A subject's kind says what its name is.
test_deny_subject_of_another_kind if {
	not is(fixtures.cilium, {"kind": "User", "name": "cilium", "namespace": "cni"})
	not is(fixtures.cilium, {"kind": "Robot", "name": fixtures.cilium.name, "namespace": "cni"})
	not is(fixtures.ada, {"kind": "Robot", "name": "checkout-team", "namespace": ""})
	not is(fixtures.caller("ada", ["ada"]), {"kind": "Group", "name": "", "namespace": ""})
	not is(fixtures.cilium, {"kind": "Group", "name": "cilium", "namespace": "cni"})
}

test_deny_empty_name if {
	not is(fixtures.nobody, fixtures.user(""))
	not is(fixtures.nobody, fixtures.group("acme-admins"))
}

holds(who, key, role) if roles.holds(key, role) with input as {"user": who, "tenants": fixtures.tenants}

test_allow_role_at_its_tenant if {
	holds(fixtures.ada, "Workspace/checkout", "WorkspaceAdmin")
	holds(fixtures.rita, "Project/payments", "ProjectReader")
	holds(fixtures.cilium, "Organization/acme", "SystemWriter")
}

test_deny_role if {
	not holds(fixtures.ada, "Workspace/refunds", "WorkspaceAdmin")
	not holds(fixtures.ada, "Workspace/checkout", "WorkspaceReader")
	not holds(fixtures.rita, "Project/payments", "ProjectAdmin")
	not holds(fixtures.ada, "Workspace/nothing", "WorkspaceAdmin")
	not holds(fixtures.nobody, "Organization/acme", "OrgAdmin")
}

test_allow_every_role_at_its_level if {
	every kind, names in {
		"Organization": ["OrgAdmin", "InfraAdmin", "OrgReader", "SystemWriter"],
		"Project": ["ProjectAdmin", "ProjectReader"],
		"Workspace": ["WorkspaceAdmin", "WorkspaceReader"],
	} {
		all := [fixtures.grant(name, [fixtures.user("ada")]) | some name in names]
		tenants := {"k": fixtures.tenant(kind, "k", "", all)}
		roles.held == {"k": {name | some name in names}} with input as {"user": fixtures.ada, "tenants": tenants}
	}
}

test_deny_role_of_another_level if {
	odd := fixtures.tenant("Workspace", "w", "p", [fixtures.grant("OrgAdmin", [fixtures.user("ada")])])
	roles.held == {"Workspace/w": set()} with input as {"user": fixtures.ada, "tenants": {"Workspace/w": odd}}
}

owns(who, place) if roles.owns(place) with input as {"user": who, "tenants": fixtures.tenants}

test_allow_owners if {
	every user in [fixtures.ada, fixtures.pam, fixtures.oz] { owns(user, fixtures.checkout) }
	every user in [fixtures.vic, fixtures.sam, fixtures.oz] { owns(user, fixtures.video) }
	every user in [fixtures.ivan, fixtures.oz] {
		owns(user, fixtures.unowned)
		owns(user, fixtures.reserved)
	}
	owns(fixtures.oz, fixtures.orphaned)
}

test_deny_others if {
	every user in [fixtures.bo, fixtures.sam, fixtures.vic, fixtures.ivan, fixtures.rita, fixtures.cilium, fixtures.zed, fixtures.nobody] {
		not owns(user, fixtures.checkout)
	}
	every user in [fixtures.ada, fixtures.pam, fixtures.zed, fixtures.nobody, fixtures.cilium] {
		not owns(user, fixtures.unowned)
		not owns(user, fixtures.reserved)
		not owns(user, fixtures.orphaned)
	}
	not owns(fixtures.ivan, fixtures.orphaned)
	every user in [fixtures.oz, fixtures.ivan, fixtures.ada] { not owns(user, fixtures.unknown) }
}

test_deny_nobody_owns_nothing if {
	not owns(fixtures.oz, null)
	not owns(fixtures.oz, fixtures.put(fixtures.checkout, "/standing", "someday"))
}

grants(user, key) if {
	roles.may_grant(key) with input as {"user": user, "organization": "acme", "tenants": fixtures.tenants}
}

test_allow_grant if {
	every key in ["Organization/acme", "Project/payments", "Workspace/checkout"] { grants(fixtures.oz, key) }
	grants(fixtures.pam, "Workspace/checkout")
}

test_deny_grant if {
	not grants(fixtures.ada, "Workspace/checkout")
	not grants(fixtures.sam, "Workspace/checkout")
	not grants(fixtures.pam, "Project/payments")
	not grants(fixtures.pam, "Organization/acme")
	not grants(fixtures.ivan, "Organization/acme")
	not grants(fixtures.nobody, "Workspace/checkout")
}

# A project that names a parent is no workspace.
test_deny_grant_at_a_project_with_a_parent if {
	tenants := object.union(fixtures.tenants, {"Project/odd": fixtures.tenant("Project", "odd", "payments", [])})
	not roles.may_grant("Project/odd") with input as {"user": fixtures.pam, "organization": "acme", "tenants": tenants}
}

sees(who, place) if roles.sees(place) with input as {"user": who, "tenants": fixtures.tenants}

test_allow_sees if {
	every user in [fixtures.ada, fixtures.pam, fixtures.rita, fixtures.oz, fixtures.ivan, fixtures.cilium, fixtures.caller("olga", ["acme-audit"])] {
		sees(user, fixtures.checkout)
	}
}

test_deny_sees if {
	every user in [fixtures.bo, fixtures.sam, fixtures.vic, fixtures.zed, fixtures.nobody] {
		not sees(user, fixtures.checkout)
	}
}

belongs(who, place) := said if {
	said := roles.belongs(place) with input as {"user": who, "tenants": fixtures.tenants}
}

test_allow_those_who_see_read_the_name if {
	belongs(fixtures.rita, fixtures.checkout) == "the namespace belongs to workspace checkout"
	belongs(fixtures.oz, fixtures.orphaned) == "the namespace belongs to workspace lost, which does not exist or has no project"
}

test_deny_strangers_the_name if {
	belongs(fixtures.bo, fixtures.checkout) == "the namespace belongs to another workspace"
	belongs(fixtures.bo, fixtures.orphaned) == "the namespace belongs to a workspace that does not exist or has no project"
}

test_allow_what_holds_no_name if {
	belongs(fixtures.zed, fixtures.unknown) == "no such namespace is known"
	belongs(fixtures.zed, fixtures.unowned) == "the namespace belongs to no workspace"
	belongs(fixtures.zed, fixtures.reserved) == "the namespace belongs to no workspace"
}

told(who, place) := said if {
	said := roles.owners_of(place) with input as {"user": who, "tenants": fixtures.tenants}
}

test_allow_those_who_see_read_the_groups if {
	told(fixtures.rita, fixtures.checkout) == "WorkspaceAdmin of checkout (Group checkout-team), ProjectAdmin of payments (Group payments-admins), OrgAdmin of acme (Group acme-admins)"
	told(fixtures.ivan, fixtures.unowned) == "InfraAdmin of acme (User ivan, ServiceAccount gitops/argocd), OrgAdmin of acme (Group acme-admins)"
}

test_deny_strangers_the_groups if {
	told(fixtures.bo, fixtures.checkout) == "an admin of that workspace, of its project or of the organization"
	told(fixtures.bo, fixtures.orphaned) == "an OrgAdmin of the organization"
	told(fixtures.bo, fixtures.unowned) == "an InfraAdmin or OrgAdmin of the organization"
	told(fixtures.bo, fixtures.reserved) == "an InfraAdmin or OrgAdmin of the organization"
	told(fixtures.oz, fixtures.unknown) == "nobody, until the namespace exists"
}

test_allow_long_lists_are_cut if {
	six := fixtures.tenant("Organization", "acme", "", [fixtures.grant("OrgAdmin", [fixtures.user($"u{n}") | some n in numbers.range(1, 6)])])
	roles.named(six, "OrgAdmin") == " (User u1, User u2, User u3, User u4, User u5 and 1 more)"
	roles.named(six, "InfraAdmin") == " (nobody yet)"
	five := fixtures.tenant("Organization", "acme", "", [fixtures.grant("OrgAdmin", [fixtures.user($"u{n}") | some n in numbers.range(1, 5)])])
	roles.named(five, "OrgAdmin") == " (User u1, User u2, User u3, User u4, User u5)"
}

tenant_place(kind, path) := {"standing": kind, "path": path}

test_allow_owners_of_tenants if {
	workspace := tenant_place("Workspace", ["Workspace/checkout", "Project/payments", "Organization/acme"])
	owns(fixtures.pam, workspace)
	owns(fixtures.oz, workspace)
	owns(fixtures.oz, tenant_place("Project", ["Project/payments", "Organization/acme"]))
	owns(fixtures.oz, tenant_place("Organization", ["Organization/acme"]))
	told(fixtures.ada, workspace) == "ProjectAdmin of payments (Group payments-admins), OrgAdmin of acme (Group acme-admins)"
}

test_deny_tenants_to_others if {
	every user in [fixtures.ada, fixtures.sam, fixtures.ivan, fixtures.rita, fixtures.cilium, fixtures.zed] {
		not owns(user, tenant_place("Workspace", ["Workspace/checkout", "Project/payments", "Organization/acme"]))
	}
	every user in [fixtures.ada, fixtures.pam, fixtures.ivan] {
		not owns(user, tenant_place("Project", ["Project/payments", "Organization/acme"]))
		not owns(user, tenant_place("Organization", ["Organization/acme"]))
	}
	told(fixtures.zed, tenant_place("Workspace", ["Project/payments", "Organization/acme"])) == "a ProjectAdmin of its project or an OrgAdmin of the organization"
	told(fixtures.zed, tenant_place("Project", ["Organization/acme"])) == "an OrgAdmin of the organization"
	told(fixtures.zed, tenant_place("Organization", ["Organization/acme"])) == "an OrgAdmin of the organization"
}
