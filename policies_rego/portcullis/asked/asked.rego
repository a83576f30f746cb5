# METADATA
# title: What is asked
# description: >-
#   The object under review and the words for it. Identity is the object's own metadata, the old object's on DELETE,
#   never the request's name or namespace alone: a deletecollection arrives without a name.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
package portcullis.asked

import data.portcullis.roles

writes if input.request.operation in {"CREATE", "UPDATE"}

identity := input.old_object.metadata if input.request.operation == "DELETE"

identity := input.object.metadata if writes

# METADATA
# description: >-
#   Says whether the object is whom the request speaks of, and an update's old object the same one. Without an object
#   nobody can tell, and nothing is consistent.
consistent if {
	one_object
	agrees(input.request.namespace, identity.namespace)
	agrees(input.request.name, identity.name)
}

# A Namespace's request names itself as namespace; the object has none.
consistent if {
	one_object
	input.request.kind.kind == "Namespace"
	identity.namespace == ""
	agrees(input.request.namespace, identity.name)
	agrees(input.request.name, identity.name)
}

one_object if input.request.operation in {"CREATE", "DELETE"}

one_object if {
	input.old_object.metadata.name == input.object.metadata.name
	input.old_object.metadata.namespace == input.object.metadata.namespace
}

# Not `asked in {"", actual}`: OPA 1.22 indexes a set with a reference in it wrongly and finds no rule at all.
agrees("", _)

agrees(asked, actual) if {
	asked != ""
	asked == actual
}

# METADATA
# description: Says whether only a custom resource's status is written, which opens nothing and is left alone.
status if {
	input.request.subresource == "status"
	not input.request.kind.group in {"", "apiextensions.k8s.io"}
}

# METADATA
# description: The user, the verb and the object, as every message begins.
line := $"{who} may not {verb} {input.request.kind.kind} {where}{name}"

default who := "a caller without a name"

who := input.user.name if input.user.name != ""

verb := lower(input.request.operation)

default where := ""

where := $"{identity.namespace}/" if identity.namespace != ""

default name := "without a name"

# A deletecollection holds no name, so whoever has no role there would learn it from us.
name := "*" if {
	identity.name != ""
	not told
} else := identity.name if {
	identity.name != ""
} else := $"{identity.generateName}*" if {
	identity.generateName != ""
} else := input.request.name if {
	input.request.name != ""
}

told if writes

told if input.request.name != ""

# The tenants of a document are those above the object.
told if {
	some roles_there in roles.held
	count(roles_there) > 0
}

# METADATA
# description: Says whether the object goes, at once or with the last finalizer that held it.
ends if input.request.operation == "DELETE"

ends if {
	input.request.operation == "UPDATE"
	input.object.metadata.deletionTimestamp != ""
	count(input.object.metadata.finalizers) == 0
}

# METADATA
# description: >-
#   Says whether the object gets an owner reference that it has not: the garbage collector, which may delete it, would do
#   so for whoever wrote the reference.
adopts if {
	writes
	some owner in input.object.metadata.ownerReferences
	not owner in referred
}

default referred := []

referred := input.old_object.metadata.ownerReferences if input.request.operation == "UPDATE"

# METADATA
# description: Says whether the update takes finalizers or owner references off and changes nothing else.
releases if {
	input.request.operation == "UPDATE"
	same_beside
	new := input.object.metadata
	old := input.old_object.metadata
	same_metadata(new, old, {"finalizers", "ownerReferences"})
	every finalizer in new.finalizers { finalizer in old.finalizers }
	every owner in new.ownerReferences { owner in old.ownerReferences }
}

# METADATA
# description: Says whether all but the metadata is the same on both sides.
same_beside if without_keys(input.object, {"metadata"}) == without_keys(input.old_object, {"metadata"})

# METADATA
# description: >-
#   What there is but for some keys. Not `object.remove`: that fails where there is no object, and a builtin that fails
#   leaves no decision.
without_keys(map, keys) := {key: value | some key, value in map; not key in keys}

# METADATA
# description: Says whether metadata is the same on both sides, but for some of its fields.
same_metadata(new, old, without) if {
	maps := {"labels", "annotations"}
	without_keys(new, maps | without) == without_keys(old, maps | without)
	every key in maps - without { same(new[key], old[key]) }
}

# METADATA
# description: >-
#   Says whether two maps are the same, by a look-up for each key: OPA's WASM compares them as a whole in the square of the
#   time, and an owner may write thousands of annotations.
same(one, other) if {
	count(one) == count(other)
	every key, value in one { other[key] == value }
}
