package portcullis.actors_test

import data.portcullis.actors
import data.portcullis.fixtures

# `not f(input.user)` would be undefined here, whatever f says: an argument that is undefined undoes the whole line.
test_deny_empty_document if {
	not anybody with input as {}
	not actors.system_writer("acme") with input as {}
}

anybody if actors.break_glass(input.user, input.break_glass_groups)

anybody if actors.system(input.user)

anybody if actors.controller(input.user)

test_allow_anybody if {
	anybody with input as {"user": fixtures.root, "break_glass_groups": ["system:masters"]}
	anybody with input.user as fixtures.namespace_controller
	anybody with input.user as fixtures.controller
}

test_allow_break_glass_group if {
	actors.break_glass(fixtures.root, ["system:masters"])
	actors.break_glass(fixtures.caller("eve", ["a", "b"]), ["b", "c"])
}

test_deny_break_glass if {
	not actors.break_glass(fixtures.oz, ["system:masters"])
	not actors.break_glass(fixtures.root, [])
	not actors.break_glass(fixtures.root, ["system:master", "system:masters:", "System:Masters"])
	not actors.break_glass(fixtures.caller("system:masters", []), ["system:masters"])
}

test_deny_break_glass_without_a_name if not actors.break_glass(fixtures.nobody, ["system:masters"])

test_allow_exact_system_actors if {
	every name in [
		"system:serviceaccount:kube-system:namespace-controller",
		"system:serviceaccount:kube-system:generic-garbage-collector",
		"system:kube-controller-manager",
		"system:apiserver",
	] {
		actors.system({"name": name, "groups": []})
	}
	actors.namespace_controller == "system:serviceaccount:kube-system:namespace-controller"
}

test_deny_almost_system_actors if {
	every name in [
		"",
		"namespace-controller",
		"system:serviceaccount:dev:namespace-controller",
		"system:serviceaccount:kube-system:namespace-controller2",
		"system:serviceaccount:kube-system:default",
		"System:apiserver",
		fixtures.controller.name,
	] {
		not actors.system({"name": name, "groups": ["system:apiserver"]})
	}
}

test_allow_controller if actors.controller(fixtures.controller)

test_deny_almost_controller if {
	every name in ["", "portcullis", "system:serviceaccount:dev:portcullis", $"{fixtures.controller.name}x"] {
		not actors.controller({"name": name, "groups": [fixtures.controller.name]})
	}
}

test_allow_system_writer if actors.system_writer("acme") with input as {"user": fixtures.cilium, "tenants": fixtures.tenants}

test_deny_system_writer if {
	not actors.system_writer("other") with input as {"user": fixtures.cilium, "tenants": fixtures.tenants}
	every who in [fixtures.oz, fixtures.ivan, fixtures.nobody] {
		not actors.system_writer("acme") with input as {"user": who, "tenants": fixtures.tenants}
	}
}
