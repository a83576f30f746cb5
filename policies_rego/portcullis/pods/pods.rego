# METADATA
# title: What rules on pods have in common
# description: >-
#   The creation of a pod, and of nothing else: eviction, binding and ephemeral containers are subresources, and start none.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/workloads/pods/
package portcullis.pods

import data.portcullis.asked
import data.portcullis.kinds

created if {
	kinds.covers.pods
	input.request.operation == "CREATE"
	input.request.subresource == ""
}

# METADATA
# description: Says whether it can be told where the pod is created.
placed if {
	kinds.knows.pods
	asked.consistent
	input.object.metadata.namespace == input.places.new.namespace
	input.places.new.standing != "unknown"
}

# METADATA
# description: Says whether a baseline applies to the namespace of the pod, in place yet or not and exempt or not.
guarded if count(input.places.new.baselines) > 0
