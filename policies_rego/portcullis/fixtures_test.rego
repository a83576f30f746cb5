# What the tests share: the tree acme > payments > checkout, refunds and acme > media > video, its people, and documents.
package portcullis.fixtures

tenants := {
	"Organization/acme": tenant("Organization", "acme", "", [
		grant("OrgAdmin", [group("acme-admins")]),
		grant("InfraAdmin", [user("ivan"), account("gitops", "argocd")]),
		grant("OrgReader", [group("acme-audit")]),
		grant("SystemWriter", [account("cni", "cilium")]),
	]),
	"Project/payments": tenant("Project", "payments", "", [
		grant("ProjectAdmin", [group("payments-admins")]),
		grant("ProjectReader", [user("rita")]),
	]),
	"Project/media": tenant("Project", "media", "", [grant("ProjectAdmin", [user("sam")])]),
	"Workspace/checkout": tenant("Workspace", "checkout", "payments", [grant("WorkspaceAdmin", [group("checkout-team")])]),
	"Workspace/refunds": tenant("Workspace", "refunds", "payments", [grant("WorkspaceAdmin", [group("refunds-team")])]),
	"Workspace/video": tenant("Workspace", "video", "media", [grant("WorkspaceAdmin", [user("vic")])]),
}

bundles := {"/srv/bundle.tar.gz": {"manifest": {"revision": "r1", "roots": ["portcullis"]}}}

tenant(kind, name, project, roles) := {
	"kind": kind,
	"name": name,
	"project": project,
	"roles": roles,
	"baselines": [],
	"guardrails": {},
	"enforcement": {},
}

grant(role, subjects) := {"role": role, "subjects": subjects}

user(name) := {"kind": "User", "name": name, "namespace": ""}

group(name) := {"kind": "Group", "name": name, "namespace": ""}

account(namespace, name) := {"kind": "ServiceAccount", "name": name, "namespace": namespace}

caller(name, groups) := {"name": name, "groups": groups}

ada := caller("ada", ["checkout-team"])

bo := caller("bo", ["refunds-team"])

two := caller("two", ["checkout-team", "refunds-team"])

vic := caller("vic", [])

pam := caller("pam", ["payments-admins"])

sam := caller("sam", [])

oz := caller("oz", ["acme-admins"])

ivan := caller("ivan", [])

rita := caller("rita", [])

zed := caller("zed", ["system:authenticated"])

nobody := caller("", ["acme-admins", "checkout-team", "system:masters"])

root := caller("root", ["system:masters"])

cilium := caller("system:serviceaccount:cni:cilium", [])

controller := caller("system:serviceaccount:portcullis-system:portcullis", [])

namespace_controller := caller("system:serviceaccount:kube-system:namespace-controller", [])

owned(namespace, workspace, project) := {
	"namespace": namespace,
	"standing": "owned",
	"workspace": workspace,
	"project": project,
	"organization": "acme",
	"path": [$"Workspace/{workspace}", $"Project/{project}", "Organization/acme"],
	"baselines": ["zero-trust"],
	"exempt": "",
}

outside(namespace, standing, workspace) := {
	"namespace": namespace,
	"standing": standing,
	"workspace": workspace,
	"project": "",
	"organization": "",
	"path": ["Organization/acme"],
	"baselines": [],
	"exempt": "",
}

checkout := owned("dev", "checkout", "payments")

refunds := owned("dev", "refunds", "payments")

video := owned("dev", "video", "media")

unowned := outside("dev", "unowned", "")

orphaned := outside("dev", "orphaned", "lost")

reserved := outside("kube-system", "reserved", "")

unknown := outside("dev", "unknown", "")

network_policy := kind("networking.k8s.io", "v1", "NetworkPolicy")

cilium_policy := kind("cilium.io", "v2", "CiliumNetworkPolicy")

calico_policy := kind("projectcalico.org", "v3", "NetworkPolicy")

calico_set := kind("projectcalico.org", "v3", "NetworkSet")

cluster_policy := kind("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy")

baseline := kind("portcullis.dev", "v1alpha1", "NetworkBaseline")

definition := kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")

namespace := kind("", "v1", "Namespace")

pod := kind("", "v1", "Pod")

kind(group, version, name) := {"group": group, "version": version, "kind": name}

object_of(space, name, spec) := {
	"metadata": {
		"name": name,
		"generateName": "",
		"namespace": space,
		"labels": {},
		"annotations": {},
		"finalizers": [],
		"ownerReferences": [],
		"deletionTimestamp": "",
	},
	"spec": spec,
}

policy := object_of("dev", "web", {"podSelector": {}})

labelled(side, labels) := json.patch(side, [{"op": "replace", "path": "/metadata/labels", "value": labels}])

annotated(side, notes) := json.patch(side, [{"op": "replace", "path": "/metadata/annotations", "value": notes}])

of_checkout := {
	"portcullis.dev/workspace": "checkout",
	"portcullis.dev/project": "payments",
	"portcullis.dev/organization": "acme",
	"portcullis.dev/gate": "enforced",
}

dev := object_of("", "dev", {})

dev_of_checkout := labelled(dev, of_checkout)

pending := `{"reason":"the namespace is new: its baseline policies are not applied yet","revision":"","state":"Pending"}`

base := {
	"break_glass_groups": ["system:masters"],
	"tree": true,
	"organization": "acme",
	"enforcement": {},
	"tenants": tenants,
	"service_accounts": [],
	"named_by": [],
	"unreadable": "",
	"reaches": [],
	"exemption_problem": "",
	"cover": null,
	"tenancy": null,
}

request(operation, asked, side) := {
	"operation": operation,
	"kind": asked,
	"subresource": "",
	"namespace": side.metadata.namespace,
	"name": side.metadata.name,
	"dry_run": false,
	"time": "2026-11-21T00:00:00Z",
}

created(who, asked, new, place) := object.union(base, {
	"request": request("CREATE", asked, new),
	"user": who,
	"object": new,
	"old_object": null,
	"places": {"new": place, "old": null, "kept": null, "administered": []},
})

updated(who, asked, old, new, places) := object.union(base, {
	"request": request("UPDATE", asked, new),
	"user": who,
	"object": new,
	"old_object": old,
	"places": {"new": places[1], "old": places[0], "kept": places[0], "administered": []},
})

deleted(who, asked, old, place) := object.union(base, {
	"request": request("DELETE", asked, old),
	"user": who,
	"object": null,
	"old_object": old,
	"places": {"new": null, "old": place, "kept": null, "administered": []},
})

# The document with one value put in or replaced.
put(document, path, value) := json.patch(document, [{"op": "add", "path": path, "value": value}])

without(document, path) := json.patch(document, [{"op": "remove", "path": path}])

subresource(document, name) := put(document, "/request/subresource", name)

narrow := opening(0.1, 0.1)

# An opening that by itself and together is these shares, and opens more than the old object.
opening(ipv4, ipv6) := {
	"ipv4": ipv4,
	"ipv6": ipv6,
	"joint_ipv4": ipv4,
	"joint_ipv6": ipv6,
	"joint_with": [],
	"unbounded": [],
	"open_namespaces": [],
	"crossing": [],
	"protected": {"169.254.169.254/32": "", "fd00:ec2::254/128": ""},
	"widens": true,
}

# What a policy opens in each direction, null for one without effect.
reach(ingress, egress) := {
	"policy": "",
	"unreadable": [],
	"unreadable_beside": [],
	"malformed": [],
	"malformed_before": true,
	"not_understood": [],
	"not_understood_before": true,
	"not_understood_beside": [],
	"ingress": ingress,
	"egress": egress,
}

# Ada creates or changes a policy of dev that opens this.
opened(facts) := put(created(ada, network_policy, policy, checkout), "/reaches", [facts])

reopened(facts) := put(updated(ada, network_policy, policy, policy, [checkout, checkout]), "/reaches", [facts])

# Oz takes the namespace dev into workspace checkout, where a policy stands that opens this.
adopted(facts) := put(
	updated(oz, namespace, dev, dev_of_checkout, [unowned, checkout]),
	"/reaches", [object.union(facts, {"policy": "NetworkPolicy old"})],
)

# Says that there is one violation of this shape whose message holds every part.
denied(found, shape, parts) if {
	[violation] = [each | some each in found]
	object.remove(violation, {"message"}) == shape
	not contains(violation.message, "<undefined>")
	every part in parts { contains(violation.message, part) }
}
