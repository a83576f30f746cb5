package portcullis.rules.rbac.tenancy_test

import data.portcullis.fixtures
import data.portcullis.rules.rbac.tenancy

refused := {"rule": "rbac/tenancy", "severity": "critical", "level": "enforce", "fixed": true}

warned := {"rule": "rbac/tenancy", "severity": "critical", "level": "warn", "fixed": false}

kind(name) := fixtures.kind("portcullis.dev", "v1alpha1", name)

both := fixtures.caller("both", ["payments-admins", "media-admins"])

olga := fixtures.caller("olga", ["acme-audit"])

# The tree with one more admin of media, so that there is who owns both projects.
tree := object.union(fixtures.tenants, {"Project/media": media})

media := fixtures.tenant("Project", "media", "", [fixtures.grant("ProjectAdmin", [fixtures.user("sam"), fixtures.group("media-admins")])])

workspace(name, project, grants) := fixtures.tenant("Workspace", name, project, grants)

project(name, grants) := fixtures.tenant("Project", name, "", grants)

organization(name, grants) := fixtures.tenant("Organization", name, "", grants)

guarded(tenant, guardrails) := fixtures.put(tenant, "/guardrails", guardrails)

team := fixtures.grant("WorkspaceAdmin", [fixtures.group("checkout-team")])

checkout := workspace("checkout", "payments", [team])

payments := project("payments", [fixtures.grant("ProjectAdmin", [fixtures.group("payments-admins")])])

oz_alone := fixtures.grant("OrgAdmin", [fixtures.group("acme-admins")])

acme := organization("acme", [oz_alone])

thing(tenant) := fixtures.object_of("", tenant.name, {"project": tenant.project, "roles": tenant.roles, "guardrails": tenant.guardrails})

facts(new, old) := {"new": new, "old": old, "owned": [], "owns": 0, "homes": {}, "missing": []}

with_facts(document, new, old) := object.union(document, {"tenants": tree, "tenancy": facts(new, old)})

creation(who, new) := with_facts(fixtures.created(who, kind(new.kind), thing(new), null), new, null)

change(who, old, new) := with_facts(fixtures.updated(who, kind(new.kind), thing(old), thing(new), [null, null]), new, old)

deletion(who, old) := with_facts(fixtures.deleted(who, kind(old.kind), thing(old), null), null, old)

put(document, path, value) := fixtures.put(document, path, value)

known(document, name, value) := fixtures.put(document, $"/tenancy/{name}", value)

allowed(document) if tenancy.deny == set() with input as document

denied(document, parts) if {
	found := tenancy.deny with input as document
	fixtures.denied(found, refused, parts)
}

test_allow_empty_document if tenancy.deny == set() with input as {}

test_deny_without_facts if {
	every who in [fixtures.oz, fixtures.pam] {
		denied(put(creation(who, checkout), "/tenancy", null), ["what it speaks of cannot be told"])
		denied(put(change(who, checkout, checkout), "/tenancy", null), [])
		denied(put(deletion(who, checkout), "/tenancy", null), [])
	}
}

test_allow_other_kinds if {
	allowed(put(creation(fixtures.zed, checkout), "/request/kind", fixtures.pod))
	allowed(put(creation(fixtures.zed, checkout), "/request/kind", fixtures.kind("example.com", "v1alpha1", "Workspace")))
	allowed(put(creation(fixtures.zed, checkout), "/request/kind", fixtures.baseline))
}

test_allow_status if {
	every tenant in [checkout, payments, acme] { allowed(fixtures.subresource(change(fixtures.zed, tenant, tenant), "status")) }
	owning := known(fixtures.subresource(deletion(fixtures.pam, checkout), "status"), "owns", 1)
	allowed(owning)
}

# Who may.

test_allow_workspace_to_who_stands_above if {
	every who in [fixtures.pam, fixtures.oz] {
		allowed(creation(who, checkout))
		allowed(change(who, checkout, checkout))
		allowed(deletion(who, checkout))
	}
}

others := [fixtures.ada, fixtures.bo, fixtures.sam, fixtures.ivan, fixtures.rita, fixtures.cilium, fixtures.controller, fixtures.zed, fixtures.nobody, fixtures.root, olga]

test_deny_workspace_to_others if {
	every who in others {
		denied(creation(who, checkout), ["may not create Workspace checkout: it says that it belongs to project payments. Allowed: "])
		denied(change(who, checkout, checkout), ["may not update Workspace checkout: it belongs to "])
		denied(deletion(who, checkout), ["may not delete Workspace checkout: it belongs to "])
	}
}

test_allow_project_and_organization_to_org_admins if {
	allowed(creation(fixtures.oz, payments))
	allowed(change(fixtures.oz, payments, payments))
	allowed(deletion(fixtures.oz, payments))
	allowed(change(fixtures.oz, acme, acme))
}

test_deny_project_and_organization_to_others if {
	every who in array.concat(others, [fixtures.pam]) {
		every document in [creation(who, payments), change(who, payments, payments), deletion(who, payments), change(who, acme, acme)] {
			denied(document, ["it belongs to the organization. Allowed: "])
		}
	}
}

test_deny_a_second_organization if {
	every who in [fixtures.oz, fixtures.zed] {
		denied(creation(who, organization("umbrella", [oz_alone])), ["a cluster belongs to one Organization, and there is one. Allowed: break-glass alone"])
		denied(creation(who, acme), ["a cluster belongs to one Organization"])
	}
}

test_deny_the_organization_to_go if {
	every who in [fixtures.oz, fixtures.zed] { denied(deletion(who, acme), ["everything in the tree belongs to it. Allowed: break-glass alone"]) }
}

test_deny_another_organization if {
	umbrella := organization("umbrella", [oz_alone])
	denied(change(fixtures.oz, umbrella, umbrella), ["it belongs to the organization"])
}

# What is asked.

test_deny_what_cannot_be_told if {
	document := creation(fixtures.oz, checkout)
	every wrong in [
		put(document, "/request/name", "other"),
		put(document, "/request/namespace", "dev"),
		put(document, "/object", null),
		put(put(document, "/object/metadata/name", ""), "/request/name", ""),
		put(change(fixtures.oz, checkout, checkout), "/old_object", null),
		put(change(fixtures.oz, checkout, checkout), "/old_object/metadata/name", "other"),
		put(deletion(fixtures.oz, checkout), "/old_object", null),
		put(document, "/request/operation", "CONNECT"),
	] {
		denied(wrong, ["what it speaks of cannot be told"])
	}
	denied(put(change(fixtures.oz, acme, acme), "/request/name", "other"), ["what it speaks of cannot be told"])
	denied(put(creation(fixtures.oz, acme), "/request/name", "other"), ["what it speaks of cannot be told"])
}

test_deny_another_operation if {
	connect := put(change(fixtures.oz, checkout, checkout), "/request/operation", "CONNECT")
	found := tenancy.deny with input as connect with data.portcullis.asked.consistent as true with data.portcullis.asked.identity as connect.object.metadata
	fixtures.denied(found, refused, ["oz may not connect"])
}

test_deny_unknown_version if {
	denied(put(creation(fixtures.oz, checkout), "/request/kind/version", "v1"), ["version v1 is not known here"])
}

test_deny_other_subresources if {
	denied(fixtures.subresource(change(fixtures.oz, checkout, checkout), "scale"), ["scale is no part of it that is known here"])
}

unread(document) := put(document, "/unreadable", "spec.roles.0: no")

test_deny_unreadable if {
	parts := ["it cannot be read: spec.roles.0: no. Mend it"]
	other := workspace("checkout", "media", [])
	every who in [fixtures.oz, fixtures.zed] {
		denied(unread(known(creation(who, checkout), "new", null)), parts)
		denied(unread(known(change(who, checkout, other), "new", null)), parts)
		same := put(creation(who, checkout), "/old_object", thing(checkout))
		denied(unread(known(same, "new", null)), parts)
	}
}

test_allow_org_admin_what_stands_unread if {
	stays := known(unread(change(fixtures.oz, checkout, checkout)), "new", null)
	allowed(known(stays, "old", null))
	allowed(known(change(fixtures.oz, checkout, checkout), "old", null))
	allowed(known(deletion(fixtures.oz, checkout), "old", null))
}

test_deny_project_admin_what_stands_unread if {
	stays := known(unread(change(fixtures.pam, checkout, checkout)), "new", null)
	parts := ["it belongs to another project. Allowed: a ProjectAdmin of its project or an OrgAdmin of the organization"]
	denied(known(put(stays, "/user", fixtures.bo), "old", null), parts)
	denied(known(change(fixtures.pam, checkout, checkout), "old", null), [])
	denied(known(deletion(fixtures.pam, checkout), "old", null), [])
	unseen := known(change(fixtures.ada, checkout, checkout), "old", null)
	denied(unseen, ["it belongs to another project"])
}

# Both ends of a move.

elsewhere := workspace("checkout", "media", [team])

test_allow_move_to_who_owns_both if {
	every who in [both, fixtures.oz] {
		allowed(change(who, checkout, elsewhere))
		allowed(change(who, elsewhere, checkout))
	}
}

test_deny_move_from_either_end if {
	every who in [fixtures.pam, fixtures.sam, fixtures.ada, fixtures.vic, fixtures.zed] {
		denied(change(who, checkout, elsewhere), ["it would move the workspace to project media, and it belongs to "])
		denied(change(who, elsewhere, checkout), ["it would move the workspace to project payments, and it belongs to "])
	}
}

inhabited(document, keys) := put(document, "/service_accounts", keys)

test_deny_move_of_what_an_account_lives_in if {
	parts := ["both may not update Workspace checkout: in its namespaces live ServiceAccounts that the tree gives a role to", "Allowed: an OrgAdmin, or for a role in a workspace a ProjectAdmin of its project"]
	every key in ["Project/media", "Project/payments", "Organization/acme"] {
		denied(inhabited(change(both, checkout, elsewhere), [key, "Workspace/video"]), parts)
	}
}

test_allow_move_of_what_an_account_lives_in if {
	allowed(inhabited(change(both, checkout, elsewhere), ["Workspace/checkout", "Workspace/video"]))
	allowed(inhabited(change(fixtures.oz, checkout, elsewhere), ["Project/media", "Organization/acme"]))
	allowed(inhabited(change(fixtures.pam, checkout, checkout), ["Organization/acme"]))
}

# Names are for those who hold a role there.

test_deny_who_sees_reads_names if {
	parts := ["it belongs to project payments. Allowed: ProjectAdmin of payments (Group payments-admins), OrgAdmin of acme (Group acme-admins)"]
	every who in [fixtures.ada, fixtures.rita, fixtures.ivan, olga] { denied(change(who, checkout, checkout), parts) }
	denied(creation(fixtures.rita, checkout), ["Allowed: ProjectAdmin of payments (Group payments-admins), OrgAdmin of acme (Group acme-admins)"])
	denied(change(fixtures.pam, payments, payments), ["Allowed: OrgAdmin of acme (Group acme-admins)"])
	denied(creation(fixtures.ivan, payments), ["Allowed: OrgAdmin of acme (Group acme-admins)"])
}

test_deny_strangers_read_none if {
	generic := "a ProjectAdmin of its project or an OrgAdmin of the organization"
	every who in [fixtures.zed, fixtures.sam, fixtures.bo] {
		denied(change(who, checkout, checkout), [$"it belongs to another project. Allowed: {generic}"])
		denied(creation(who, checkout), [$"it says that it belongs to project payments. Allowed: {generic}"])
	}
	denied(creation(fixtures.zed, payments), ["Allowed: an OrgAdmin of the organization"])
	denied(creation(fixtures.pam, project("new", [])), ["Allowed: an OrgAdmin of the organization"])
	denied(change(fixtures.pam, acme, acme), ["Allowed: an OrgAdmin of the organization"])
}

# A role in a workspace says nothing about the project that somebody would move it to.
test_deny_own_workspace_is_no_window if {
	parts := ["Allowed: who owns both, which are ProjectAdmin of payments (Group payments-admins), OrgAdmin of acme (Group acme-admins); and a ProjectAdmin of its project or an OrgAdmin of the organization"]
	denied(change(fixtures.ada, checkout, elsewhere), parts)
	denied(creation(fixtures.ada, elsewhere), ["Allowed: a ProjectAdmin of its project or an OrgAdmin of the organization"])
}

# Whether a project exists is not told.
test_deny_strangers_learn_nothing if {
	some operation in ["creation", "change"]
	here := {"creation": creation(fixtures.zed, workspace("w", "media", [])), "change": change(fixtures.zed, checkout, elsewhere)}[operation]
	nowhere := {"creation": creation(fixtures.zed, workspace("w", "ghost", [])), "change": change(fixtures.zed, checkout, workspace("checkout", "ghost", [team]))}[operation]
	first := {replace(each.message, "media", "X") | some each in tenancy.deny} with input as here
	second := {replace(each.message, "ghost", "X") | some each in tenancy.deny} with input as known(known(nowhere, "missing", ["Project/ghost"]), "owns", 1)
	first == second
}

# Nor is anything that would be wrong beside.
test_deny_strangers_for_one_reason if {
	every who in [fixtures.zed, fixtures.ada] {
		wide := guarded(workspace("checkout", "payments", [fixtures.grant("WorkspaceAdmin", [fixtures.group("system:authenticated")])]), {"fromAnywhere": "Allow"})
		every document in [creation(who, wide), change(who, checkout, wide), deletion(who, checkout)] {
			worst := known(owning(owned_by(document, "object")), "missing", ["Project/payments"])
			denied(worst, ["Allowed: "])
		}
		lent := project("payments", [fixtures.grant("ProjectAdmin", [ci("checkout-dev")])])
		denied(giving(creation(who, lent)), ["Allowed: "])
		denied(owned_by(change(who, acme, organization("acme", [])), "object"), ["Allowed: "])
	}
}

# What still owns something.

owning(document) := known(known(document, "owned", ["a", "b"]), "owns", 7)

test_deny_deletion_of_what_owns if {
	denied(owning(deletion(fixtures.pam, checkout)), ["pam may not delete Workspace checkout: 7 namespaces still name it (a, b and 5 more). Delete or move them first"])
	denied(owning(deletion(fixtures.oz, checkout)), ["7 namespaces"])
	denied(owning(deletion(fixtures.oz, payments)), ["oz may not delete Project payments: 7 workspaces still name it (a, b and 5 more)"])
	few := known(known(deletion(fixtures.oz, checkout), "owned", ["a"]), "owns", 1)
	denied(few, ["1 namespaces still name it (a). Delete"])
}

test_allow_changes_of_what_owns if allowed(owning(change(fixtures.pam, checkout, checkout)))

ending(finalizers) := {"metadata": {"deletionTimestamp": "2026-11-01T00:00:00Z", "finalizers": finalizers}}

released_from(document, finalizers) := object.union(document, {"object": ending(finalizers), "old_object": ending(["x", "y"])})

test_deny_the_last_finalizer_of_what_owns if {
	denied(released_from(owning(change(fixtures.pam, checkout, checkout)), []), ["7 namespaces still name it"])
}

test_allow_finalizers_that_end_nothing if {
	allowed(released_from(change(fixtures.pam, checkout, checkout), []))
	allowed(released_from(owning(change(fixtures.pam, checkout, checkout)), ["x"]))
	creating := object.union(creation(fixtures.oz, checkout), {"object": ending([])})
	allowed(owning(creating))
}

# A name that namespaces carry.

test_deny_a_name_that_namespaces_carry if {
	denied(owning(creation(fixtures.pam, checkout)), ["namespaces carry this name in their label already", "Allowed: OrgAdmin of acme (Group acme-admins)"])
}

test_allow_org_admin_a_name_that_is_carried if {
	allowed(owning(creation(fixtures.oz, checkout)))
	allowed(owning(creation(fixtures.oz, payments)))
}

test_deny_only_workspaces_are_carried if {
	# Nobody but an OrgAdmin creates a project; were it otherwise, its name would be no namespace's.
	found := tenancy.deny with input as owning(creation(fixtures.pam, payments)) with tenancy.permitted as true
	found == set()
}

# Roles that somebody below could take.

homes := {
	"checkout-dev": ["Workspace/checkout", "Project/payments", "Organization/acme"],
	"tools": ["Organization/acme"],
	"lost": ["Workspace/lost", "Organization/acme"],
}

giving(document) := known(document, "homes", homes)

ci(namespace) := fixtures.account(namespace, "ci")

accounts(namespace) := fixtures.group($"system:serviceaccounts:{namespace}")

test_deny_role_to_an_account_below if {
	every subject in [ci("checkout-dev"), accounts("checkout-dev")] {
		every role in ["ProjectAdmin", "ProjectReader"] {
			new := project("payments", [fixtures.grant(role, [subject])])
			denied(giving(change(fixtures.oz, project("payments", []), new)), ["oz may not update Project payments: it would give ", role, " to ", " in a namespace that is owned below"])
			denied(giving(creation(fixtures.oz, new)), [role])
		}
		denied(giving(change(fixtures.oz, acme, organization("acme", [oz_alone, fixtures.grant("InfraAdmin", [subject])]))), ["InfraAdmin to "])
	}
	denied(giving(change(fixtures.oz, acme, organization("acme", [oz_alone, fixtures.grant("InfraAdmin", [ci("lost")])]))), ["InfraAdmin to ServiceAccount lost/ci"])
}

test_allow_role_to_an_account_at_its_place if {
	every subject in [ci("checkout-dev"), accounts("checkout-dev"), ci("tools"), ci("nowhere")] {
		allowed(giving(change(fixtures.pam, workspace("checkout", "payments", []), workspace("checkout", "payments", [fixtures.grant("WorkspaceAdmin", [subject])]))))
	}
	allowed(giving(change(fixtures.oz, acme, organization("acme", [oz_alone, fixtures.grant("InfraAdmin", [ci("tools"), ci("nowhere")])]))))
	allowed(giving(change(fixtures.oz, project("media", []), project("media", [fixtures.grant("ProjectAdmin", [ci("checkout-dev")])]))))
}

# A group of a person's making is no namespace's, whatever it is called.
test_allow_role_to_a_group_called_like_a_namespace if {
	new := project("payments", [fixtures.grant("ProjectAdmin", [fixtures.group("checkout-dev"), fixtures.user("system:serviceaccounts:checkout-dev")])])
	allowed(giving(change(fixtures.oz, payments, new)))
}

test_allow_role_that_stands if {
	old := project("payments", [fixtures.grant("ProjectAdmin", [ci("checkout-dev"), fixtures.group("system:authenticated")])])
	new := project("payments", [fixtures.grant("ProjectAdmin", [fixtures.group("payments-admins"), fixtures.group("system:authenticated")]), fixtures.grant("ProjectAdmin", [ci("checkout-dev")])])
	allowed(giving(change(fixtures.oz, old, new)))
}

test_deny_another_role_or_account_than_stands if {
	old := project("payments", [fixtures.grant("ProjectReader", [ci("checkout-dev")])])
	denied(giving(change(fixtures.oz, old, project("payments", [fixtures.grant("ProjectAdmin", [ci("checkout-dev")])]))), ["ProjectAdmin to ServiceAccount checkout-dev/ci"])
	denied(giving(change(fixtures.oz, old, project("payments", [fixtures.grant("ProjectReader", [fixtures.account("checkout-dev", "cd")])]))), ["ServiceAccount checkout-dev/cd"])
}

test_deny_many_are_counted if {
	subjects := [fixtures.account("checkout-dev", $"a{n}") | some n in numbers.range(1, 7)]
	denied(giving(creation(fixtures.oz, project("payments", [fixtures.grant("ProjectAdmin", subjects)]))), ["checkout-dev/a5 and 2 more, in a namespace"])
}

test_deny_everybody_as_admin if {
	every subject in [
		fixtures.group("system:authenticated"),
		fixtures.group("system:unauthenticated"),
		fixtures.group("system:serviceaccounts"),
		fixtures.user("system:anonymous"),
	] {
		denied(change(fixtures.pam, checkout, workspace("checkout", "payments", [team, fixtures.grant("WorkspaceAdmin", [subject])])), ["it would give WorkspaceAdmin to ", ", which is everybody"])
		denied(creation(fixtures.oz, project("new", [fixtures.grant("ProjectAdmin", [subject])])), ["which is everybody"])
		every role in ["OrgAdmin", "InfraAdmin", "SystemWriter"] {
			denied(change(fixtures.oz, acme, organization("acme", [oz_alone, fixtures.grant(role, [subject])])), [role])
		}
	}
}

test_allow_everybody_as_reader if {
	everybody := [fixtures.group("system:authenticated")]
	allowed(creation(fixtures.pam, workspace("new", "payments", [fixtures.grant("WorkspaceReader", everybody)])))
	allowed(change(fixtures.oz, acme, organization("acme", [oz_alone, fixtures.grant("OrgReader", everybody)])))
}

test_allow_who_is_called_like_everybody if {
	subjects := [fixtures.user("system:authenticated"), fixtures.group("system:anonymous"), fixtures.group("system:authenticated2")]
	allowed(creation(fixtures.pam, workspace("new", "payments", [fixtures.grant("WorkspaceAdmin", subjects)])))
}

# Guardrails.

every_key := ["fromAnywhere", "toAnywhere", "allNamespaces", "hostNetwork", "notUnderstood"]

test_deny_wider_than_above if {
	every key in every_key {
		wide := guarded(checkout, {key: "Allow"})
		parts := [$"it would set {key} to Allow, where Deny stands above it", "Allowed: OrgAdmin of acme (Group acme-admins)"]
		denied(change(fixtures.pam, checkout, wide), parts)
		denied(change(fixtures.pam, guarded(checkout, {key: "Deny"}), wide), parts)
		denied(creation(fixtures.pam, wide), parts)
		allowed(change(fixtures.oz, checkout, wide))
		allowed(creation(fixtures.oz, wide))
	}
	denied(creation(fixtures.pam, guarded(checkout, {"toAnywhere": "Allow", "fromAnywhere": "Allow"})), ["fromAnywhere, toAnywhere"])
}

test_allow_as_wide_as_above_or_narrower if {
	allowed(creation(fixtures.pam, guarded(checkout, {"crossProject": "Allow"})))
	allowed(creation(fixtures.pam, guarded(checkout, {"crossProject": "Deny", "fromAnywhere": "Deny", "protectedCIDRs": ["10.0.0.0/8"]})))
	allowed(change(fixtures.pam, guarded(checkout, {"crossProject": "Deny", "protectedCIDRs": ["10.0.0.0/8"]}), checkout))
}

above(document, key, guardrails) := put(document, $"/tenants/{replace(key, "/", "~1")}/guardrails", guardrails)

test_allow_what_stands_above_counts if {
	wide := guarded(checkout, {"fromAnywhere": "Allow"})
	allowed(above(creation(fixtures.pam, wide), "Organization/acme", {"fromAnywhere": "Allow"}))
	allowed(above(creation(fixtures.pam, wide), "Project/payments", {"fromAnywhere": "Allow"}))
	nearest := above(above(creation(fixtures.pam, wide), "Organization/acme", {"fromAnywhere": "Deny"}), "Project/payments", {"fromAnywhere": "Allow"})
	allowed(nearest)
}

test_deny_the_nearest_above_counts if {
	wide := guarded(checkout, {"fromAnywhere": "Allow", "crossProject": "Allow"})
	narrowed := above(above(creation(fixtures.pam, wide), "Organization/acme", {"fromAnywhere": "Allow"}), "Project/payments", {"fromAnywhere": "Deny", "crossProject": "Deny"})
	denied(narrowed, ["crossProject, fromAnywhere"])

	# What the workspace itself says now is not above it.
	denied(above(change(fixtures.pam, checkout, guarded(checkout, {"fromAnywhere": "Allow"})), "Workspace/checkout", {"fromAnywhere": "Allow"}), ["fromAnywhere"])
}

test_allow_a_wider_value_to_stay if {
	wide := guarded(checkout, {"fromAnywhere": "Allow"})
	allowed(change(fixtures.pam, wide, wide))
	allowed(change(fixtures.pam, wide, checkout))
	allowed(change(fixtures.pam, wide, guarded(checkout, {"fromAnywhere": "Deny"})))
}

test_deny_one_that_is_wider_beside_one_that_stays if {
	denied(change(fixtures.pam, guarded(checkout, {"fromAnywhere": "Allow"}), guarded(checkout, {"fromAnywhere": "Allow", "toAnywhere": "Allow"})), ["it would set toAnywhere to Allow"])
}

test_deny_a_wider_value_to_move if {
	wide := guarded(checkout, {"fromAnywhere": "Allow"})
	denied(change(both, wide, guarded(elsewhere, {"fromAnywhere": "Allow"})), ["fromAnywhere"])
	allowed(change(both, wide, elsewhere))
	allowed(change(fixtures.oz, wide, guarded(elsewhere, {"fromAnywhere": "Allow"})))
	allowed(above(change(both, wide, guarded(elsewhere, {"fromAnywhere": "Allow"})), "Project/media", {"fromAnywhere": "Allow"}))
}

test_deny_a_created_one_has_no_past if {
	wide := guarded(checkout, {"fromAnywhere": "Allow"})
	denied(known(creation(fixtures.pam, wide), "old", wide), ["fromAnywhere"])
}

# The last OrgAdmin.

test_deny_without_an_org_admin if {
	every grants in [
		[],
		[fixtures.grant("OrgAdmin", [])],
		[fixtures.grant("InfraAdmin", [fixtures.user("ivan")])],
		[fixtures.grant("OrgAdmin", [ci("nowhere")])],
		[fixtures.grant("OrgAdmin", [accounts("nowhere")])],
	] {
		denied(giving(change(fixtures.oz, acme, organization("acme", grants))), ["nobody would be OrgAdmin any more"])
	}
}

test_allow_another_org_admin if {
	every subject in [fixtures.user("ada"), fixtures.group("others"), ci("tools"), accounts("tools")] {
		allowed(giving(change(fixtures.oz, acme, organization("acme", [fixtures.grant("OrgAdmin", [ci("nowhere"), subject])]))))
	}
}

test_allow_what_takes_no_org_admin_away if {
	none := organization("acme", [])
	allowed(change(fixtures.oz, none, none))
}

# Owner references.

reference := {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "1"}

owned_by(document, side) := object.union(document, {side: {"metadata": {"ownerReferences": [reference]}}})

test_deny_an_owner_reference if {
	parts := ["the garbage collector would delete it together with its owner"]
	every tenant in [checkout, payments, acme] { denied(owned_by(change(fixtures.oz, tenant, tenant), "object"), parts) }
	every tenant in [checkout, payments] { denied(owned_by(creation(fixtures.oz, tenant), "object"), parts) }
	denied(owned_by(change(fixtures.pam, checkout, checkout), "object"), parts)
}

test_allow_an_owner_reference_to_stay_or_go if {
	allowed(owned_by(owned_by(change(fixtures.pam, checkout, checkout), "object"), "old_object"))
	allowed(owned_by(change(fixtures.pam, checkout, checkout), "old_object"))
	allowed(owned_by(deletion(fixtures.pam, checkout), "old_object"))
}

# Kubernetes itself.

test_allow_system_actors_to_end_it if {
	every tenant in [checkout, payments, acme] {
		allowed(owning(deletion(fixtures.namespace_controller, tenant)))
		allowed(owned_by(change(fixtures.namespace_controller, tenant, tenant), "old_object"))
	}
	allowed(owning(released_from(change(fixtures.namespace_controller, checkout, checkout), [])))
}

test_deny_system_actors_anything_else if {
	denied(creation(fixtures.namespace_controller, checkout), [])
	denied(change(fixtures.namespace_controller, checkout, elsewhere), [])
	denied(owned_by(change(fixtures.namespace_controller, checkout, checkout), "object"), [])
	denied(put(change(fixtures.zed, checkout, checkout), "/user", fixtures.controller), [])
	denied(deletion(fixtures.caller("system:serviceaccount:kube-system:namespace-controller2", []), checkout), [])
}

# One that the tree gives a role to is judged no harder.
test_allow_system_actor_that_holds_a_role if {
	document := object.union(deletion(object.union(fixtures.namespace_controller, {"groups": ["payments-admins"]}), checkout), {})
	allowed(owning(document))
}

# Names that do not exist (yet).

test_allow_missing_names_with_a_warning if {
	document := known(creation(fixtures.oz, workspace("new", "ghost", [])), "missing", ["Project/ghost", "NetworkBaseline/mesh"])
	found := tenancy.deny with input as document
	{object.remove(each, {"message"}) | some each in found} == {warned}
	{each.message | some each in found} == {
		"there is no Project ghost yet: until there is, the namespaces of the workspace are an OrgAdmin's alone",
		"there is no NetworkBaseline mesh yet: until there is, no pod starts in the namespaces that are to get it",
	}
}

# Who may not is told no more than that.
test_deny_a_move_says_nothing_of_accounts_to_who_may_not if {
	document := inhabited(change(fixtures.pam, checkout, elsewhere), ["Organization/acme"])
	denied(document, ["it would move the workspace to project media"])
}
