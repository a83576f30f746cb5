package portcullis.history_test

import data.portcullis.fixtures
import data.portcullis.history

visible(user) := found if {
	found := history.visible with input as {"user": user, "tenants": fixtures.tenants}
}

test_deny_empty_document if {
	history.visible == {"tenants": set(), "under": {}, "others": false} with input as {}
}

test_allow_the_workspace_alone_to_its_people if {
	visible(fixtures.ada) == {"tenants": {"Workspace/checkout"}, "under": {"Workspace/checkout": "Project/payments"}, "others": false}
	visible(fixtures.two) == {
		"tenants": {"Workspace/checkout", "Workspace/refunds"},
		"under": {"Workspace/checkout": "Project/payments", "Workspace/refunds": "Project/payments"},
		"others": false,
	}
}

test_allow_a_workspace_reader if {
	reader := fixtures.grant("WorkspaceReader", [fixtures.user("rea")])
	tenants := {"Workspace/w": fixtures.tenant("Workspace", "w", "p", [reader])}
	found := history.visible with input as {"user": fixtures.caller("rea", []), "tenants": tenants}
	found == {"tenants": {"Workspace/w"}, "under": {"Workspace/w": "Project/p"}, "others": false}
}

test_allow_the_project_to_its_readers_and_admins if {
	visible(fixtures.rita) == {"tenants": {"Project/payments"}, "under": {}, "others": false}
	visible(fixtures.pam) == {"tenants": {"Project/payments"}, "under": {}, "others": false}
}

test_allow_all_to_the_organizations if {
	every user in [fixtures.oz, fixtures.ivan, fixtures.caller("aud", ["acme-audit"])] {
		visible(user) == {"tenants": {"Organization/acme"}, "under": {}, "others": true}
	}
}

test_deny_a_system_writer if visible(fixtures.cilium) == {"tenants": set(), "under": {}, "others": false}

test_deny_a_stranger_and_nobody if {
	visible(fixtures.zed) == {"tenants": set(), "under": {}, "others": false}
	visible(fixtures.nobody) == {"tenants": set(), "under": {}, "others": false}
}

# A role that stands where it does not count is none.
test_deny_a_role_of_another_level if {
	reader := fixtures.grant("OrgReader", [fixtures.user("rea")])
	tenants := {"Workspace/w": fixtures.tenant("Workspace", "w", "p", [reader])}
	found := history.visible with input as {"user": fixtures.caller("rea", []), "tenants": tenants}
	found == {"tenants": set(), "under": {}, "others": false}
}
