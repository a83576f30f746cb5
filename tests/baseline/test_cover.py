"""A baseline is in place when every policy of one version of it stands; what lacks is told, and if waiting helps."""

from dataclasses import replace

import pytest

from tests.cases.reviews import Json
from webhook.baseline.cover import cover_at
from webhook.baseline.wanted import policies_of
from webhook.model import MANAGED_BY_LABEL, Baseline, BaselinePolicy, Cover, Former, Place, Policy, Standing

PLACE = Place(
    "dev",
    Standing.OWNED,
    workspace="checkout",
    project="payments",
    organization="acme",
    path=("Workspace/checkout", "Project/payments", "Organization/acme"),
    baselines=("zero-trust",),
)
UNOWNED = Place("dev", Standing.UNOWNED, path=("Organization/acme",), baselines=("zero-trust",))
DENY: Json = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
DNS: Json = {**DENY, "egress": [{"ports": [{"port": 53}]}]}
OWN: Json = {**DENY, "podSelector": {"matchLabels": {"of": "$(workspace)"}}}
IN_PLACE = Cover()


def baseline(name: str = "zero-trust", *, drift: str = "Repair", **specs: Json) -> Baseline:
    """Return a baseline of these policies."""
    policies = tuple(BaselinePolicy(each, spec) for each, spec in specs.items())
    return Baseline(name, policies, drift="Report" if drift == "Report" else "Repair")


BEFORE, CHANGE, AFTER = "90", 100, "110"
"""The versions of what was written before the baseline changed, of the change, and of what was written after it."""


def stand(found: Baseline, place: Place = PLACE, version: str = BEFORE) -> tuple[Policy, ...]:
    """Return the policies of a baseline as the controller brings them."""
    wanted, problem = policies_of(found.name, found, place)
    assert not problem
    return tuple(Policy(place.namespace, each.name, each.labels, each.spec, version=version) for each in wanted)


def cover(*standing: Policy, now: Baseline | None, former: tuple[Baseline, ...] = (), place: Place = PLACE) -> Cover:
    baselines = {"zero-trust": now} if now else {}
    return cover_at(place, baselines, {"zero-trust": tuple(Former(each, CHANGE) for each in former)}, standing)


BOTH = baseline(deny=DENY, dns=DNS)
DENIES, LEADS = stand(BOTH)
TENANTS = Policy("dev", "web", {}, {"podSelector": {}, "ingress": [{}]})


def test_a_baseline_whose_policies_stand_is_in_place() -> None:
    """Whatever else stands there."""
    assert cover(DENIES, LEADS, TENANTS, now=BOTH) == IN_PLACE


def test_a_baseline_of_no_policies_is_in_place() -> None:
    """It brings nothing."""
    assert cover(now=baseline()) == IN_PLACE


def test_where_no_baseline_applies_nothing_lacks() -> None:
    """Whatever baselines there are."""
    assert cover(now=BOTH, place=replace(PLACE, baselines=())) == IN_PLACE


@pytest.mark.parametrize(
    ("standing", "lacking"),
    [
        pytest.param((), ("zero-trust.deny is missing", "zero-trust.dns is missing"), id="both-missing"),
        pytest.param((LEADS,), ("zero-trust.deny is missing",), id="one-missing"),
        pytest.param(
            (replace(DENIES, spec={**DENY, "ingress": [{}]}), LEADS), ("zero-trust.deny differs in ingress",), id="open"
        ),
        pytest.param((replace(DENIES, spec=None), LEADS), None, id="no-spec"),
        pytest.param((replace(DENIES, labels={}), LEADS), ("zero-trust.deny differs in labels",), id="no-labels"),
        pytest.param(
            (replace(DENIES, labels={MANAGED_BY_LABEL: "portcullis"}), LEADS),
            ("zero-trust.deny differs in labels",),
            id="one-label",
        ),
        pytest.param((replace(DENIES, name="deny"), LEADS), ("zero-trust.deny is missing",), id="another-name"),
        pytest.param(
            (replace(DENIES, kind="CiliumNetworkPolicy"), LEADS), ("zero-trust.deny is missing",), id="another-kind"
        ),
        pytest.param(
            (replace(LEADS, name="zero-trust.deny"), LEADS), ("zero-trust.deny differs in egress",), id="swapped"
        ),
    ],
)
def test_what_lacks_is_told(standing: tuple[Policy, ...], lacking: tuple[str, ...] | None) -> None:
    """By the name of the policy, and in what it differs; the controller mends all of it."""
    found = cover(*standing, now=BOTH)
    assert found.failed == ()
    assert found.lacking == lacking if lacking else len(found.lacking) == 1


def test_every_baseline_counts() -> None:
    """One in place does not make up for another."""
    mesh = baseline("mesh", sidecar=DENY)
    place = replace(PLACE, baselines=("mesh", "zero-trust"))
    known = {"mesh": mesh, "zero-trust": BOTH}
    assert cover_at(place, known, {}, (DENIES, LEADS)) == Cover(("mesh.sidecar is missing",))
    assert cover_at(place, known, {}, (DENIES, LEADS, *stand(mesh))) == IN_PLACE
    assert cover_at(place, {"mesh": mesh}, {}, stand(mesh)) == Cover((), ("there is no NetworkBaseline zero-trust",))


@pytest.mark.parametrize(
    ("now", "place", "told"),
    [
        pytest.param(None, PLACE, "there is no NetworkBaseline zero-trust", id="missing"),
        pytest.param(
            Baseline("zero-trust", (), unreadable="it cannot be read"), PLACE, "it cannot be read", id="unreadable"
        ),
        pytest.param(
            baseline(deny=OWN),
            UNOWNED,
            "NetworkBaseline zero-trust: $(workspace) of policy deny is nothing in an unowned namespace",
            id="unfilled",
        ),
    ],
)
def test_what_cannot_be_brought_has_failed(now: Baseline | None, place: Place, told: str) -> None:
    """Whatever stands, and whatever it was before: waiting does not help."""
    assert cover(DENIES, LEADS, now=now, place=place, former=(BOTH,)) == Cover((), (told,))


def test_what_nobody_puts_back_has_failed() -> None:
    """With drift: Report a policy that differs stays so; one that is missing is brought."""
    reports = baseline(drift="Report", deny=DENY, dns=DNS)
    found = cover(replace(DENIES, spec=DNS), now=reports)
    assert found.lacking == ("zero-trust.dns is missing",)
    (failed,) = found.failed
    assert failed.startswith("zero-trust.deny differs in egress (NetworkBaseline zero-trust has drift: Report")


# While a changed baseline rolls out.

CLOSED: Json = {**DENY, "podSelector": {"matchLabels": {"a": "b"}}}
NEWER = baseline(deny=CLOSED, dns=DNS, more=DENY)


def test_the_former_version_counts() -> None:
    """Before the controller has changed anything."""
    assert cover(DENIES, LEADS, now=NEWER) == Cover(
        ("zero-trust.deny differs in podSelector", "zero-trust.more is missing")
    )
    assert cover(DENIES, LEADS, now=NEWER, former=(BOTH,)) == IN_PLACE
    assert cover(DENIES, LEADS, now=NEWER, former=(baseline(deny=CLOSED, gone=DENY), BOTH)) == IN_PLACE


def test_each_policy_may_be_as_it_was_or_as_it_is() -> None:
    """Half of the way: one policy is the new one already, the other the old one."""
    changed = stand(NEWER, version=AFTER)
    assert cover(changed[0], LEADS, now=NEWER, former=(BOTH,)) == IN_PLACE
    assert cover(*changed, now=NEWER, former=(BOTH,)) == IN_PLACE


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param((DENIES,), id="one-of-two"),
        pytest.param((), id="none"),
        pytest.param((replace(DENIES, spec={**DENY, "ingress": [{}]}), LEADS), id="neither-as-it-was-nor-as-it-is"),
        pytest.param((replace(DENIES, labels={}), LEADS), id="without-our-labels"),
    ],
)
def test_half_of_a_former_version_does_not_count(standing: tuple[Policy, ...]) -> None:
    """What lacks is what the present version lacks."""
    found = cover(*standing, now=NEWER, former=(BOTH,))
    assert "zero-trust.more is missing" in found.lacking


def test_a_former_version_that_cannot_be_brought_here_does_not_count() -> None:
    """Its variables are nothing in a namespace that nobody owns."""
    standing = stand(BOTH, UNOWNED)[:1]
    assert cover(*standing, now=BOTH, place=UNOWNED, former=(baseline(deny=DENY),)) == IN_PLACE
    was = baseline(deny=DENY, own=OWN)
    assert cover(*standing, now=BOTH, place=UNOWNED, former=(was,)) == Cover(("zero-trust.dns is missing",))


LEADS_ALONE = baseline(dns=DNS)


@pytest.mark.parametrize("version", [AFTER, str(CHANGE), "", "x"])
def test_a_namespace_that_never_had_the_former_version_waits_for_the_present_one(version: str) -> None:
    """A new one gets the present policies one after the other: the first of them may be all that there once was."""
    written = replace(LEADS, version=version)
    assert cover(written, now=BOTH, former=(LEADS_ALONE,)) == Cover(("zero-trust.deny is missing",))
    assert cover(replace(LEADS, version="99"), now=BOTH, former=(LEADS_ALONE,)) == IN_PLACE
    # A policy of its own that is old is no sign of it.
    assert cover(written, replace(TENANTS, version="1"), now=BOTH, former=(LEADS_ALONE,)) != IN_PLACE


def test_a_former_version_of_no_policies_does_not_count() -> None:
    """Nothing tells whether the namespace ever had it."""
    assert len(cover(now=BOTH, former=(baseline(),)).lacking) == 2
