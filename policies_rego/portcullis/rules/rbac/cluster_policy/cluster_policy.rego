# METADATA
# title: What holds in the whole cluster belongs to the platform
# description: >-
#   Cluster-wide policies, baselines and the definitions of every covered kind are changed by an InfraAdmin or OrgAdmin. A
#   baseline that the tree names is neither deleted nor emptied, one that ends keeps our finalizer until its policies are
#   gone, one that cannot be read is not written, and a definition is deleted by break-glass only, for it would take its
#   objects with it unseen. What the tree's own kinds mean is changed by an OrgAdmin alone.
# related_resources:
#   - ref: https://network-policy-api.sigs.k8s.io/
#   - ref: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
# custom:
#   kinds:
#     - ClusterNetworkPolicy.policy.networking.k8s.io
#     - AdminNetworkPolicy.policy.networking.k8s.io
#     - BaselineAdminNetworkPolicy.policy.networking.k8s.io
#     - CiliumClusterwideNetworkPolicy.cilium.io
#     - CiliumCIDRGroup.cilium.io
#     - GlobalNetworkPolicy.crd.projectcalico.org
#     - GlobalNetworkSet.crd.projectcalico.org
#     - Tier.crd.projectcalico.org
#     - GlobalNetworkPolicy.projectcalico.org
#     - GlobalNetworkSet.projectcalico.org
#     - Tier.projectcalico.org
#     - NetworkBaseline.portcullis.dev
#     - CustomResourceDefinition.apiextensions.k8s.io
#   severity: critical
#   softened: partly
#   remediation: Ask an InfraAdmin or OrgAdmin for the change.
package portcullis.rules.rbac.cluster_policy

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	covered
	not asked.status
	not allowed
	violation := result.violation(rego.metadata.chain(), $"{asked.line}: {reason}")
}

deny contains violation if {
	kinds.covers.baselines
	not asked.status
	count(input.named_by) > 0
	not kept
	not finalizes
	message := $"{asked.line}: the tree names this baseline ({naming}). Take it out of there first, or leave a policy in it"
	violation := result.violation(rego.metadata.chain(), message)
}

# Elsewhere it is put back, and keeps nobody from anything; here it is all that is left of a promise.
deny contains violation if {
	kinds.covers.baselines
	not asked.status
	lets_go
	allowed
	not finalizes
	not actors.system(input.user)
	message := $"{asked.line}: it is being deleted, and {finalizer} goes by itself once its policies have gone from every namespace. Wait for that. Allowed: Portcullis itself"
	violation := result.violation(rego.metadata.chain(), message)
}

deny contains violation if {
	outlives
	not asked.status
	asked.adopts
	message := $"{asked.line}: with an owner reference the garbage collector would delete it together with its owner. Leave metadata.ownerReferences as they are"
	violation := result.violation(rego.metadata.chain(), message)
}

deny contains violation if {
	covered
	not asked.status
	input.unreadable != ""
	not unchanged
	message := $"{asked.line}: it cannot be read: {input.unreadable}. Mend it, for nothing could be brought by it"
	violation := result.fixed(rego.metadata.chain(), message)
}

deny contains violation if {
	covered
	input.request.kind.kind == "CustomResourceDefinition"
	input.request.operation == "DELETE"
	message := $"{asked.line}: all its objects would go with it unseen. Allowed: break-glass alone"
	violation := result.violation(rego.metadata.chain(), message)
}

# A default, a field that is dropped or a conversion gives what stands in the tree another meaning, roles included.
deny contains violation if {
	covered
	input.request.operation == "UPDATE"
	of_the_tree
	not unchanged
	allowed
	not roles.owns(organization)
	message := $"{asked.line}: it says what the tree's objects mean, and with them who holds which role. Allowed: {roles.owners_of(organization)}"
	violation := result.fixed(rego.metadata.chain(), message)
}

of_the_tree if {
	some definition in definitions
	kinds.tables.tenants[definition.group][definition.names.kind]
}

default naming := "a tenant that you do not see"

naming := concat(", ", array.slice(input.named_by, 0, 5)) if roles.owns(platform)

covered if kinds.covers["cluster policies"]

# A definition whose group or kind cannot be read is taken for a covered one.
covered if {
	kinds.covers.definitions
	not foreign
}

foreign if {
	every definition in definitions {
		is_string(definition.group)
		is_string(definition.names.kind)
	}
	count(definitions) > 0
	every definition in definitions { not kinds.defines_covered(definition) }
}

definitions := [side.spec |
	some side in [input.object, input.old_object]
	side.metadata
]

platform := {"path": [$"Organization/{input.organization}"], "standing": "unowned"}

organization := {"path": [$"Organization/{input.organization}"], "standing": "Organization"}

allowed if {
	understood
	roles.owns(platform)
}

allowed if {
	understood
	not ours
	actors.system_writer(input.organization)
}

allowed if {
	actors.system(input.user)
	input.request.operation == "DELETE"
}

allowed if {
	actors.system(input.user)
	asked.releases
}

# The API server says of a definition that it is established.
allowed if {
	actors.system(input.user)
	input.request.kind.kind == "CustomResourceDefinition"
	input.request.operation == "UPDATE"
	input.request.subresource == "status"
	input.object.spec == input.old_object.spec
}

allowed if finalizes

finalizer := "portcullis.dev/baseline"

# Our controller puts its finalizer on the baselines and takes it off, and changes nothing else.
finalizes if {
	understood
	actors.controller(input.user)
	input.request.kind.kind == "NetworkBaseline"
	input.request.operation == "UPDATE"
	asked.same_beside
	new := input.object.metadata
	old := input.old_object.metadata
	asked.same_metadata(new, old, {"finalizers"})
	others(new.finalizers) == others(old.finalizers)
}

others(finalizers) := [each | some each in finalizers; each != finalizer]

lets_go if {
	input.request.operation == "UPDATE"
	input.old_object.metadata.deletionTimestamp != ""
	finalizer in input.old_object.metadata.finalizers
	not finalizer in input.object.metadata.finalizers
}

understood if {
	asked.consistent
	knows
	input.request.operation in {"CREATE", "UPDATE", "DELETE"}
}

knows if kinds.knows["cluster policies"]

knows if kinds.knows.definitions

ours if input.request.kind.group == "portcullis.dev"

ours if {
	some definition in definitions
	definition.group == "portcullis.dev"
}

# What stands already may lose its finalizer, say.
unchanged if {
	input.request.operation == "UPDATE"
	input.object.spec == input.old_object.spec
}

kept if {
	asked.writes
	not asked.ends
	is_array(input.object.spec.policies)
	count(input.object.spec.policies) > 0
}

# METADATA
# description: Says that who writes the object may not always end it, so that no garbage collector may either.
outlives if kinds.covers.baselines

outlives if {
	kinds.covers.definitions
	covered
}

default reason := "what it speaks of cannot be told from the object: it is not there, or the request names another one"

reason := $"version {input.request.kind.version} is not known here. Use a version that Portcullis knows, or update Portcullis" if {
	not knows
} else := $"it holds in the whole cluster. Allowed: {roles.owners_of(platform)}" if {
	asked.consistent
}
