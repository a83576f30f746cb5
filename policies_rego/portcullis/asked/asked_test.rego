package portcullis.asked_test

import data.portcullis.asked
import data.portcullis.fixtures

creation := fixtures.created(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.checkout)

deletion := fixtures.deleted(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.checkout)

of_namespace := fixtures.put(
	fixtures.created(fixtures.oz, fixtures.namespace, fixtures.dev, fixtures.unowned),
	"/request/namespace", "dev",
)

test_deny_empty_document if {
	not asked.writes with input as {}
	not asked.identity with input as {}
	not asked.consistent with input as {}
	not asked.status with input as {}
	not asked.releases with input as {}
	startswith(asked.line, "a caller without a name may not ") with input as {}
	endswith(asked.line, " without a name") with input as {}
}

test_allow_writes if {
	every operation in ["CREATE", "UPDATE"] { asked.writes with input.request.operation as operation }
}

test_deny_writes if {
	every operation in ["DELETE", "CONNECT", "create", ""] { not asked.writes with input.request.operation as operation }
}

test_allow_identity if {
	both := fixtures.updated(fixtures.ada, fixtures.network_policy, fixtures.object_of("dev", "old", {}), fixtures.object_of("dev", "new", {}), [null, null])
	asked.identity.name == "new" with input as both
	asked.identity.name == "new" with input as fixtures.put(both, "/request/operation", "CREATE")
	asked.identity.name == "old" with input as fixtures.put(both, "/request/operation", "DELETE")
	not asked.identity with input as fixtures.put(both, "/request/operation", "CONNECT")
}

test_allow_consistent if {
	asked.consistent with input as creation
	asked.consistent with input as deletion
	asked.consistent with input as fixtures.put(creation, "/request/name", "")
	asked.consistent with input as fixtures.put(creation, "/request/namespace", "")
	asked.consistent with input as of_namespace
}

test_deny_inconsistent if {
	not asked.consistent with input as fixtures.put(creation, "/request/name", "other")
	not asked.consistent with input as fixtures.put(creation, "/request/namespace", "other")
	not asked.consistent with input as fixtures.put(deletion, "/request/name", "other")
	not asked.consistent with input as fixtures.put(deletion, "/request/namespace", "other")
	not asked.consistent with input as fixtures.put(creation, "/object", null)
	not asked.consistent with input as fixtures.put(deletion, "/old_object", null)
	not asked.consistent with input as fixtures.without(creation, "/request/name")
	not asked.consistent with input as fixtures.without(creation, "/request/namespace")
}

changed := fixtures.updated(fixtures.ada, fixtures.network_policy, fixtures.policy, fixtures.policy, [fixtures.checkout, fixtures.checkout])

renamed := fixtures.updated(fixtures.oz, fixtures.namespace, fixtures.dev, fixtures.dev, [fixtures.unowned, fixtures.unowned])

test_allow_consistent_change if {
	asked.consistent with input as changed
	asked.consistent with input as fixtures.put(renamed, "/request/namespace", "dev")
}

test_deny_another_object_than_before if {
	not asked.consistent with input as fixtures.put(changed, "/old_object/metadata/name", "other")
	not asked.consistent with input as fixtures.put(changed, "/old_object/metadata/namespace", "other")
	not asked.consistent with input as fixtures.put(changed, "/old_object", null)
	document := fixtures.put(renamed, "/request/namespace", "dev")
	not asked.consistent with input as fixtures.put(document, "/old_object/metadata/name", "other")
	not asked.consistent with input as fixtures.put(document, "/old_object", null)
}

test_deny_inconsistent_namespace if {
	not asked.consistent with input as fixtures.put(of_namespace, "/request/namespace", "other")
	not asked.consistent with input as fixtures.put(of_namespace, "/request/name", "other")
	not asked.consistent with input as fixtures.put(of_namespace, "/object/metadata/namespace", "other")
	not asked.consistent with input as fixtures.put(of_namespace, "/request/kind/kind", "Tier")
}

test_allow_agrees if {
	asked.agrees("", "a")
	asked.agrees("a", "a")
	asked.agrees("", "")
}

test_deny_agrees if {
	not asked.agrees("a", "")
	not asked.agrees("a", "b")
}

test_allow_status_of_a_custom_resource if asked.status with input as fixtures.subresource(creation, "status")

test_deny_what_is_no_such_status if {
	not asked.status with input as creation
	not asked.status with input as fixtures.subresource(creation, "scale")
	not asked.status with input as fixtures.subresource(of_namespace, "status")
}

test_allow_line if {
	asked.line == "ada may not create NetworkPolicy dev/web" with input as creation
	asked.line == "ada may not delete NetworkPolicy dev/web" with input as deletion
	asked.line == "ada may not update NetworkPolicy dev/web" with input as fixtures.put(creation, "/request/operation", "UPDATE")
	asked.line == "oz may not create Namespace dev" with input as of_namespace
}

test_allow_line_of_another_operation if {
	asked.line == "ada may not connect NetworkPolicy web" with input as fixtures.put(creation, "/request/operation", "CONNECT")
}

test_allow_line_without_a_user_name if {
	asked.line == "a caller without a name may not create NetworkPolicy dev/web" with input as fixtures.put(creation, "/user/name", "")
}

test_allow_line_with_a_generated_name if {
	generated := object.union(creation, {"request": {"name": ""}, "object": {"metadata": {"name": "", "generateName": "web-"}}})
	asked.line == "ada may not create NetworkPolicy dev/web-*" with input as generated
	unnamed := fixtures.put(generated, "/object/metadata/generateName", "")
	asked.line == "ada may not create NetworkPolicy dev/without a name" with input as unnamed
	asked.line == "ada may not create NetworkPolicy dev/said" with input as fixtures.put(unnamed, "/request/name", "said")
}

held := object.union(fixtures.policy, {"status": {"a": 1}, "metadata": {"finalizers": ["f", "g"], "ownerReferences": [{"uid": "1"}, {"uid": "2"}]}})

released := object.union(held, {"metadata": {"finalizers": ["g"], "ownerReferences": [{"uid": "2"}]}})

release(new) := fixtures.updated(fixtures.namespace_controller, fixtures.network_policy, held, new, [fixtures.checkout, fixtures.checkout])

test_allow_releases if {
	asked.releases with input as release(released)
	asked.releases with input as release(held)
	asked.releases with input as release(object.union(held, {"metadata": {"finalizers": []}}))
	asked.releases with input as release(object.union(held, {"metadata": {"ownerReferences": []}}))
}

test_deny_releases if {
	not asked.releases with input as fixtures.put(release(released), "/request/operation", "CREATE")
	not asked.releases with input as release(object.union(released, {"spec": {"podSelector": {"a": "b"}}}))
	not asked.releases with input as release(object.union(released, {"status": {"a": 2}}))
	not asked.releases with input as release(object.union(released, {"metadata": {"labels": {"a": "b"}}}))
	not asked.releases with input as release(object.union(released, {"metadata": {"name": "other"}}))
	not asked.releases with input as release(object.union(released, {"metadata": {"finalizers": ["h"]}}))
	not asked.releases with input as release(object.union(released, {"metadata": {"ownerReferences": [{"uid": "3"}]}}))
	not asked.releases with input as release(fixtures.without(released, "/metadata/finalizers"))
	not asked.releases with input as release(fixtures.without(released, "/metadata/ownerReferences"))
	not asked.releases with input as fixtures.put(release(released), "/object", null)
	not asked.releases with input as fixtures.put(release(released), "/old_object", null)
}

adoption(document, before, owners) := object.union(document, {"old_object": {"metadata": {"ownerReferences": before}}, "object": {"metadata": {"ownerReferences": owners}}})

one := {"uid": "1"}

two := {"uid": "2"}

test_deny_adopts if {
	asked.adopts with input as adoption(release(held), [], [one])
	asked.adopts with input as adoption(release(held), [one], [one, two])
	asked.adopts with input as adoption(release(held), [one], [object.union(one, {"controller": true})])
	asked.adopts with input as fixtures.put(creation, "/object/metadata/ownerReferences", [one])
	asked.adopts with input as fixtures.put(adoption(release(held), [one], [one]), "/request/operation", "CREATE")
	asked.adopts with input as fixtures.put(adoption(release(held), [one], [one]), "/old_object", null)
}

test_allow_adopts_nothing if {
	not asked.adopts with input as creation
	not asked.adopts with input as adoption(release(held), [one], [one])
	not asked.adopts with input as adoption(release(held), [one, two], [two])
	not asked.adopts with input as adoption(release(held), [], [])
	not asked.adopts with input as fixtures.put(adoption(release(held), [], [one]), "/request/operation", "DELETE")
	not asked.adopts with input as {}
}

test_deny_ends if {
	asked.ends with input as deletion
	ending := fixtures.put(release(held), "/object/metadata/deletionTimestamp", "2026-11-01T00:00:00Z")
	asked.ends with input as fixtures.put(ending, "/object/metadata/finalizers", [])
}

test_allow_ends_nothing if {
	not asked.ends with input as creation
	not asked.ends with input as {}
	ending := fixtures.put(release(held), "/object/metadata/deletionTimestamp", "2026-11-01T00:00:00Z")
	not asked.ends with input as ending
	bare := fixtures.put(release(held), "/object/metadata/finalizers", [])
	not asked.ends with input as bare
	not asked.ends with input as fixtures.put(fixtures.put(bare, "/object/metadata/deletionTimestamp", "2026-11-01T00:00:00Z"), "/request/operation", "CREATE")
}

test_deny_a_strangers_collection_a_name if {
	of_collection := fixtures.put(fixtures.put(deletion, "/request/name", ""), "/user", fixtures.zed)
	endswith(asked.line, "/*") with input as of_collection
	endswith(asked.line, "/*") with input as fixtures.put(of_collection, "/user", fixtures.nobody)
}

test_allow_a_collection_its_names_to_who_sees_it if {
	name := fixtures.policy.metadata.name
	endswith(asked.line, $"/{name}") with input as fixtures.put(deletion, "/request/name", "")
	endswith(asked.line, $"/{name}") with input as fixtures.put(deletion, "/user", fixtures.zed)
	endswith(asked.line, $"/{name}") with input as fixtures.put(fixtures.put(creation, "/request/name", ""), "/user", fixtures.zed)
}
