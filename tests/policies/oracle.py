"""
Who may do what: the table of the contract's section 2 once more, as code that owes nothing to the Rego.

It reads what people write and what the API server sends, and knows only `rbac/*`. Where the two differ one is wrong,
and the contract says which.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

OURS = "portcullis.dev"
WORKSPACE = f"{OURS}/workspace"
FINALIZER = f"{OURS}/baseline"
RESERVED = {"kube-system", "kube-public", "kube-node-lease", "portcullis-system"}
KUBERNETES_OWN = {"default", "kube-system", "kube-public", "kube-node-lease"}
STAMPED = {("labels", f"{OURS}/{name}") for name in ("project", "organization", "gate")} | {
    ("annotations", f"{OURS}/baseline")
}
EXEMPTION = {
    ("labels", f"{OURS}/exempt"),
    ("annotations", f"{OURS}/exempt-reason"),
    ("annotations", f"{OURS}/exempt-until"),
}

CONTROLLER = "system:serviceaccount:portcullis-system:portcullis"
SYSTEM = {
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
    "system:apiserver",
}
BREAK_GLASS = {"system:masters", "kubeadm:cluster-admins"}

ROLES = {
    "Organization": {"OrgAdmin", "InfraAdmin", "OrgReader", "SystemWriter"},
    "Project": {"ProjectAdmin", "ProjectReader"},
    "Workspace": {"WorkspaceAdmin", "WorkspaceReader"},
}
PLATFORM = {"InfraAdmin", "OrgAdmin"}
OWNERS = {
    "owned": {"WorkspaceAdmin", "ProjectAdmin", "OrgAdmin"},
    "unowned": PLATFORM,
    "reserved": PLATFORM,
    "orphaned": {"OrgAdmin"},
}
GUARDRAILS = {
    "fromAnywhere": "Deny",
    "toAnywhere": "Deny",
    "allNamespaces": "Deny",
    "crossProject": "Allow",
    "hostNetwork": "Deny",
    "notUnderstood": "Deny",
}

CRD = "CustomResourceDefinition"
TREE_KINDS = {("portcullis.dev", kind) for kind in ("Organization", "Project", "Workspace")}
NAMESPACE_POLICIES = {
    "networking.k8s.io": {"NetworkPolicy"},
    "cilium.io": {"CiliumNetworkPolicy", "CiliumLocalRedirectPolicy"},
    "crd.projectcalico.org": {"NetworkPolicy", "NetworkSet"},
    "projectcalico.org": {"NetworkPolicy", "NetworkSet"},
}
CLUSTER_POLICIES = {
    "policy.networking.k8s.io": {"ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"},
    "cilium.io": {"CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup"},
    "crd.projectcalico.org": {"GlobalNetworkPolicy", "GlobalNetworkSet", "Tier"},
    "projectcalico.org": {"GlobalNetworkPolicy", "GlobalNetworkSet", "Tier"},
    OURS: {"NetworkBaseline"},
}
VERSIONS = {
    "": {"v1"},
    "apiextensions.k8s.io": {"v1"},
    "networking.k8s.io": {"v1"},
    "policy.networking.k8s.io": {"v1alpha1", "v1alpha2"},
    "cilium.io": {"v2", "v2alpha1"},
    "crd.projectcalico.org": {"v1"},
    "projectcalico.org": {"v3"},
    OURS: {"v1alpha1"},
}


@dataclass(frozen=True)
class World:
    """
    What stands: the specs of the tree's tenants by key (`Workspace/shop`), the labels of the namespaces by name.

    The names in it are unique, and every spec can be read.
    """

    organization: str
    tenants: Mapping[str, Json]
    namespaces: Mapping[str, Mapping[str, str]]

    @property
    def top(self) -> str:
        return f"Organization/{self.organization}"

    def place(self, name: str, labels: Mapping[str, str]) -> tuple[str, list[str]]:
        """Return how a namespace stands, and the keys of the tenants from its own place upwards."""
        workspace = labels.get(WORKSPACE, "")
        project = self.tenants.get(f"Workspace/{workspace}", {}).get("project", "")
        if name in RESERVED:
            return "reserved", [self.top]
        if not workspace:
            return "unowned", [self.top]
        if f"Project/{project}" not in self.tenants:
            return "orphaned", [self.top]
        return "owned", [f"Workspace/{workspace}", f"Project/{project}", self.top]

    def owned(self, key: str) -> set[str]:
        """Return the names of what says that the tenant owns it."""
        kind, _, name = key.partition("/")
        if kind == "Project":
            return {each for each, spec in self.tenants.items() if spec.get("project") == name}
        carrying = {each for each, labels in self.namespaces.items() if labels.get(WORKSPACE) == name}
        return carrying - RESERVED if kind == "Workspace" else set()

    def is_below(self, namespace: str, key: str) -> bool:
        """Say whether a namespace that exists is owned below a tenant's own place; an orphan is below the top."""
        workspace = "" if namespace in RESERVED else self.namespaces.get(namespace, {}).get(WORKSPACE, "")
        project = self.tenants.get(f"Workspace/{workspace}", {}).get("project", "")
        return workspace != "" and key in {f"Project/{project}", self.top}

    def setting(self, path: Iterable[str], key: str) -> str:
        """Return a guardrail's value nearest to the place."""
        specs = [self.tenants.get(each, {}).get("guardrails", {}) for each in path]
        return next((spec[key] for spec in specs if key in spec), GUARDRAILS[key])


def grants(spec: Json) -> set[tuple[str, str, str, str]]:
    """Return the grants in a spec, each as role, kind, namespace and name."""
    return {
        (grant["role"], each["kind"], each.get("namespace", ""), each["name"])
        for grant in spec.get("roles", ())
        for each in grant["subjects"]
    }


def account_home(kind: str, namespace: str, name: str) -> str:
    """Return the namespace whose ServiceAccounts a subject is, one or all of them; empty where it is none."""
    if kind == "ServiceAccount":
        return namespace
    group = re.fullmatch(r"system:serviceaccounts:(.+)", name) if kind == "Group" else None
    return group[1] if group else ""


def is_everybody(kind: str, name: str) -> bool:
    """Say whether a subject is one that any ServiceAccount, or anybody, is."""
    everybody = {"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}
    return (kind == "Group" and name in everybody) or (kind, name) == ("User", "system:anonymous")


class Ask:
    """One request: who, what, and the object before and after."""

    def __init__(self, world: World, request: Json) -> None:
        self.world = world
        self.request = request
        self.operation = request["operation"]
        self.group, self.version, self.kind = (request["kind"][key] for key in ("group", "version", "kind"))
        self.subresource = request.get("subResource", "")
        self.user = request["userInfo"]["username"]
        self.groups = request["userInfo"]["groups"]
        self.new = request["object"] if self.operation in {"CREATE", "UPDATE"} else None
        self.old = request["oldObject"] if self.operation in {"UPDATE", "DELETE"} else None
        self.name = noted(self.old if self.operation == "DELETE" else self.new, "name") or ""
        self.system = self.user in SYSTEM
        self.ends = self.operation == "DELETE"

    @property
    def decidable(self) -> bool:
        """Say whether request and objects speak of one thing, in a version that is known."""
        sides = {"CREATE": [self.new], "UPDATE": [self.new, self.old], "DELETE": [self.old]}.get(self.operation, [])
        called = {(noted(side, "namespace") or "", noted(side, "name") or "") for side in sides}
        if not sides or None in sides or len(called) != 1 or self.version not in VERSIONS[self.group]:
            return False
        namespace, name = called.pop()
        asked = (self.request.get("namespace") or "", self.request.get("name") or "")
        # The API server says of a Namespace that it is in itself.
        return asked[0] in {"", name if self.kind == "Namespace" else namespace} and asked[1] in {"", name}

    @property
    def only_lets_go(self) -> bool:
        """Say whether finalizers and owner references go, and nothing else changes."""
        held = ("finalizers", "ownerReferences")
        return (
            self.operation == "UPDATE"
            and self.new is not None
            and self.old is not None
            and without(self.new, *held) == without(self.old, *held)
            and all(each in (noted(self.old, key) or []) for key in held for each in noted(self.new, key) or [])
        )

    @property
    def only_our_finalizer(self) -> bool:
        """Say whether nothing changes but for our finalizer."""
        if self.operation != "UPDATE" or self.new is None or self.old is None:
            return False
        others = [
            [each for each in noted(side, "finalizers") or [] if each != FINALIZER] for side in (self.new, self.old)
        ]
        return without(self.new, "finalizers") == without(self.old, "finalizers") and others[0] == others[1]

    @property
    def gains_an_owner(self) -> bool:
        """Say whether the garbage collector, which may delete anything, is given a reason to."""
        before = noted(self.old, "ownerReferences") or []
        return any(each not in before for each in noted(self.new, "ownerReferences") or [])

    @property
    def same_spec(self) -> bool:
        return bool(self.new and self.old and self.new.get("spec") == self.old.get("spec"))

    def holds(self, path: Iterable[str], roles: set[str]) -> bool:
        """Say whether the caller has one of the roles at one of these places, by exact identity."""
        return any(self._is(kind, namespace, name) for key in path for kind, namespace, name in self._in(key, roles))

    def _in(self, key: str, roles: set[str]) -> list[tuple[str, str, str]]:
        return [subject for role, *subject in grants(self.world.tenants.get(key, {})) if role in roles]  # type: ignore[misc]  # three of four

    def _is(self, kind: str, namespace: str, name: str) -> bool:
        if not self.user:
            return False
        match kind:
            case "User":
                return bool(self.user == name)
            case "Group":
                return name in self.groups
            case _:
                return bool(self.user == f"system:serviceaccount:{namespace}:{name}")

    @property
    def org_admin(self) -> bool:
        return self.holds([self.world.top], {"OrgAdmin"})

    @property
    def system_writer(self) -> bool:
        return self.holds([self.world.top], {"SystemWriter"})

    def may_grant(self, key: str) -> bool:
        """Say whether the caller may give away roles at a tenant: who stands above it may."""
        kind, _, _ = key.partition("/")
        project = f"Project/{self.world.tenants[key].get('project')}"
        return self.org_admin or (kind == "Workspace" and self.holds([project], {"ProjectAdmin"}))


def noted(side: Json | None, key: str) -> Any:
    """Return a field of the metadata of a side, None where there is none."""
    return (side or {}).get("metadata", {}).get(key)


def without(side: Json, *keys: str) -> Json:
    """Return an object without some of its metadata."""
    return {**side, "metadata": {key: value for key, value in side["metadata"].items() if key not in keys}}


def claims(side: Json | None) -> dict[tuple[str, str], str]:
    """Return the labels and annotations of ours that the mutation does not stamp."""
    return {
        (kind, key): value
        for kind in ("labels", "annotations")
        for key, value in (noted(side, kind) or {}).items()
        if key.startswith(f"{OURS}/") and (kind, key) not in STAMPED
    }


def readable(kind: str, side: Json | None) -> bool:
    """Say whether a tenant or a NetworkBaseline can be read; None is no object."""
    spec = (side or {}).get("spec", {})
    fields = {"roles", "baselines", "guardrails"}
    more = {"Workspace": {"project"}, "Organization": {"enforcement"}}.get(kind, set())
    if kind == "NetworkBaseline":
        return set(spec) == {"policies"} and all(set(each) == {"name", "spec"} for each in spec["policies"])
    return (
        set(spec) <= fields | more
        and (kind != "Workspace" or is_name(spec.get("project", "")))
        and {grant["role"] for grant in spec.get("roles", ())} <= ROLES[kind]
        and is_name(noted(side, "name") or "")
    )


def is_name(text: str) -> bool:
    """Say whether a text can be a label's value and a tenant's name."""
    return re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text) is not None


def namespace_policy(ask: Ask) -> bool:
    """`rbac/namespace-policy`: who owns the namespace."""
    where = noted(ask.old if ask.ends else ask.new, "namespace")
    if ask.system and (ask.ends or ask.only_lets_go):
        return True
    if not ask.decidable or where not in ask.world.namespaces:
        return False
    standing, path = ask.world.place(where, ask.world.namespaces[where])
    injects = ask.user == CONTROLLER and "." in ask.name
    return ask.holds(path, OWNERS[standing]) or ask.system_writer or injects


def cluster_policy(ask: Ask) -> bool:
    """`rbac/cluster-policy`: InfraAdmin and OrgAdmin; no definition is deleted, and no baseline that is named."""
    baseline, definition = ask.kind == "NetworkBaseline", ask.kind == CRD
    if definition and ask.ends:
        return False
    named = any(ask.name in spec.get("baselines", ()) for spec in ask.world.tenants.values())
    keeps = baseline and ask.user == CONTROLLER and ask.decidable and ask.only_our_finalizer
    goes = not (ask.new or {}).get("spec", {}).get("policies") or (
        noted(ask.new, "deletionTimestamp") and not noted(ask.new, "finalizers")
    )
    held = [FINALIZER in (noted(side, "finalizers") or []) for side in (ask.old, ask.new)]
    let_go = ask.new and noted(ask.old, "deletionTimestamp") and held == [True, False] and not ask.system
    if baseline and not keeps and ((named and goes) or let_go):
        return False
    if (baseline or definition) and ask.gains_an_owner:
        return False
    if baseline and not (ask.ends or readable(ask.kind, ask.new) or ask.same_spec):
        return False
    if ask.system and (ask.ends or ask.only_lets_go or (definition and ask.subresource == "status" and ask.same_spec)):
        return True
    ours = baseline or any(group == OURS for group, _ in definitions(ask))
    # What the tree's own kinds mean says who holds which role: above an InfraAdmin.
    meaning = ask.operation == "UPDATE" and not ask.same_spec and TREE_KINDS & set(definitions(ask))
    return ask.decidable and (
        ask.holds([ask.world.top], {"OrgAdmin"} if meaning else PLATFORM) or (ask.system_writer and not ours) or keeps
    )


def definitions(ask: Ask) -> list[tuple[Any, Any]]:
    """Return group and kind of what a CustomResourceDefinition defines, on either side."""
    sides = [ask.request[side] for side in ("object", "oldObject")] if ask.kind == CRD else []
    specs = [side.get("spec", {}) for side in sides if side]
    return [(spec.get("group"), spec.get("names", {}).get("kind")) for spec in specs]


def namespace(ask: Ask) -> bool:
    """`rbac/namespace`: its owners; a move both ends, adopting and releasing an OrgAdmin."""
    if ask.system and _kubernetes_own_work(ask):
        return True
    if not (ask.decidable and ask.name and ask.subresource in {"", "status"}):
        return False
    before, after = ((noted(side, "labels") or {}) for side in (ask.old, ask.new))
    moved = ask.operation == "UPDATE" and before.get(WORKSPACE, "") != after.get(WORKSPACE, "")
    standing, path = ask.world.place(ask.name, before if ask.ends else after)
    arrives = ask.operation == "CREATE" or (moved and standing == "owned")
    homes = [
        key
        for key, spec in ask.world.tenants.items()
        if ask.name in {account_home(*subject) for _, *subject in grants(spec)}
    ]
    if arrives and not all(ask.may_grant(key) for key in homes):
        return False
    if ask.system_writer and (ask.ends or claims(ask.new) == claims(ask.old)):
        return True
    # Nobody makes one in a workspace that does not exist, or gives one to a tenant that is nobody's.
    amiss = standing == "orphaned" or (standing == "reserved" and after.get(WORKSPACE))
    if moved or (ask.operation == "CREATE" and amiss):
        return moved and _moves(ask, before, after)
    return ask.holds(path, OWNERS[standing]) or (ask.operation == "UPDATE" and _labels(ask, standing))


def _kubernetes_own_work(ask: Ask) -> bool:
    """Say whether a system actor does what it has to, whatever state the namespace is in."""
    creates = ask.operation == "CREATE" and ask.name in KUBERNETES_OWN and not noted(ask.new, "labels").get(WORKSPACE)
    said = [(noted(side, "labels"), noted(side, "annotations")) for side in (ask.new, ask.old) if side]
    writes = ask.operation == "UPDATE" and ask.subresource in {"status", "finalize"} and len(said) == 2
    return ask.ends or ask.only_lets_go or creates or (writes and said[0] == said[1])


def _moves(ask: Ask, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Say whether the caller may give the namespace another workspace, or none."""
    (old, old_path), (new, new_path) = (ask.world.place(ask.name, labels) for labels in (before, after))
    if new == "reserved":
        # It belongs to nobody: a label may go, and none may come.
        return not after.get(WORKSPACE) and ask.holds(new_path, PLATFORM)
    if new == "orphaned":
        return False
    both = old == new == "owned" and all(ask.holds(path, OWNERS["owned"]) for path in (old_path, new_path))
    return both or ask.org_admin


def _labels(ask: Ask, standing: str) -> bool:
    """Say whether an InfraAdmin, or our controller, changes the labels and annotations that are theirs to change."""
    notes = ("labels", "annotations")
    if not (ask.new and ask.old) or without(ask.new, *notes) != without(ask.old, *notes):
        return False
    ours = [{key: value for key, value in claims(side).items() if key not in EXEMPTION} for side in (ask.new, ask.old)]
    others = [
        {(kind, key): value for kind in notes for key, value in (noted(side, kind) or {}).items()}
        for side in (ask.new, ask.old)
    ]
    derived = {key: value for key, value in others[0].items() if key not in STAMPED} == {
        key: value for key, value in others[1].items() if key not in STAMPED
    }
    infra_admin = standing == "owned" and ask.holds([ask.world.top], {"InfraAdmin"})
    return (infra_admin and ours[0] == ours[1]) or (ask.user == CONTROLLER and derived)


def tenancy(ask: Ask) -> bool:
    """`rbac/tenancy`: who stands above; and nobody may leave the tree open to somebody below, or without an owner."""
    if ask.system and (ask.ends or ask.only_lets_go):
        return True
    kept = ask.operation == "UPDATE" and ask.same_spec
    if not (ask.decidable and ask.name and ask.subresource == ""):
        return False
    if not (ask.ends or kept or readable(ask.kind, ask.new)):
        return False
    if ask.kind == "Organization" and (ask.operation != "UPDATE" or ask.name != ask.world.organization):
        return False
    sides = [side for side in (ask.new, ask.old) if side]
    if not all(_stands_above(ask, side) for side in sides):
        return False
    return not (_lets_fall(ask) or _gives_away(ask) or _takes_along(ask) or _widens(ask) or ask.gains_an_owner) and (
        ask.kind != "Organization" or kept or _administered(ask)
    )


def _read(ask: Ask, side: Json | None) -> Json:
    """Return the spec of a side, empty where it cannot be read."""
    return (side or {}).get("spec", {}) if side and readable(ask.kind, side) else {}


def _stands_above(ask: Ask, side: Json) -> bool:
    project = _read(ask, side).get("project", "") if ask.kind == "Workspace" else ""
    return ask.org_admin or (project != "" and ask.holds([f"Project/{project}"], {"ProjectAdmin"}))


def _lets_fall(ask: Ask) -> bool:
    """Say whether something loses its owner, or orphans get one whom no OrgAdmin gave them."""
    owned = ask.world.owned(f"{ask.kind}/{ask.name}")
    held = noted(ask.new, "finalizers")
    last = ask.operation == "UPDATE" and noted(ask.new, "deletionTimestamp") and not held
    squats = ask.operation == "CREATE" and ask.kind == "Workspace" and not ask.org_admin
    return bool(owned and (ask.ends or last or squats))


def _gives_away(ask: Ask) -> bool:
    """Say whether a role is granted to a ServiceAccount of somebody below, or to everybody."""
    granted = grants(_read(ask, ask.new)) - grants(_read(ask, ask.old))
    return any(
        ask.world.is_below(account_home(kind, home, name), f"{ask.kind}/{ask.name}")
        or (is_everybody(kind, name) and not role.endswith("Reader"))
        for role, kind, home, name in granted
    )


def _takes_along(ask: Ask) -> bool:
    """Say whether a workspace moves with a namespace in which an account lives whose role the caller may not grant."""
    if not (ask.old and _read(ask, ask.new).get("project") != _read(ask, ask.old).get("project")):
        return False
    return any(
        not ask.may_grant(key)
        for key, spec in ask.world.tenants.items()
        for _, *subject in grants(spec)
        if account_home(*subject) in ask.world.owned(f"Workspace/{ask.name}")
    )


def _widens(ask: Ask) -> bool:
    """Say whether somebody but an OrgAdmin sets a guardrail wider than what stands above; what is so may stay."""
    new, old = (_read(ask, side) for side in (ask.new, ask.old))
    above = [f"Project/{new.get('project', '')}", ask.world.top]
    stays = old.get("guardrails", {}) if ask.operation == "UPDATE" and new.get("project") == old.get("project") else {}
    wider = [
        key
        for key, value in new.get("guardrails", {}).items()
        if (value, ask.world.setting(above, key)) == ("Allow", "Deny") and stays.get(key) != "Allow"
    ]
    return bool(wider) and not ask.org_admin


def _administered(ask: Ask) -> bool:
    """Say whether there is an OrgAdmin left; an account of a namespace that there is not is nobody."""
    homes = [account_home(*subject) for role, *subject in grants(_read(ask, ask.new)) if role == "OrgAdmin"]
    return any(not home or home in ask.world.namespaces for home in homes)


def covered(ask: Ask) -> tuple[str, Callable[[Ask], bool]] | None:
    """Return the id of the rule that guards the object, and the rule; None where none does."""
    custom = ask.group not in {"", "apiextensions.k8s.io"}
    if custom and ask.subresource == "status":
        return None
    if ask.kind in NAMESPACE_POLICIES.get(ask.group, ()):
        return "rbac/namespace-policy", namespace_policy
    if ask.kind in CLUSTER_POLICIES.get(ask.group, ()) or _defines_covered(ask):
        return "rbac/cluster-policy", cluster_policy
    if (ask.group, ask.kind) == ("", "Namespace"):
        return "rbac/namespace", namespace
    return ("rbac/tenancy", tenancy) if ask.group == OURS and ask.kind in ROLES else None


def _defines_covered(ask: Ask) -> bool:
    """Say whether a definition is ours, a covered kind's, or cannot be told from one."""
    if (ask.group, ask.kind) != ("apiextensions.k8s.io", CRD):
        return False
    found = definitions(ask)
    return not found or any(
        not isinstance(group, str)
        or not isinstance(kind, str)
        or group == OURS
        or kind in NAMESPACE_POLICIES.get(group, set()) | CLUSTER_POLICIES.get(group, set())
        for group, kind in found
    )


def breaks_glass(request: Json) -> bool:
    """Say whether the caller passes everywhere."""
    user = request["userInfo"]
    return bool(user["username"] and BREAK_GLASS & set(user["groups"]))


def denied_by(world: World, request: Json) -> set[str]:
    """Return the id of the rule of category rbac that has to deny the request, whoever passes by break-glass."""
    ask = Ask(world, request)
    guarded = covered(ask)
    if guarded is None:
        return set()
    rule, allowed = guarded
    return set() if allowed(ask) else {rule}
