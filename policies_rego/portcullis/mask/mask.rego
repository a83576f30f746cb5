# METADATA
# title: What the history does not keep
# description: >-
#   Says what is taken out of an object before it is stored: whatever may hold a secret and no rule reads. It sees the
#   shape of an object, never a value: its group and kind, the keys of its annotations, the names of its fields and of
#   those of its spec. A bundle of your own adds to `masked`, in this package, what else is not to be kept, and to `kept`
#   what its rules read: without that they would decide otherwise on what was recorded. Each of the two is a set of
#   [index of the shape, path of the field]; `*` in a path stands for every element or key.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-last-applied-configuration
# schemas:
#   - input.shapes:
#       type: array
#       items:
#         type: object
#         properties:
#           group: {type: string}
#           kind: {type: string}
#           annotations: {type: array, items: {type: string}}
#           fields: {type: array, items: {type: string}}
#           spec: {type: array, items: {type: string}}
package portcullis.mask

import data.portcullis.kinds
import data.portcullis.shipped

# METADATA
# entrypoint: true
decision := {"revision": shipped.revision, "paths": paths} if input.shapes

paths := [sort(object.get(taken, index, [])) | some index, _ in input.shapes]

taken[index] contains path if some [index, path] in (masked - kept)

# What others write there is theirs, and kubectl writes the whole object.
masked contains [index, ["metadata", "annotations", key]] if {
	some index, shape in input.shapes
	some key in shape.annotations
	not startswith(key, "portcullis.dev/")
}

# Environment variables, arguments, volumes.
masked contains [index, ["spec", field]] if {
	some index, shape in input.shapes
	kinds.tables.pods[shape.group][shape.kind]
	some field in shape.spec
}

# guardrail/host-network reads it.
kept contains [index, ["spec", "hostNetwork"]] if some index, _ in input.shapes

# Whatever a hook that is not ours sends here: a Secret's data, say.
masked contains [index, [field]] if {
	some index, shape in input.shapes
	not covered(shape)
	some field in shape.fields
}

covered(shape) if {
	some table in kinds.tables
	table[shape.group][shape.kind]
}
