# METADATA
# title: Who is not a tenant
# description: Break-glass, Kubernetes' own controllers, the CNI's agents and our controller (contract, section 2).
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles
package portcullis.actors

import data.portcullis.roles

break_glass(user, groups) if {
	user.name != ""
	some group in user.groups
	group in groups
}

namespace_controller := "system:serviceaccount:kube-system:namespace-controller"

system(user) if {
	user.name in {
		namespace_controller,
		"system:serviceaccount:kube-system:generic-garbage-collector",
		"system:kube-controller-manager",
		"system:apiserver",
	}
}

controller(user) if user.name == "system:serviceaccount:portcullis-system:portcullis"

system_writer(organization) if roles.holds($"Organization/{organization}", "SystemWriter")
