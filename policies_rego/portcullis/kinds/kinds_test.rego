package portcullis.kinds_test

import data.portcullis.fixtures
import data.portcullis.kinds

covers(table, kind) if kinds.covers[table] with input as {"request": {"kind": kind}}

knows(table, kind) if kinds.knows[table] with input as {"request": {"kind": kind}}

test_allow_empty_document if {
	count(kinds.covers) == 0 with input as {}
	count(kinds.knows) == 0 with input as {}
	not covers("namespace policies", {}) with input as {}
	not knows("namespace policies", {}) with input as {}
	not kinds.defines_covered({}) with input as {}
}

test_deny_every_namespaced_kind if {
	every kind in [
		fixtures.kind("networking.k8s.io", "v1", "NetworkPolicy"),
		fixtures.kind("cilium.io", "v2", "CiliumNetworkPolicy"),
		fixtures.kind("cilium.io", "v2", "CiliumLocalRedirectPolicy"),
		fixtures.kind("crd.projectcalico.org", "v1", "NetworkPolicy"),
		fixtures.kind("crd.projectcalico.org", "v1", "NetworkSet"),
		fixtures.kind("projectcalico.org", "v3", "NetworkPolicy"),
		fixtures.kind("projectcalico.org", "v3", "NetworkSet"),
	] {
		covers("namespace policies", kind)
		knows("namespace policies", kind)
		not covers("cluster policies", kind)
		kinds.defines_covered({"group": kind.group, "names": {"kind": kind.kind}})
	}
}

test_deny_every_cluster_wide_kind if {
	every kind in [
		fixtures.kind("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy"),
		fixtures.kind("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy"),
		fixtures.kind("policy.networking.k8s.io", "v1alpha1", "BaselineAdminNetworkPolicy"),
		fixtures.kind("cilium.io", "v2", "CiliumClusterwideNetworkPolicy"),
		fixtures.kind("cilium.io", "v2", "CiliumCIDRGroup"),
		fixtures.kind("cilium.io", "v2alpha1", "CiliumCIDRGroup"),
		fixtures.kind("crd.projectcalico.org", "v1", "GlobalNetworkPolicy"),
		fixtures.kind("crd.projectcalico.org", "v1", "GlobalNetworkSet"),
		fixtures.kind("crd.projectcalico.org", "v1", "Tier"),
		fixtures.kind("projectcalico.org", "v3", "GlobalNetworkPolicy"),
		fixtures.kind("projectcalico.org", "v3", "GlobalNetworkSet"),
		fixtures.kind("projectcalico.org", "v3", "Tier"),
		fixtures.kind("portcullis.dev", "v1alpha1", "NetworkBaseline"),
	] {
		covers("cluster policies", kind)
		knows("cluster policies", kind)
		not covers("namespace policies", kind)
		kinds.defines_covered({"group": kind.group, "names": {"kind": kind.kind}})
	}
}

test_deny_another_version_is_covered_but_not_known if {
	kind := fixtures.kind("networking.k8s.io", "v2", "NetworkPolicy")
	covers("namespace policies", kind)
	not knows("namespace policies", kind)
}

test_allow_other_groups_and_kinds if {
	not covers("namespace policies", fixtures.kind("example.com", "v1", "NetworkPolicy"))
	not covers("namespace policies", fixtures.kind("networking.k8s.io", "v1", "Ingress"))
	not covers("namespaces", fixtures.kind("example.com", "v1", "Namespace"))
	not covers("definitions", fixtures.kind("example.com", "v1", "CustomResourceDefinition"))
	knows("namespaces", fixtures.namespace)
	knows("definitions", fixtures.definition)
}

test_deny_definition_of_our_group_whatever_its_kind if {
	kinds.defines_covered({"group": "portcullis.dev", "names": {"kind": "Anything"}})
}

test_allow_definition_of_a_kind_that_is_not_covered if {
	not kinds.defines_covered({"group": "cilium.io", "names": {"kind": "CiliumNode"}})
	not kinds.defines_covered({"group": "cilium.io", "names": {"kind": "CiliumNode", "shortNames": ["cn"]}})
	not kinds.defines_covered({"group": "example.com", "names": {"kind": "NetworkPolicy"}})
	not kinds.defines_covered({"group": "apiextensions.k8s.io", "names": {"kind": "CustomResourceDefinition"}})
}

test_allow_single_tables if {
	covers("network policies", fixtures.network_policy)
	knows("network policies", fixtures.network_policy)
	covers("baselines", fixtures.baseline)
	knows("baselines", fixtures.baseline)
	not covers("network policies", fixtures.calico_policy)
	not covers("baselines", fixtures.cluster_policy)
	covers("pods", fixtures.pod)
	knows("pods", fixtures.pod)
	not covers("pods", fixtures.namespace)
	not covers("pods", fixtures.kind("metrics.k8s.io", "v1", "Pod"))
	not kinds.defines_covered({"group": "metrics.k8s.io", "names": {"kind": "Pod"}})
}

# A table that there is not covers nothing: a rule's tests have to show that it speaks at all.
test_allow_no_such_table if not covers("no such table", fixtures.network_policy)

test_deny_definition_that_takes_a_covered_name if {
	every names in [
		{"kind": "Foo", "plural": "ciliumnetworkpolicies"},
		{"kind": "Foo", "singular": "ciliumnetworkpolicy"},
		{"kind": "Foo", "listKind": "CiliumNetworkPolicyList"},
		{"kind": "ciliumNETWORKpolicy"},
	] {
		kinds.defines_covered({"group": "cilium.io", "names": names})
	}
}

test_allow_tenants if {
	every name in ["Organization", "Project", "Workspace"] {
		covers("tenants", fixtures.kind("portcullis.dev", "v1alpha1", name))
		knows("tenants", fixtures.kind("portcullis.dev", "v1alpha1", name))
		not knows("tenants", fixtures.kind("portcullis.dev", "v1", name))
		not covers("tenants", fixtures.kind("example.com", "v1alpha1", name))
		not covers("cluster policies", fixtures.kind("portcullis.dev", "v1alpha1", name))
	}
	not covers("tenants", fixtures.baseline)
}

test_deny_definition_with_a_name_that_cannot_be_read if {
	every name in ["kind", "listKind", "plural", "singular"] {
		every value in [null, 1, ["x"]] {
			kinds.defines_covered({"group": "cilium.io", "names": object.union({"kind": "Foo"}, {name: value})})
		}
	}
}
