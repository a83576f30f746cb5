"""
Small random trees, and random requests of people who are in them, nearly in them, or not at all.

Names are few, so that requests meet what stands, and each has look-alikes: another letter case, a longer one, the same
in another namespace or of another kind of subject.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.cases.reviews import BASELINE, CRD, NAMESPACE, NETPOL, TENANTS, Asked, Caller, Json
from tests.policies.oracle import GUARDRAILS, ROLES, World, grants
from webhook.model import Baseline, Namespace
from webhook.tenancy.specs import read_tenant
from webhook.tenancy.tree import Holdings, Tree, grow

Kind = tuple[str, str, str, str]

ORGANIZATION = "acme"
PROJECTS = ("pay", "web")
WORKSPACES = {"shop": "pay", "till": "pay", "blog": "web", "stray": "gone"}
"""By name with their project, of which one never stands."""
LABELS = ("", *WORKSPACES, "ghost", "Shop")
HOMES = ("a", "b", "ci", "cni")
LABEL = "portcullis.dev/workspace"
OWN = ("kube-system", "portcullis-system", "default")
SUBJECTS: tuple[Json, ...] = (
    {"kind": "User", "name": "ann"},
    {"kind": "User", "name": "bob"},
    {"kind": "User", "name": "team"},
    {"kind": "Group", "name": "team"},
    {"kind": "Group", "name": "crew"},
    {"kind": "Group", "name": "Team"},
    {"kind": "ServiceAccount", "name": "bot", "namespace": "ci"},
    {"kind": "ServiceAccount", "name": "bot", "namespace": "a"},
    {"kind": "ServiceAccount", "name": "agent", "namespace": "kube-system"},
    {"kind": "Group", "name": "system:serviceaccounts:b"},
)
EVERYBODY: tuple[Json, ...] = tuple(
    {"kind": kind, "name": name}
    for kind, name in (
        ("Group", "system:authenticated"),
        ("Group", "system:serviceaccounts"),
        ("User", "system:anonymous"),
    )
)
SYSTEM = (
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:generic-garbage-collector",
    "system:kube-controller-manager",
    "system:apiserver",
)
CONTROLLER = "system:serviceaccount:portcullis-system:portcullis"
FINALIZER = "portcullis.dev/baseline"
LOOK_ALIKES = (
    "system:serviceaccount:kube-system:namespace-controller2",
    "system:serviceaccount:default:namespace-controller",
    "system:kube-controller-Manager",
    "system:apiserver:x",
    "system:serviceaccount:portcullis-system:portcullis2",
    "system:serviceaccount:portcullis:portcullis",
    "system:serviceaccount:CI:bot",
    "system:serviceaccount:ci:bot:x",
    "system:serviceaccount:ci",
    "system:serviceaccounts:b",
    "serviceaccount:ci:bot",
    "Ann",
    "ann2",
    "an",
    "",
)
GROUPS = (
    "team",
    "crew",
    "TEAM",
    "team-2",
    "tea",
    "ann",
    "system:serviceaccounts",
    "system:serviceaccounts:b2",
    "system:serviceaccounts:ci",
    "system:Masters",
    "system:masters2",
)

CILIUM = ("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
INSIDE = (
    NETPOL,
    NETPOL,
    CILIUM,
    ("cilium.io", "v2", "CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies"),
    ("crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies"),
    ("projectcalico.org", "v3", "NetworkSet", "networksets"),
)
ACROSS = (
    BASELINE,
    BASELINE,
    ("policy.networking.k8s.io", "v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies"),
    ("policy.networking.k8s.io", "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies"),
    ("cilium.io", "v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"),
    ("crd.projectcalico.org", "v1", "Tier", "tiers"),
    ("projectcalico.org", "v3", "GlobalNetworkSet", "globalnetworksets"),
)
DEFINED = (
    ("portcullis.dev", "Workspace"),
    ("portcullis.dev", "Other"),
    ("cilium.io", "CiliumNetworkPolicy"),
    ("projectcalico.org", "Tier"),
    ("example.com", "NetworkPolicy"),
    ("cilium.io", "CiliumNode"),
    ("example.com", 7),
    (None, "Workspace"),
)

OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}
POLICIES = [{"name": "deny", "spec": {"podSelector": {}}}]


def often(value: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Draw a value two times in three, and otherwise one of others."""
    return st.sampled_from([*[value] * 2 * len(others), *others])


@st.composite
def roles(draw: st.DrawFn, kind: str, most: int = 2) -> list[Json]:
    """Draw grants of the roles of a kind of tenant."""
    pairs = draw(st.lists(st.tuples(st.sampled_from(sorted(ROLES[kind])), st.sampled_from(SUBJECTS)), max_size=most))
    return [{"role": role, "subjects": [subject]} for role, subject in pairs]


@st.composite
def guardrails(draw: st.DrawFn) -> Json:
    keys = draw(st.lists(st.sampled_from(sorted(GUARDRAILS)), max_size=2, unique=True))
    return {key: draw(st.sampled_from(("Allow", "Deny"))) for key in keys}


@st.composite
def tenants(draw: st.DrawFn) -> dict[str, Json]:
    """Draw the specs of a tree's tenants by key; the Organization comes first and always has its admins."""
    admins = [{"role": role, "subjects": [draw(st.sampled_from(SUBJECTS))]} for role in ("OrgAdmin", "InfraAdmin")]
    top = {
        "roles": [*admins, *draw(roles("Organization"))],
        "guardrails": draw(guardrails()),
        "baselines": draw(st.sampled_from(([], ["base"]))),
    }
    found = {f"Organization/{ORGANIZATION}": top}
    for name in PROJECTS:
        if draw(st.integers(0, 4)):
            found[f"Project/{name}"] = {"roles": draw(roles("Project")), "guardrails": draw(guardrails())}
    for name, project in WORKSPACES.items():
        if draw(st.integers(0, 4)):
            spec = {"project": project, "roles": draw(roles("Workspace")), "guardrails": draw(guardrails())}
            found[f"Workspace/{name}"] = spec
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw what stands: a tree, and namespaces of anybody or nobody."""
    names = [*HOMES, *OWN]
    labels = draw(st.lists(st.sampled_from((None, *LABELS)), min_size=len(names), max_size=len(names)))
    standing = {
        name: {LABEL: label} if label else {} for name, label in zip(names, labels, strict=True) if label is not None
    }
    return World(ORGANIZATION, draw(tenants()), standing)


def planted(world: World) -> Tree:
    """Return the tree of a world as the webhook knows it."""
    specs = [(*key.split("/"), spec) for key, spec in world.tenants.items()]
    organization, *others = (read_tenant(kind, name, spec) for kind, name, spec in specs)  # type: ignore[arg-type]  # a kind
    namespaces = tuple(Namespace(name, labels) for name, labels in world.namespaces.items())
    return grow(Holdings(organization, tuple(others), (Baseline("base", ()), Baseline("other", ())), namespaces))


def called(subject: Json) -> Caller:
    """Return a caller that is the subject."""
    match subject["kind"]:
        case "User":
            return Caller(subject["name"], ("system:authenticated",))
        case "Group":
            return Caller("zed", ("system:authenticated", subject["name"]))
        case _:
            home = subject["namespace"]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{home}")
            return Caller(f"system:serviceaccount:{home}:{subject['name']}", groups)


@st.composite
def callers(draw: st.DrawFn, world: World) -> Caller:
    """Draw who asks: mostly somebody who holds a role, and a high one more often than there are such."""
    held = sorted(each for spec in world.tenants.values() for each in grants(spec))
    wanted = draw(st.sampled_from([*sorted({role for role, *_ in held}), "OrgAdmin", "InfraAdmin"]))
    sort = draw(st.sampled_from((*["holder"] * 7, "two", "system", "controller", "alike", "anybody", "root")))
    if sort in {"holder", "two", "root"}:
        _, kind, home, name = draw(st.sampled_from([each for each in held if each[0] == wanted]))
        caller = called({"kind": kind, "namespace": home, "name": name})
        more = {"holder": (), "root": ("system:masters",)}.get(sort) or (draw(st.sampled_from(GROUPS)),)
        name = draw(often(caller.name, "")) if sort == "root" else caller.name
        return Caller(name, caller.groups if sort == "holder" else (*caller.groups, *more))
    names = {"system": SYSTEM, "controller": (CONTROLLER,), "alike": LOOK_ALIKES, "anybody": ("ann", "bob", "zed")}
    groups = () if sort in {"system", "controller"} else tuple(draw(st.lists(st.sampled_from(GROUPS), max_size=2)))
    return Caller(draw(st.sampled_from(names[sort])), groups)


@st.composite
def metadata(draw: st.DrawFn, names: tuple[str, ...]) -> Json:
    """Draw a name, or what one is made from, and now and then what holds an object."""
    name = draw(st.sampled_from((*names, *names, "")))
    found: Json = {"name": name} if name else {"generateName": "made-"}
    if held := draw(often([], ["x"], ["x", "y"], [FINALIZER], ["x", FINALIZER])):
        found["finalizers"] = held
    if draw(often(False, True)):  # noqa: FBT003
        found |= draw(st.sampled_from(({"ownerReferences": [OWNER]}, {"deletionTimestamp": "2026-11-01T00:00:00Z"})))
    return found


CHANGES = ("same", "same", "let go", "ours", "other spec", "other metadata", "renamed")


@st.composite
def changed(draw: st.DrawFn, new: Json, kind: st.SearchStrategy[Json]) -> Json:
    """Draw an old object for a new one: mostly the same but for one thing, or one that was drawn like it."""
    change = draw(st.sampled_from((*CHANGES, "another")))
    if change == "let go":
        held = {"finalizers": [*new["metadata"].get("finalizers", []), "z"], "ownerReferences": [OWNER]}
        return {**new, "metadata": {**new["metadata"], **held}}
    if change == "ours":
        before = new["metadata"].get("finalizers", [])
        others = [each for each in before if each != FINALIZER]
        turned = others if FINALIZER in before else [*others, FINALIZER]
        return {**new, "metadata": {**new["metadata"], "finalizers": turned}}
    if change == "other metadata":
        return {
            **new,
            "metadata": {**new["metadata"], **draw(st.sampled_from(({"labels": {"a": "b"}}, {"finalizers": ["w"]})))},
        }
    if change == "renamed":
        return {**new, "metadata": {**new["metadata"], "name": "former"}}
    other = draw(kind) if change in {"another", "other spec"} else new
    name = {key: value for key, value in new["metadata"].items() if key in {"name", "generateName", "namespace"}}
    return {**other, "metadata": new["metadata"] if change == "other spec" else {**other["metadata"], **name}}


@st.composite
def policies(draw: st.DrawFn) -> Json:
    """Draw a policy of a namespace."""
    about = {**draw(metadata(("web", "base.deny"))), "namespace": draw(st.sampled_from((*HOMES, *OWN, "nowhere", "")))}
    spec = draw(st.sampled_from(({"podSelector": {}}, {"podSelector": {"matchLabels": {"a": "b"}}})))
    return {"metadata": about, "spec": spec}


@st.composite
def cluster_objects(draw: st.DrawFn, kind: Kind) -> Json:
    """Draw a cluster-wide policy, a baseline, or the definition of a kind."""
    if kind == CRD:
        group, defined = draw(st.sampled_from(DEFINED))
        return {"metadata": {"name": "x"}, "spec": {"group": group, "names": {"kind": defined}}}
    spec = draw(often({"policies": POLICIES}, {"policies": []}, {}, {"policies": POLICIES, "polices": []}))
    return {"metadata": draw(metadata(("base", "other"))), "spec": spec}


NOTES = (
    ("labels", "team", "a"),
    ("labels", "Portcullis.dev/workspace", "shop"),
    ("labels", "portcullis.dev/any", "x"),
    ("labels", "portcullis.dev/exempt", "true"),
    ("annotations", "portcullis.dev/exempt-reason", "because"),
    ("annotations", "portcullis.dev/any", "x"),
    ("annotations", "note", "x"),
)
DERIVED = (
    ("labels", "portcullis.dev/gate", "enforced"),
    ("labels", "portcullis.dev/project", "pay"),
    ("annotations", "portcullis.dev/baseline", "{}"),
)


@st.composite
def namespaces(draw: st.DrawFn, world: World) -> Json:
    """Draw a Namespace as it reaches validation, though its derived labels may be anything."""
    names = (*HOMES, *OWN, "fresh")
    about = draw(metadata(names)) if draw(often(False, True)) else {"name": draw(st.sampled_from(names))}  # noqa: FBT003
    standing = world.namespaces.get(about.get("name", ""), {}).get(LABEL, "")
    workspace = draw(st.sampled_from((standing, standing, *LABELS, *WORKSPACES)))
    noted = {"labels": {LABEL: workspace} if workspace else {}, "annotations": {}}
    for on, key, value in draw(st.lists(st.sampled_from((*NOTES, *DERIVED)), max_size=1)):
        noted[on][key] = value
    return {"metadata": {**about, **noted}, "spec": {}}


@st.composite
def relabelled(draw: st.DrawFn, new: Json) -> Json:
    """Draw how a Namespace was before an update: mostly only its labels or annotations were others."""
    about = {**new["metadata"], **{on: {**new["metadata"][on]} for on in ("labels", "annotations")}}
    if draw(st.booleans()):
        about["labels"][LABEL] = draw(st.sampled_from((*LABELS, *WORKSPACES, *WORKSPACES)))
    for on, key, value in draw(st.lists(st.sampled_from((*NOTES, *DERIVED)), max_size=2)):
        about[on][key] = value
    change = draw(st.sampled_from((*[""] * 9, "spec", "status", "finalizers", "lets go", "name")))
    match change:
        case "lets go":
            held = {"finalizers": [*about.get("finalizers", []), "z"], "ownerReferences": [OWNER]}
            return {**new, "metadata": {**new["metadata"], **held}}
        case "finalizers":
            about["finalizers"] = ["z"]
        case "name":
            about["name"] = "former"
        case _:
            pass
    return {**new, "metadata": about, **({change: {"x": "y"}} if change in {"spec", "status"} else {})}


@st.composite
def written(draw: st.DrawFn, world: World, kind: str) -> Json:
    """Draw an Organization, Project or Workspace: mostly one that stands, or stands nearly so."""
    names = {"Organization": (ORGANIZATION, "other"), "Project": (*PROJECTS, "fresh")}.get(kind, (*WORKSPACES, "ghost"))
    about = draw(metadata(names))
    about["name"] = about.get("name", draw(st.sampled_from((*names, "Fresh", ""))))
    spec: Json = {**world.tenants.get(f"{kind}/{about['name']}", {"roles": []})}
    change = draw(st.sampled_from(("", "", "", "roles", "roles", "guardrails", "project", "everybody", "unreadable")))
    match change:
        case "roles":
            spec["roles"] = [*draw(st.sampled_from(([], spec["roles"]))), *draw(roles(kind))]
        case "guardrails":
            spec["guardrails"] = draw(guardrails())
        case "everybody":
            role, subject = draw(st.sampled_from(sorted(ROLES[kind]))), draw(st.sampled_from(EVERYBODY))
            spec["roles"] = [*spec["roles"], {"role": role, "subjects": [subject]}]
        case "unreadable":
            wrong = {"roles": [{"role": "Admin", "subjects": [SUBJECTS[0]]}]}
            spec |= draw(st.sampled_from((wrong, {"role": []})))
        case _:
            pass
    if kind == "Workspace" and (change == "project" or "project" not in spec):
        spec["project"] = draw(st.sampled_from((*PROJECTS, "gone", "Pay")))
    return {"metadata": about, "spec": spec}


OPERATIONS = ("CREATE", "UPDATE", "UPDATE", "DELETE")


@st.composite
def requests(draw: st.DrawFn, world: World, kinds: Sequence[Kind]) -> Asked:
    """Draw what is asked; now and then what no API server would, which nobody may."""
    kind = draw(st.sampled_from(kinds))
    caller, operation = draw(callers(world)), draw(st.sampled_from(OPERATIONS))
    objects = (
        namespaces(world)
        if kind == NAMESPACE
        else written(world, kind[2])
        if kind in TENANTS.values()
        else policies()
        if kind in INSIDE
        else cluster_objects(kind)
    )
    new = draw(objects)
    old = draw(relabelled(new) if kind == NAMESPACE else changed(new, objects)) if operation == "UPDATE" else new
    subresource = draw(often("", "", "status", "finalize", "scale")) if _has_parts(kind, operation) else ""
    sides: Json = {"new": new if operation != "DELETE" else None, "old": old if operation != "CREATE" else None}
    over: Json = {}
    match draw(st.sampled_from((*[""] * 50, "no new", "no old", "unnamed", "other", "inside", "version", "CONNECT"))):
        case "no new":
            sides["new"], over = None, {"name": new["metadata"].get("name", "")}
        case "no old":
            sides["old"], over = None, {"name": new["metadata"].get("name", "")}
        case "unnamed":
            over = {"name": ""}
        case "other":
            over = {"name": "b"}
        case "inside":
            over = {"namespace": "b"}
        case "version":
            kind = (kind[0], "v9", *kind[2:])
        case "CONNECT":
            operation = "CONNECT"
        case _:
            pass
    return Asked(caller, operation, kind, **sides, subresource=subresource, over=over)


@st.composite
def touches(draw: st.DrawFn, world: World) -> Asked:
    """Draw a small update of a Namespace, by those who may little more: nobody gets it, or loses it."""
    holders = [each for each in grants(world.tenants[world.top]) if each[0] in {"InfraAdmin", "SystemWriter"}]
    _, kind, home, name = draw(st.sampled_from(sorted(holders)))
    holder = called({"kind": kind, "namespace": home, "name": name})
    caller = draw(st.sampled_from((holder, holder, Caller(CONTROLLER), *map(Caller, SYSTEM))))
    new = draw(namespaces(world))
    about = {**new["metadata"], **{on: {**new["metadata"][on]} for on in ("labels", "annotations")}}
    notes = DERIVED if caller.name == CONTROLLER and draw(st.booleans()) else (*NOTES, *DERIVED)
    for on, key, value in draw(st.lists(st.sampled_from(notes), min_size=1, max_size=2)):
        about[on][key] = value
    more = draw(
        st.sampled_from((*[{}] * 5, {"spec": {"x": "y"}}, {"status": {"x": "y"}}, {"metadata": new["metadata"]}))
    )
    if draw(st.integers(0, 5)) == 0:
        about["finalizers"] = [*about.get("finalizers", []), "z"]
    old = {**new, "metadata": about, **more}
    subresource = draw(st.sampled_from(("", "", "", "status", "finalize")))
    return Asked(caller, "UPDATE", NAMESPACE, new=new, old=old, subresource=subresource)


@st.composite
def moves(draw: st.DrawFn, world: World) -> Asked:
    """Draw a Namespace, or a Workspace, that goes from one owner to another, by somebody who is admin near an end."""
    workspace = draw(st.booleans())
    ends = PROJECTS if workspace else tuple(WORKSPACES)
    before, after = draw(st.sampled_from(ends)), draw(st.sampled_from(ends))
    near = {f"Project/{end}" for end in (before, after, WORKSPACES.get(before), WORKSPACES.get(after))}
    near |= {f"Workspace/{end}" for end in (before, after)}
    given = (each for key, spec in world.tenants.items() if key in near for each in grants(spec))
    admins = sorted(each for each in given if each[0].endswith("Admin"))
    if not admins:
        return draw(requests(world, [NAMESPACE]))
    some = draw(st.lists(st.sampled_from(admins), min_size=1, max_size=3))
    people = [called({"kind": kind, "namespace": home, "name": name}) for _, kind, home, name in some]
    caller = Caller(people[0].name, tuple(group for each in people for group in each.groups))
    if workspace:
        name = draw(st.sampled_from(tuple(WORKSPACES)))
        spec = {**world.tenants.get(f"Workspace/{name}", {"roles": []})}
        old, new = ({"metadata": {"name": name}, "spec": {**spec, "project": end}} for end in (before, after))
        return Asked(caller, "UPDATE", TENANTS["Workspace"], new=new, old=old)
    name = draw(st.sampled_from((*HOMES, "fresh")))
    old, new = ({"metadata": {"name": name, "labels": {LABEL: end}, "annotations": {}}} for end in (before, after))
    return Asked(caller, "UPDATE", NAMESPACE, new=new, old=old)


def _has_parts(kind: Kind, operation: str) -> bool:
    return operation == "UPDATE" and kind in {NAMESPACE, CRD, CILIUM, BASELINE, *TENANTS.values()}
