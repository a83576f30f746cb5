package portcullis.pods_test

import data.portcullis.fixtures
import data.portcullis.pods

web := fixtures.object_of("dev", "web", {})

creation := fixtures.created(fixtures.ada, fixtures.pod, web, fixtures.checkout)

test_allow_empty_document if {
	not pods.created with input as {}
	not pods.placed with input as {}
	not pods.guarded with input as {}
}

test_deny_creation if {
	pods.created with input as creation
	pods.created with input as fixtures.put(creation, "/request/kind/version", "v2")
}

test_allow_all_else if {
	not pods.created with input as fixtures.put(creation, "/request/kind", fixtures.namespace)
	not pods.created with input as fixtures.subresource(creation, "binding")
	not pods.created with input as fixtures.subresource(creation, "eviction")
	not pods.created with input as fixtures.deleted(fixtures.ada, fixtures.pod, web, fixtures.checkout)
	places := [fixtures.checkout, fixtures.checkout]
	not pods.created with input as fixtures.updated(fixtures.ada, fixtures.pod, web, web, places)
}

test_allow_placed if {
	pods.placed with input as creation
	generated := object.union(creation, {"object": {"metadata": {"name": "", "generateName": "web-"}}, "request": {"name": ""}})
	pods.placed with input as generated
}

test_deny_placed_nowhere if {
	not pods.placed with input as fixtures.put(creation, "/request/kind/version", "v2")
	not pods.placed with input as fixtures.put(creation, "/request/namespace", "other")
	not pods.placed with input as fixtures.put(creation, "/places/new", fixtures.unknown)
	not pods.placed with input as fixtures.put(creation, "/places/new", null)
	not pods.placed with input as fixtures.put(creation, "/places/new/namespace", "other")
	not pods.placed with input as fixtures.put(creation, "/object", null)
}

test_deny_guarded if {
	pods.guarded with input as creation
	not pods.guarded with input as fixtures.put(creation, "/places/new", fixtures.unowned)
}
