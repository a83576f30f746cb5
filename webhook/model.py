"""
The nouns that the rooms hand to each other: frozen, no I/O.

What ends up in the decision document is typed here so that pydantic can make the document's JSON schema from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

DOMAIN = "portcullis.dev"
HOME = "portcullis-system"
CONTROLLER = f"system:serviceaccount:{HOME}:portcullis"
"""The user name of our own ServiceAccount, the only writer of injected policies."""
MANAGER = "portcullis"
"""The field manager of all that we write."""
RESERVED = frozenset({"kube-system", "kube-public", "kube-node-lease", HOME})
"""Namespaces that belong to nobody and get no baseline (contract, section 1)."""

WORKSPACE_LABEL = f"{DOMAIN}/workspace"
PROJECT_LABEL = f"{DOMAIN}/project"
ORGANIZATION_LABEL = f"{DOMAIN}/organization"
GATE_LABEL = f"{DOMAIN}/gate"
BASELINE_LABEL = f"{DOMAIN}/baseline"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
BASELINE_FINALIZER = BASELINE_LABEL
"""On every NetworkBaseline: it goes once its policies are gone."""
STATE_ANNOTATION = BASELINE_LABEL
"""The state of a namespace's baseline, as JSON; spelled like the label on injected policies."""

PROTECTED_CIDRS = ("169.254.169.254/32", "fd00:ec2::254/128")
"""Where clouds tell their machines who they are: protected unless the Organization drops them (contract, section 4)."""

TenantKind = Literal["Organization", "Project", "Workspace"]
SubjectKind = Literal["User", "Group", "ServiceAccount"]
Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Enforcement = Literal["enforce", "warn", "audit"]
PolicyKind = Literal[
    "NetworkPolicy",
    "CiliumNetworkPolicy",
    "NetworkPolicy.crd.projectcalico.org",
    "NetworkSet.crd.projectcalico.org",
    "NetworkPolicy.projectcalico.org",
    "NetworkSet.projectcalico.org",
]
"""The kind of a policy that stands in a namespace, with its group where the kind alone may be Kubernetes' own."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An RBAC subject; `namespace` is a ServiceAccount's, empty otherwise."""

    kind: SubjectKind
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role and who holds it."""

    role: str
    subjects: tuple[Subject, ...]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A node of the tree; `project` is a Workspace's parent, `enforcement` the Organization's, both empty otherwise."""

    kind: TenantKind
    name: str
    project: str = ""
    roles: tuple[Grant, ...] = ()
    baselines: tuple[str, ...] = ()
    guardrails: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    enforcement: Mapping[str, Enforcement] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """How the document and the indexes name it: `Workspace/checkout`."""
        return f"{self.kind}/{self.name}"


class Standing(StrEnum):
    """How a namespace stands to the tree."""

    OWNED = "owned"
    UNOWNED = "unowned"
    RESERVED = "reserved"
    ORPHANED = "orphaned"
    """Its label names a workspace that does not exist, or whose project does not: an OrgAdmin's alone."""
    UNKNOWN = "unknown"
    """No such namespace is known: nothing in it can be decided."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where a namespace stands in the tree.

    `workspace` is what its label says, `path` the keys of the tenants above it, nearest first, and `baselines` the
    names of those that apply to it, existing or not. `exempt` is until when it is exempt from them (RFC 3339, UTC),
    empty where it is not.
    """

    namespace: str
    standing: Standing
    workspace: str = ""
    project: str = ""
    organization: str = ""
    path: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    exempt: str = ""


@dataclass(frozen=True, slots=True)
class Namespace:
    """
    A namespace that exists.

    `terminating` says that it is being deleted; `version` is its resourceVersion, empty where it comes from a file.
    `created` is when that was (RFC 3339, to the second), and `heard` when we heard of this version, in Unix time.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    terminating: bool = False
    version: str = ""
    created: str = ""
    heard: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Writer:
    """A field manager: what it calls itself, its last operation (Apply, Update) and the time of that (RFC 3339)."""

    manager: str
    operation: str
    time: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Policy:
    """
    A policy that stands in a namespace.

    `spec` is a NetworkPolicy's as the API server stores it; of another `kind` it is the whole object. `attached` names
    what else hangs on it: annotations, finalizers, ownerReferences. `version` is as a `Namespace`'s. `writers` are who
    wrote to it beside us, of one that is called like those that we inject.
    """

    namespace: str
    name: str
    labels: Mapping[str, str] = field(hash=False)
    spec: Any = field(hash=False)
    kind: PolicyKind = "NetworkPolicy"
    attached: tuple[str, ...] = ()
    version: str = ""
    writers: tuple[Writer, ...] = ()


@dataclass(frozen=True, slots=True)
class BaselinePolicy:
    """One policy of a baseline, its variables not filled in."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Baseline:
    """
    What a namespace gets on day 0.

    `selector` is the LabelSelector of further namespaces, None for none. `unreadable` says why there are no policies in
    one that is stored and cannot be read. `ending` says that it is being deleted, `held` that our finalizer is on it.
    """

    name: str
    policies: tuple[BaselinePolicy, ...]
    selector: Mapping[str, Any] | None = None
    drift: Literal["Repair", "Report"] = "Repair"
    unreadable: str = ""
    ending: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Former:
    """What a baseline was before it changed; `until` is the resourceVersion of that change."""

    baseline: Baseline
    until: int


@dataclass(frozen=True, slots=True)
class Opening:
    """
    What a policy opens in one direction; ports are not looked at.

    `ipv4` is the share of all IPv4 addresses, `ipv6` of 2000::/3, both 0 to 1 and rounded down. The joint shares are
    those of the policy together with the policies `joint_with` that stand in its namespace and select a common pod.
    `unbounded` are the paths of rules that name no peer, `open_namespaces` those of selectors of namespaces that name
    none; `crossing` says which selectors can match a namespace of another project. `protected` has, for egress, each
    range that may be protected and the path of a rule that leads into it, empty for none. `widens` says whether it
    opens what the old object did not.
    """

    ipv4: float
    ipv6: float
    joint_ipv4: float
    joint_ipv6: float
    joint_with: tuple[str, ...]
    unbounded: tuple[str, ...]
    open_namespaces: tuple[str, ...]
    crossing: tuple[str, ...]
    protected: Mapping[str, str]
    widens: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """
    What a policy opens; None for a direction that has no effect.

    `policy` names one that stands in a namespace under review, and is empty for the policy under review. `unreadable`
    says what could not be read, `unreadable_beside` which policy that stands in its namespace: where either is not
    empty the openings mean nothing. `malformed` is what tools read differently and counts as Go reads it,
    `not_understood` what a CNI's kind says and we do not understand; the old object said all of it too if
    `malformed_before` and `not_understood_before`. `not_understood_beside` is what policies that stand there say.
    """

    policy: str = ""
    unreadable: tuple[str, ...] = ()
    unreadable_beside: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()
    malformed_before: bool = False
    not_understood: tuple[str, ...] = ()
    not_understood_before: bool = False
    not_understood_beside: tuple[str, ...] = ()
    ingress: Opening | None = None
    egress: Opening | None = None


@dataclass(frozen=True, slots=True)
class Cover:
    """
    How far the baselines of a namespace are in place.

    `lacking` says which of their policies are missing or differ, which Portcullis mends; `failed` what waiting does not
    mend: baselines that do not exist or cannot be read. `hindered` says why what lacks could not be brought within the
    request, in the API server's words, empty where nobody tried; `passing` that it may be brought in a moment.
    """

    lacking: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    hindered: tuple[str, ...] = ()
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Tenancy:
    """
    A tenant under review.

    `new` is how it would be and `old` how it was, None where there is none or it cannot be read. `owned` names a few of
    the things that name it as their owner, and `owns` counts all. `homes` are the namespaces that exist and in which a
    ServiceAccount lives that `new` gives a role to, each with the keys of what stands above it, nearest first.
    `missing` are the keys of what `new` names and there is not.
    """

    new: Tenant | None = None
    old: Tenant | None = None
    owned: tuple[str, ...] = ()
    owns: int = 0
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Violation:
    """
    What one rule found.

    `action` is what comes of it after the Organization's enforcement setting; `wait` says that it passes by itself.
    """

    rule: str
    severity: str
    message: str
    action: Enforcement
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Rego's answer to a validation.

    `rules` are all that ran; `break_glass` says that the caller passed by it, `undecided` why there was no deciding
    on the facts, empty where there was one.
    """

    revision: str
    rules: frozenset[str]
    allowed: bool
    break_glass: bool
    undecided: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A label or annotation that has to be `value`, or has to go (None)."""

    on: Literal["labels", "annotations"]
    key: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Mutation:
    """Rego's answer to a mutation; `undecided` as in a `Decision`."""

    revision: str
    rules: frozenset[str]
    undecided: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Policies:
    """
    What a whole answer has to show: the revision that is shipped and the rules in it.

    `kinds` has for a rule the kinds that it looks at, as kubectl names them (`NetworkPolicy.networking.k8s.io`); a rule
    that is not in it looks at all of them.
    """

    revision: str
    rules: frozenset[str]
    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict, hash=False)

    def demanded(self, group: str, kind: str) -> frozenset[str]:
        """Return the rules that have to run on an object of a kind."""
        name = f"{kind}.{group}" if group else kind
        return frozenset(rule for rule in self.rules if rule not in self.kinds or name in self.kinds[rule])
