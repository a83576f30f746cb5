"""What no rule refuses and somebody should know of all the same: what nobody owns, and what was left behind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webhook.model import BASELINE_LABEL, MANAGED_BY_LABEL, Namespace, Place, Policy, Standing
from webhook.scan.asking import identity_of
from webhook.scan.finding import Finding, Thing, namespace_thing
from webhook.tenancy.tree import Tree


@dataclass(frozen=True, slots=True)
class Page:
    """What a finding of this kind is, and what to do about it."""

    title: str
    severity: str
    remediation: str


UNOWNED, ORPHANED, STRAY, UNKNOWN, UNDECIDED = (
    "scan/unowned",
    "scan/orphaned",
    "scan/stray-policy",
    "scan/unknown-namespace",
    "scan/undecided",
)
PAGES: Mapping[str, Page] = {
    UNOWNED: Page(
        "Nobody owns the namespace",
        "low",
        "As an OrgAdmin, label it portcullis.dev/workspace: WORKSPACE, with an exemption where pods run in it.",
    ),
    ORPHANED: Page(
        "The namespace's workspace does not exist",
        "medium",
        "As an OrgAdmin, create the workspace or its project, or label the namespace with another one.",
    ),
    STRAY: Page(
        "An injected policy is of no baseline that applies",
        "medium",
        "As an InfraAdmin or OrgAdmin, delete the policy; nothing keeps it any more.",
    ),
    UNKNOWN: Page(
        "There is no such namespace",
        "medium",
        "Add the Namespace: what stands in one that is not known cannot be judged.",
    ),
    UNDECIDED: Page(
        "It cannot be decided",
        "high",
        "Nobody could write it today (500): write it in another way, or mend the rule that fails.",
    ),
}


def unruled(tree: Tree, namespace: Namespace) -> Iterator[Finding]:
    """Yield what is found in a namespace without asking a rule."""
    place = tree.place(namespace.name, namespace.labels)
    if place.standing is Standing.UNOWNED:
        yield _of_namespace(UNOWNED, place, f"no workspace owns it, and {_applies(place)}")
    if place.standing is Standing.ORPHANED:
        what = f"its label names workspace {place.workspace}, which does not exist or has no project"
        yield _of_namespace(ORPHANED, place, f"{what}, and {_applies(place)}")
    for policy in tree.policies_in(namespace.name):
        if why := _stray(tree, place, policy):
            yield found(STRAY, thing_of(policy), why)


def found(rule: str, thing: Thing, message: str) -> Finding:
    """Return a finding of one of the `PAGES`."""
    page = PAGES[rule]
    return Finding(rule, page.title, page.severity, message, "none", thing)


def thing_of(policy: Policy) -> Thing:
    """Return the policy as a thing."""
    group, version, kind = identity_of(policy.kind)
    return Thing(policy.namespace, kind, policy.name, f"{group}/{version}")


def _of_namespace(rule: str, place: Place, message: str) -> Finding:
    return found(rule, namespace_thing(place.namespace), message)


def _applies(place: Place) -> str:
    if place.baselines:
        return f"NetworkBaseline {', '.join(place.baselines)} applies to it"
    return "no baseline applies to it: no guardrail is judged there, and pods start ungated"


def _stray(tree: Tree, place: Place, policy: Policy) -> str:
    """Say why a policy that looks injected is one that nothing keeps, empty where it is not."""
    name = policy.labels.get(BASELINE_LABEL, "")
    if policy.kind != "NetworkPolicy" or policy.labels.get(MANAGED_BY_LABEL) != "portcullis" or not name:
        return ""
    baseline = tree.baselines.get(name)
    if baseline is None:
        return f"it carries the labels of NetworkBaseline {name}, which does not exist"
    if name not in place.baselines:
        return f"it carries the labels of NetworkBaseline {name}, which does not apply to the namespace"
    if baseline.unreadable or any(policy.name == f"{name}.{each.name}" for each in baseline.policies):
        return ""
    return f"it carries the labels of NetworkBaseline {name}, which has no policy of that name"
