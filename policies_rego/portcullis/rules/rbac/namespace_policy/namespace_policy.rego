# METADATA
# title: A namespace's policies belong to its owners
# description: >-
#   Only an admin of the workspace, its project or the organization changes the network policies of a namespace; where no
#   workspace owns it, an InfraAdmin or OrgAdmin does.
# related_resources:
#   - ref: https://kubernetes.io/docs/concepts/services-networking/network-policies/
# custom:
#   kinds:
#     - NetworkPolicy.networking.k8s.io
#     - CiliumNetworkPolicy.cilium.io
#     - CiliumLocalRedirectPolicy.cilium.io
#     - NetworkPolicy.crd.projectcalico.org
#     - NetworkSet.crd.projectcalico.org
#     - NetworkPolicy.projectcalico.org
#     - NetworkSet.projectcalico.org
#   severity: high
#   softened: partly
#   remediation: Ask an admin of the workspace for the change, or for the role.
package portcullis.rules.rbac.namespace_policy

import data.portcullis.actors
import data.portcullis.asked
import data.portcullis.kinds
import data.portcullis.result
import data.portcullis.roles

deny contains violation if {
	kinds.covers["namespace policies"]
	not asked.status
	not allowed
	decidable
	violation := result.violation(rego.metadata.chain(), $"{asked.line}: {reason}")
}

# What cannot be decided is denied, and no setting softens that.
deny contains violation if {
	kinds.covers["namespace policies"]
	not asked.status
	not allowed
	not decidable
	violation := result.fixed(rego.metadata.chain(), $"{asked.line}: {reason}")
}

decidable if {
	understood
	known
}

place := input.places.old if input.request.operation == "DELETE"

place := input.places.new if asked.writes

allowed if {
	understood
	roles.owns(place)
}

allowed if {
	understood
	known
	actors.system_writer(input.organization)
}

# Our controller writes what it injects and nothing else; baseline/managed-policy keeps everybody else from it.
allowed if {
	understood
	known
	actors.controller(input.user)
	contains(asked.identity.name, ".")
}

# Also in a namespace or of a version that we do not know: a namespace has to end whatever we believe.
allowed if {
	actors.system(input.user)
	input.request.operation == "DELETE"
}

allowed if {
	actors.system(input.user)
	asked.releases
}

understood if {
	asked.consistent
	kinds.knows["namespace policies"]
	input.request.operation in {"CREATE", "UPDATE", "DELETE"}
}

known if place.standing != "unknown"

default reason := "what it speaks of cannot be told from the object: it is not there, or the request names another one"

reason := $"version {input.request.kind.version} is not known here. Use a version that Portcullis knows, or update Portcullis" if {
	not kinds.knows["namespace policies"]
} else := $"{roles.belongs(place)}. Allowed: {roles.owners_of(place)}" if {
	asked.consistent
}
