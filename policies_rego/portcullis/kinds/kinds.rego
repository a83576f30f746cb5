# METADATA
# title: The covered kinds
# description: Group, kind and the versions that the rules know; another version of a covered kind is refused.
# related_resources:
#   - ref: https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/
#   - ref: https://docs.cilium.io/en/stable/network/kubernetes/policy/
#   - ref: https://docs.tigera.io/calico/latest/reference/resources/
package portcullis.kinds

# One literal, which OPA keeps as a constant; made of other rules it would be put together at every request.
tables := {
	"namespace policies": {
		"networking.k8s.io": {"NetworkPolicy": {"v1"}},
		"cilium.io": {"CiliumNetworkPolicy": {"v2"}, "CiliumLocalRedirectPolicy": {"v2"}},
		"crd.projectcalico.org": {"NetworkPolicy": {"v1"}, "NetworkSet": {"v1"}},
		"projectcalico.org": {"NetworkPolicy": {"v3"}, "NetworkSet": {"v3"}},
	},
	"cluster policies": {
		"policy.networking.k8s.io": {
			"ClusterNetworkPolicy": {"v1alpha2"},
			"AdminNetworkPolicy": {"v1alpha1"},
			"BaselineAdminNetworkPolicy": {"v1alpha1"},
		},
		"cilium.io": {"CiliumClusterwideNetworkPolicy": {"v2"}, "CiliumCIDRGroup": {"v2", "v2alpha1"}},
		"crd.projectcalico.org": {"GlobalNetworkPolicy": {"v1"}, "GlobalNetworkSet": {"v1"}, "Tier": {"v1"}},
		"projectcalico.org": {"GlobalNetworkPolicy": {"v3"}, "GlobalNetworkSet": {"v3"}, "Tier": {"v3"}},
		"portcullis.dev": {"NetworkBaseline": {"v1alpha1"}},
	},
	"definitions": {"apiextensions.k8s.io": {"CustomResourceDefinition": {"v1"}}},
	"namespaces": {"": {"Namespace": {"v1"}}},
	"network policies": {"networking.k8s.io": {"NetworkPolicy": {"v1"}}},
	"baselines": {"portcullis.dev": {"NetworkBaseline": {"v1alpha1"}}},
	"pods": {"": {"Pod": {"v1"}}},
	"tenants": {"portcullis.dev": {
		"Organization": {"v1alpha1"},
		"Project": {"v1alpha1"},
		"Workspace": {"v1alpha1"},
	}},
}

# METADATA
# description: >-
#   The tables that the kind under review is in. Written as one set OPA puts them together once a decision; a function, or
#   a set by its members, it would run at every look.
covers := {table | tables[table][input.request.kind.group][input.request.kind.kind]}

# METADATA
# description: Those of them that know its version.
knows := {table | tables[table][input.request.kind.group][input.request.kind.kind][input.request.kind.version]}

# METADATA
# description: Says whether a CustomResourceDefinition defines a kind of ours or a covered one.
defines_covered(spec) if spec.group == "portcullis.dev"

# By each of its names, for any of them would take a covered kind's place; but for the last letter, which the plural of a
# policy changes.
defines_covered(spec) if {
	some table in ["namespace policies", "cluster policies"]
	some kind, _ in tables[table][spec.group]
	some name in names
	is_string(spec.names[name])
	startswith(lower(spec.names[name]), trim_suffix(lower(kind), "y"))
}

# A name that cannot be read could be any.
defines_covered(spec) if {
	some name in names
	value := spec.names[name]
	not is_string(value)
}

names := ["kind", "listKind", "plural", "singular"]
