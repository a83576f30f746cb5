"""The way of one request on a real OPA: what comes of the facts, of a missing tree, of a dead OPA, and what is kept."""

import asyncio
import dataclasses
import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tests.cases.reviews import (
    ADA,
    BO,
    FROM_PODS,
    IVAN,
    NAMESPACE,
    NETPOL,
    NOBODY,
    OZ,
    POD,
    ROOT,
    Asked,
    Caller,
    Json,
    exempt,
    injected,
    namespace,
    owned,
    pod,
    policy,
)
from tests.cases.table import (
    EXEMPTION,
    FROM_ANYWHERE,
    HOST_NETWORK,
    LABELS,
    MANAGED,
    NAMESPACE_POLICY,
    NAMESPACE_RULE,
    POD_GATE,
    TO_ANYWHERE,
)
from tests.conftest import TREE, Loop
from webhook.admission import MANY, Gate
from webhook.decision.bundle import Bundle
from webhook.decision.opa import Engine, LocalOpa
from webhook.decision.process import OpaProcess
from webhook.errors import ClusterError, NoDecisionError, ReviewError
from webhook.history.record import Record
from webhook.mend import Gap
from webhook.model import Cover, Enforcement, Namespace, Policy
from webhook.settings import BREAK_GLASS_GROUPS
from webhook.tenancy.files import load_tree
from webhook.tenancy.tree import Tree

MINE = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev"))
THEIRS = Asked(BO, "CREATE", NETPOL, new=policy("checkout-dev"))
OPEN = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev", spec={"podSelector": {}, "ingress": [{}]}))
# No metadata service is among the targets.
OPENS_BOTH: Json = {"ingress": [{}], "egress": [{"to": [{"ipBlock": {"cidr": "64.0.0.0/2"}}]}]}
BOTH = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev", spec=OPENS_BOTH))
STEALS = Asked(
    BO,
    "UPDATE",
    NAMESPACE,
    old=namespace("checkout-dev", owned("checkout")),
    new=namespace("checkout-dev", owned("refunds")),
)
POD_EARLY = Asked(ADA, "CREATE", POD, new=pod("checkout-dev"))
HOSTED = Asked(ADA, "CREATE", POD, new=pod("checkout-dev", hostNetwork=True))
EXEMPTS = Asked(
    ADA,
    "UPDATE",
    NAMESPACE,
    old=namespace("checkout-dev", owned("checkout")),
    new=namespace("checkout-dev", owned("checkout", **exempt(7)[0]), annotations=exempt(7)[1]),
)
FORGES = Asked(
    ADA,
    "CREATE",
    NAMESPACE,
    new=namespace("checkout-new", owned("checkout"), annotations={"portcullis.dev/baseline": '{"state":"Ready"}'}),
)


def validated(loop: Loop, gate: Gate, asked: Asked) -> Json:
    return response_of(loop.run(gate.validate(orjson.dumps(asked.review()), seconds=10)))


def response_of(answer: bytes) -> Json:
    response: Json = orjson.loads(answer)["response"]
    return response


def softened(tree: Tree, enforcement: Mapping[str, Enforcement]) -> Tree:
    """Return the tree of an Organization with this enforcement."""
    organization = dataclasses.replace(tree.organization, enforcement=dict(enforcement))
    return dataclasses.replace(
        tree, organization=organization, tenants={**tree.tenants, organization.key: organization}
    )


def test_every_answer_has_an_id_of_its_own(gate: Gate, loop: Loop) -> None:
    """The same bytes sent twice are two decisions; the review's uid, which the API server chose, is only echoed."""
    body = orjson.dumps(THEIRS.review())
    answers = [response_of(loop.run(gate.validate(body, seconds=10))) for _ in range(3)]
    answers += [response_of(loop.run(gate.mutate(body, seconds=10)))]
    ids = {each["auditAnnotations"]["decision-id"] for each in answers}
    assert len(ids) == 4
    assert len({each["uid"] for each in answers}) == 1
    assert ids & {each["uid"] for each in answers} == set()
    assert answers[0]["auditAnnotations"]["decision-id"] in answers[0]["status"]["message"]


def test_an_answer_names_revision_and_rules_as_text(gate: Gate, loop: Loop) -> None:
    """Audit annotations are strings, by keys that the API server does not drop."""
    annotations = validated(loop, gate, THEIRS)["auditAnnotations"]
    assert annotations["policy-revision"] == gate.policies.revision
    assert annotations["rules"] == NAMESPACE_POLICY
    assert [key for key, each in annotations.items() if not isinstance(each, str) or "/" in key] == []


# Name: the Organization's enforcement, what is asked, the rules that deny, that warn, and that are on record.
ENFORCED: dict[str, tuple[dict[str, Enforcement], Asked, set[str], set[str], set[str]]] = {
    "nothing said": ({}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE}),
    "all enforced": ({"*": "enforce"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE}),
    "all warned of": ({"*": "warn"}, OPEN, set(), {FROM_ANYWHERE}, {FROM_ANYWHERE}),
    "all audited": ({"*": "audit"}, OPEN, set(), set(), {FROM_ANYWHERE}),
    "a category warned of": ({"guardrail/*": "warn"}, OPEN, set(), {FROM_ANYWHERE}, {FROM_ANYWHERE}),
    "a category audited": ({"guardrail/*": "audit"}, OPEN, set(), set(), {FROM_ANYWHERE}),
    "a rule warned of": ({FROM_ANYWHERE: "warn"}, OPEN, set(), {FROM_ANYWHERE}, {FROM_ANYWHERE}),
    "a rule audited": ({FROM_ANYWHERE: "audit"}, OPEN, set(), set(), {FROM_ANYWHERE}),
    "another category": ({"rbac/*": "audit"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE}),
    "another rule": ({TO_ANYWHERE: "audit"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE}),
    "the rule is nearer than all": (
        {"*": "audit", FROM_ANYWHERE: "enforce"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE},
    ),
    "the rule is nearer than its category": (
        {"guardrail/*": "audit", FROM_ANYWHERE: "enforce"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE},
    ),
    "the category is nearer than all": (
        {"*": "audit", "guardrail/*": "enforce"}, OPEN, {FROM_ANYWHERE}, set(), {FROM_ANYWHERE},
    ),
    "a rule softer than its category": (
        {"guardrail/*": "enforce", FROM_ANYWHERE: "warn"}, OPEN, set(), {FROM_ANYWHERE}, {FROM_ANYWHERE},
    ),
    "one of two rules": (
        {TO_ANYWHERE: "warn"}, BOTH, {FROM_ANYWHERE}, {TO_ANYWHERE}, {FROM_ANYWHERE, TO_ANYWHERE},
    ),
    "two rules, two ways": (
        {TO_ANYWHERE: "warn", FROM_ANYWHERE: "audit"}, BOTH, set(), {TO_ANYWHERE}, {FROM_ANYWHERE, TO_ANYWHERE},
    ),
    "rbac": ({"rbac/namespace-policy": "warn"}, THEIRS, set(), {NAMESPACE_POLICY}, {NAMESPACE_POLICY}),
    "the pod gate": ({"baseline/pod-gate": "warn"}, POD_EARLY, set(), {POD_GATE}, {POD_GATE}),
    "the guardrail of pods": (
        {"guardrail/*": "audit"}, HOSTED, {POD_GATE}, set(), {POD_GATE, HOST_NETWORK},
    ),
    "nothing to soften": ({"*": "warn"}, MINE, set(), set(), set()),
}  # fmt: skip


@pytest.mark.parametrize(
    ("enforcement", "asked", "denying", "warning", "fired"), ENFORCED.values(), ids=ENFORCED.keys()
)
def test_the_organization_says_what_comes_of_a_violation(
    enforcement: dict[str, Enforcement],
    asked: Asked,
    denying: set[str],
    warning: set[str],
    fired: set[str],
    gate: Gate,
    loop: Loop,
    tree: Tree,
) -> None:
    """The setting nearest to the rule counts: enforce denies, warn tells the caller, audit only the record."""
    records: list[Record] = []
    grown = softened(tree, enforcement)
    response = validated(loop, dataclasses.replace(gate, tree=lambda: grown, record=records.append), asked)
    assert response["allowed"] == (not denying)
    assert rules_in(response.get("status", {}).get("message", "")) == denying
    assert rules_in("\n".join(response.get("warnings", []))) == warning
    assert set(filter(None, response["auditAnnotations"]["rules"].split(","))) == fired
    assert [(set(each.rules), each.verdict) for each in records] == [
        (fired, "deny" if denying else "warn" if warning else "audit" if fired else "allow")
    ]


def rules_in(text: str) -> set[str]:
    return set(re.findall(r"^\[([a-z/-]+)\] ", text, re.MULTILINE))


NEVER: dict[str, tuple[Asked, str]] = {
    "managed policy": (Asked(ADA, "DELETE", NETPOL, old=injected("checkout-dev")), MANAGED),
    "derived labels": (FORGES, LABELS),
    "an exemption": (EXEMPTS, EXEMPTION),
    "a pod in a namespace that nobody knows": (Asked(OZ, "CREATE", POD, new=pod("nowhere")), POD_GATE),
    "a move": (STEALS, NAMESPACE_RULE),
    "an adoption": (
        Asked(
            ADA,
            "UPDATE",
            NAMESPACE,
            old=namespace("monitoring"),
            new=namespace("monitoring", owned("checkout")),
        ),
        NAMESPACE_RULE,
    ),
    "a release": (
        Asked(
            ADA,
            "UPDATE",
            NAMESPACE,
            old=namespace("checkout-dev", owned("checkout")),
            new=namespace("checkout-dev"),
        ),
        NAMESPACE_RULE,
    ),
}


@pytest.mark.parametrize("softer", ["warn", "audit"])
@pytest.mark.parametrize("by", ["*", "category", "rule"])
@pytest.mark.parametrize(("asked", "rule"), NEVER.values(), ids=NEVER.keys())
def test_some_violations_are_never_softened(
    asked: Asked, rule: str, by: str, softer: Enforcement, gate: Gate, loop: Loop, tree: Tree
) -> None:
    """Whatever the Organization says, injected policies, derived labels and a namespace's owner are guarded."""
    key = {"*": "*", "category": f"{rule.split('/', maxsplit=1)[0]}/*", "rule": rule}[by]
    grown = softened(tree, {key: softer})
    response = validated(loop, dataclasses.replace(gate, tree=lambda: grown), asked)
    assert not response["allowed"]
    assert response["status"]["code"] == 403
    assert rule in rules_in(response["status"]["message"])


def test_enforcement_is_read_from_the_organizations_yaml(gate: Gate, loop: Loop, tmp_path: Path) -> None:
    """The setting is one line of the tree, and the tree is the one that the request finds."""
    folder = Path(shutil.copytree(TREE, tmp_path / "tree"))
    file = folder / "organization.yaml"
    text = file.read_text()
    assert text.count("  baselines: [zero-trust]\n") == 1
    file.write_text(
        text.replace("  baselines: [zero-trust]\n", "  baselines: [zero-trust]\n  enforcement: {'guardrail/*': warn}\n")
    )
    loading = load_tree(folder)
    assert loading.tree, loading.errors
    trees = [gate.tree(), loading.tree]
    changing = dataclasses.replace(gate, tree=trees.pop)
    assert validated(loop, changing, OPEN)["allowed"]
    assert not validated(loop, changing, OPEN)["allowed"]


@pytest.mark.parametrize("caller", [ADA, OZ, IVAN, NOBODY], ids=lambda caller: caller.name or "nobody")
@pytest.mark.parametrize("asked", [MINE, STEALS], ids=["policy", "namespace"])
def test_without_a_tree_nothing_is_decided(caller: Caller, asked: Asked, gate: Gate, loop: Loop) -> None:
    """While the tree is not loaded everybody is denied with 500, and kubectl tries again in a second."""
    records: list[Record] = []
    treeless = dataclasses.replace(gate, tree=lambda: None, record=records.append)
    response = validated(loop, treeless, dataclasses.replace(asked, caller=caller))
    assert not response["allowed"]
    assert (response["status"]["code"], response["status"]["reason"]) == (500, "InternalError")
    assert "the tenant tree is not loaded" in response["status"]["message"]
    assert response["status"]["details"] == {"retryAfterSeconds": 1}
    assert [(each.verdict, each.reason, each.rules) for each in records] == [
        ("error", "the tenant tree is not loaded", ())
    ]


def test_without_a_tree_nothing_is_stamped(gate: Gate, loop: Loop) -> None:
    """A namespace that cannot be stamped is not created without its labels."""
    body = orjson.dumps(Asked(ADA, "CREATE", NAMESPACE, new=namespace("new")).review())
    response = response_of(loop.run(dataclasses.replace(gate, tree=lambda: None).mutate(body, seconds=10)))
    assert not response["allowed"]
    assert (response["status"]["code"], response["status"]["details"]) == (500, {"retryAfterSeconds": 1})


def test_break_glass_passes_without_a_tree(gate: Gate, loop: Loop) -> None:
    """Who mends the cluster gets in, with a warning and a record of it."""
    records: list[Record] = []
    treeless = dataclasses.replace(gate, tree=lambda: None, record=records.append)
    response = validated(loop, treeless, Asked(ROOT, "DELETE", NETPOL, old=injected("checkout-dev")))
    assert response["allowed"]
    assert any(each.startswith("break-glass: ") for each in response["warnings"])
    assert [(each.verdict, each.break_glass) for each in records] == [("warn", True)]


def test_break_glass_is_told_what_it_overrode(gate: Gate, loop: Loop) -> None:
    """The warning holds the rule that would have denied; a name is needed even so."""
    response = validated(loop, gate, Asked(ROOT, "DELETE", NETPOL, old=injected("checkout-dev")))
    assert response["allowed"]
    assert any(f"[{MANAGED}]" in each for each in response["warnings"])
    assert not validated(loop, gate, Asked(NOBODY, "DELETE", NETPOL, old=injected("checkout-dev")))["allowed"]


def test_break_glass_is_whom_the_settings_name(gate: Gate, loop: Loop) -> None:
    """Other groups than the usual ones may be named, and then the usual ones are nobody."""
    asked = Asked(Caller("eve", ("fire-brigade",)), "DELETE", NETPOL, old=injected("checkout-dev"))
    named = dataclasses.replace(gate, break_glass_groups=("fire-brigade",))
    assert validated(loop, named, asked)["allowed"]
    assert not validated(loop, gate, asked)["allowed"]
    assert not validated(loop, named, dataclasses.replace(asked, caller=ROOT))["allowed"]


def test_a_dead_opa_denies_until_it_is_back(bundle: Bundle, tree: Tree, opa_binary: Path) -> None:
    """OPA killed: every answer is a denial with 500 until the next OPA has the policies, and then it decides again."""
    records: list[Record] = []

    async def main() -> None:
        async with (
            OpaProcess(opa_binary, bundle.signed(), log=lambda _: None) as process,
            LocalOpa(socket=process.socket) as opa,
            asyncio.timeout(60),
        ):
            await process.ready()
            gate = Gate(Engine(opa, bundle.policies), lambda: tree, BREAK_GLASS_GROUPS, records.append)
            assert response_of(await gate.validate(orjson.dumps(MINE.review()), seconds=10))["allowed"]
            assert process.pid
            os.kill(process.pid, signal.SIGKILL)
            denials = await answers_until_allowed(gate)
            assert denials
            for each in denials:
                assert (each["status"]["code"], each["status"]["details"]) == (500, {"retryAfterSeconds": 1})
            assert process.restarts == 1
            denial = response_of(await gate.validate(orjson.dumps(THEIRS.review()), seconds=10))
            assert (denial["allowed"], denial["status"]["code"]) == (False, 403)

    asyncio.run(main())
    assert [each.verdict for each in records if each.verdict != "error"] == ["allow", "allow", "deny"]
    assert {each.revision for each in records} == {bundle.policies.revision}


async def answers_until_allowed(gate: Gate) -> list[Json]:
    """Ask the same again and again; return the denials before the first that is allowed."""
    denials: list[Json] = []
    while True:
        response = response_of(await gate.validate(orjson.dumps(MINE.review()), seconds=10))
        if response["allowed"]:
            return denials
        denials.append(response)
        await asyncio.sleep(0.01)


def test_a_request_without_time_left_is_denied(gate: Gate, loop: Loop) -> None:
    """What was read too late to be decided is not let in."""
    response = response_of(loop.run(gate.validate(orjson.dumps(MINE.review()), seconds=0)))
    assert not response["allowed"]
    assert response["status"]["code"] == 500


def test_a_body_that_is_no_review_leaves_no_record(gate: Gate, loop: Loop) -> None:
    """There was nothing to decide, so the caller is told and nothing is kept."""
    records: list[Record] = []
    kept = dataclasses.replace(gate, record=records.append)
    for answer in (kept.validate, kept.mutate):
        with pytest.raises(ReviewError):
            loop.run(answer(b"{}", seconds=10))
    assert records == []


def recorded(loop: Loop, gate: Gate, asked: Asked, *, mutating: bool = False) -> Record:
    """Return the one record of a request."""
    records: list[Record] = []
    kept = dataclasses.replace(gate, record=records.append)
    answer = kept.mutate if mutating else kept.validate
    response = response_of(loop.run(answer(orjson.dumps(asked.review()), seconds=10)))
    assert [each.decision_id for each in records] == [response["auditAnnotations"]["decision-id"]]
    return records[0]


WHOLE = frozenset({"ran", "violations", "document", "size"})
"""Fields of a record that are looked at one by one."""


def test_a_decision_is_kept_with_who_what_and_why(gate: Gate, loop: Loop) -> None:
    """
    The record holds what `portcullis history` shows, the rules that fired and the revision that decided.

    And what it takes to decide it again, and to say who may read it: all that ran, what was found, the tenants
    above the object and the document.
    """
    record = recorded(loop, gate, THEIRS)
    told = {each.name: getattr(record, each.name) for each in dataclasses.fields(record) if each.name not in WHOLE}
    assert told | {"decision_id": "", "time": "", "milliseconds": 0} == {
        "decision_id": "",
        "time": "",
        "route": "validate",
        "user": "bo",
        "operation": "CREATE",
        "group": "networking.k8s.io",
        "kind": "NetworkPolicy",
        "namespace": "checkout-dev",
        "name": "web",
        # There is none before it is stored.
        "uid": "",
        "verdict": "deny",
        "rules": (NAMESPACE_POLICY,),
        "tenants": ("Workspace/checkout", "Project/payments", "Organization/acme"),
        "revision": gate.policies.revision,
        "dry_run": False,
        "break_glass": False,
        "authenticated": False,
        "milliseconds": 0,
        "reason": "",
        "cause": None,
    }
    age = datetime.now(UTC) - datetime.fromisoformat(record.time)
    assert timedelta(seconds=-1) < age < timedelta(seconds=60)
    assert 0 < record.milliseconds < 60_000
    assert record.size > 500
    assert set(record.ran) == gate.policies.demanded("networking.k8s.io", "NetworkPolicy")
    assert [(each.rule, each.action) for each in record.violations] == [(NAMESPACE_POLICY, "enforce")]
    assert record.violations[0].message.startswith("bo may not create NetworkPolicy checkout-dev/web: ")
    assert (record.document.user.name, record.document.object["spec"]) == ("bo", FROM_PODS)


ONE_OF_MANY = Asked(ADA, "DELETE", NETPOL, old=policy("checkout-dev"), over={"name": "", "namespace": ""})
GENERATED = Asked(
    ADA, "CREATE", NETPOL, new=policy("checkout-dev", "", generateName="web-"), over={"name": "asked-for"}
)
KEPT: dict[str, tuple[Asked, Json]] = {
    "allowed": (MINE, {"verdict": "allow", "rules": (), "break_glass": False, "dry_run": False}),
    "dry run": (dataclasses.replace(THEIRS, dry_run=True), {"verdict": "deny", "dry_run": True}),
    "break-glass": (
        Asked(ROOT, "DELETE", NETPOL, old=injected("checkout-dev")),
        {"verdict": "warn", "break_glass": True, "rules": (MANAGED, NAMESPACE_POLICY), "operation": "DELETE"},
    ),
    "break-glass not needed": (
        Asked(Caller("ada", ("checkout-team", "system:masters")), "CREATE", NETPOL, new=policy("checkout-dev")),
        {"verdict": "allow", "break_glass": False},
    ),
    "a namespace": (STEALS, {"kind": "Namespace", "name": "checkout-dev", "namespace": "", "operation": "UPDATE"}),
    "one of a collection": (ONE_OF_MANY, {"name": "web", "namespace": "checkout-dev"}),
    "a name to come": (GENERATED, {"name": "asked-for", "namespace": "checkout-dev"}),
    "two rules": (BOTH, {"rules": (FROM_ANYWHERE, TO_ANYWHERE), "verdict": "deny"}),
    "a user name of two lines": (
        dataclasses.replace(THEIRS, caller=Caller("bo\nroot\u2028\x1b[31m")), {"user": "bo\ufffdroot\ufffd\ufffd[31m"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("asked", "wanted"), KEPT.values(), ids=KEPT.keys())
def test_what_a_record_says(asked: Asked, wanted: Json, gate: Gate, loop: Loop) -> None:
    """Identity is the object's own, a dry run and break-glass are named, and no name forges a line."""
    found = dataclasses.asdict(recorded(loop, gate, asked))
    assert {key: found[key] for key in wanted} == wanted


def test_a_mutation_is_kept_as_one(gate: Gate, loop: Loop) -> None:
    """The mutating route admits always, and its record tells it from a decision."""
    record = recorded(loop, gate, Asked(ADA, "CREATE", NAMESPACE, new=namespace("new")), mutating=True)
    assert (record.route, record.verdict, record.name, record.rules) == ("mutate", "allow", "new", ())


def test_the_probe_is_a_whole_decision(gate: Gate, loop: Loop) -> None:
    """Readiness asks what a request would ask, and leaves no record."""
    records: list[Record] = []
    kept = dataclasses.replace(gate, record=records.append)
    loop.run(kept.probe(seconds=10))
    treeless = dataclasses.replace(kept, tree=lambda: None)
    loop.run(treeless.probe(seconds=10))
    lacking = dataclasses.replace(kept.policies, rules=kept.policies.rules | {"new/rule"})
    with pytest.raises(NoDecisionError, match="OPA did not run new/rule"):
        loop.run(dataclasses.replace(kept, engine=Engine(kept.opa, lacking)).probe(seconds=10))
    assert records == []


def test_a_record_says_whether_the_caller_showed_a_certificate(gate: Gate, loop: Loop) -> None:
    """Without a client CA anybody could have asked, and who reads the record has to know."""
    assert not recorded(loop, gate, MINE).authenticated
    assert recorded(loop, dataclasses.replace(gate, authenticated=True), MINE).authenticated


class Namespaces:
    """An API server that is asked for namespaces."""

    def __init__(self, answer: Namespace | Exception | None) -> None:
        self.asked: list[str] = []
        self._answer = answer

    async def look(self, name: str) -> Namespace | None:
        """Answer as told."""
        self.asked.append(name)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def looking(gate: Gate, namespaces: Namespaces) -> Gate:
    """Return a gate that reads what its tree does not know."""
    return dataclasses.replace(gate, look=namespaces.look)


NEW = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-new"))


def test_a_namespace_that_cannot_be_read_is_not_called_unknown(loop: Loop, gate: Gate) -> None:
    """The API server does not answer: there is no decision, and the caller is told to try again."""
    response = validated(loop, looking(gate, Namespaces(ClusterError("the API server does not answer"))), NEW)
    assert (response["allowed"], response["status"]["code"]) == (False, 500)
    assert response["status"]["details"] == {"retryAfterSeconds": 1}
    assert "namespace checkout-new could not be read" in response["status"]["message"]


def test_a_namespace_that_nobody_knows_is_refused_by_the_rule(loop: Loop, gate: Gate) -> None:
    """The API server has none of this name either."""
    response = validated(loop, looking(gate, Namespaces(None)), NEW)
    assert (response["allowed"], response["status"]["code"]) == (False, 403)
    assert f"[{NAMESPACE_POLICY}]" in response["status"]["message"]


@pytest.mark.parametrize(("workspace", "allowed"), [("checkout", True), ("refunds", False)])
def test_a_namespace_that_was_not_seen_yet_is_read(loop: Loop, gate: Gate, workspace: str, *, allowed: bool) -> None:
    """Its own labels say whose it is, and it is asked for once."""
    namespaces = Namespaces(Namespace("checkout-new", owned(workspace)))
    assert validated(loop, looking(gate, namespaces), NEW)["allowed"] is allowed
    assert namespaces.asked == ["checkout-new"]


@pytest.mark.parametrize(
    "asked",
    [MINE, Asked(ADA, "CREATE", NAMESPACE, new=namespace("checkout-new", owned("checkout")))],
    ids=["known", "a namespace itself"],
)
def test_what_is_known_is_not_asked_for(loop: Loop, gate: Gate, asked: Asked) -> None:
    """Nobody waits for the API server where the tree knows, or where the object is in no namespace."""
    namespaces = Namespaces(ClusterError("nobody should ask"))
    assert validated(loop, looking(gate, namespaces), asked).get("status", {}).get("code") != 500
    assert namespaces.asked == []


def test_without_a_tree_nobody_is_asked(loop: Loop, gate: Gate) -> None:
    """There is no decision without it, whatever the API server knows."""
    namespaces = Namespaces(Namespace("checkout-new", owned("checkout")))
    bare = dataclasses.replace(looking(gate, namespaces), tree=lambda: None)
    assert validated(loop, bare, NEW)["status"]["code"] == 500
    assert namespaces.asked == []


def test_who_deletes_is_judged_by_where_the_object_stood(loop: Loop, gate: Gate) -> None:
    """A DELETE has no new object; the namespace of the old one is read."""
    namespaces = Namespaces(Namespace("checkout-new", owned("checkout")))
    asked = Asked(ADA, "DELETE", NETPOL, old=policy("checkout-new"))
    assert validated(loop, looking(gate, namespaces), asked)["allowed"]
    assert namespaces.asked == ["checkout-new"]


def test_an_api_server_that_does_not_answer_keeps_nobody_beyond_the_deadline(loop: Loop, gate: Gate) -> None:
    """The caller of the webhook waits for so long and no longer; it is told to try again."""

    async def for_ever(_: str) -> Namespace | None:
        await asyncio.Event().wait()
        return None

    begin = time.monotonic()
    answer = loop.run(dataclasses.replace(gate, look=for_ever).validate(orjson.dumps(NEW.review()), seconds=0.1))
    assert time.monotonic() - begin < 2
    response = response_of(answer)
    assert (response["allowed"], response["status"]["code"]) == (False, 500)
    assert response["status"]["details"] == {"retryAfterSeconds": 1}


def test_what_was_read_ahead_is_for_that_request_alone(loop: Loop, gate: Gate) -> None:
    """The next one asks again, until the watch has told: what was read then may have changed."""
    namespaces = Namespaces(Namespace("checkout-new", owned("checkout")))
    reading = looking(gate, namespaces)
    assert [validated(loop, reading, NEW)["allowed"] for _ in range(2)] == [True, True]
    assert namespaces.asked == ["checkout-new"] * 2


@pytest.mark.parametrize(
    "answer", [None, ClusterError("namespaces is forbidden", status=403)], ids=["none", "an-error"]
)
def test_break_glass_does_not_need_the_namespace(loop: Loop, gate: Gate, answer: Namespace | Exception | None) -> None:
    """Who mends the cluster is let in also where our own right to read it is what has to be mended."""
    asked = dataclasses.replace(NEW, caller=ROOT)
    assert validated(loop, looking(gate, Namespaces(answer)), asked)["allowed"]


# Pods.

NEW_POD = Asked(ADA, "CREATE", POD, new=pod("checkout-new"))


def test_a_pod_that_comes_before_its_baseline_is_asked_to_come_again(loop: Loop, gate: Gate) -> None:
    """In a namespace that the watch has not told of, of whose policies nothing is known either."""
    reading = looking(gate, Namespaces(Namespace("checkout-new", owned("checkout"))))
    status = validated(loop, reading, NEW_POD)["status"]
    assert (status["code"], status["reason"], status["details"]) == (500, "InternalError", {"retryAfterSeconds": 1})
    assert status["message"].startswith(
        "[baseline/pod-gate] ada may not create Pod checkout-new/web: the baseline of its namespace is not in place "
        "yet: zero-trust.default-deny is missing; zero-trust.allow-dns is missing. Portcullis is bringing it: "
    )


def test_a_pod_before_its_baseline_is_on_record_as_denied(loop: Loop, gate: Gate) -> None:
    """It was decided on, by the rule, though it may pass in a moment."""
    records: list[Record] = []
    validated(loop, dataclasses.replace(gate, record=records.append), POD_EARLY)
    assert [(each.verdict, each.rules) for each in records] == [("deny", (POD_GATE,))]


@pytest.mark.parametrize(("days", "allowed"), [(7, True), (-1, False), (31, False)], ids=["now", "over", "longer"])
def test_a_pod_starts_in_an_exempt_namespace(loop: Loop, gate: Gate, days: int, *, allowed: bool) -> None:
    """Until the end of the exemption; no pod on the network of its node does."""
    label, notes = exempt(days)
    reading = looking(gate, Namespaces(Namespace("checkout-new", owned("checkout", **label), notes)))
    assert validated(loop, reading, NEW_POD)["allowed"] is allowed
    hosted = Asked(ADA, "CREATE", POD, new=pod("checkout-new", hostNetwork=True))
    told = rules_in(validated(loop, reading, hosted)["status"]["message"])
    assert told == ({HOST_NETWORK} if allowed else {HOST_NETWORK, POD_GATE})


class Mending:
    """Brings what it is told to, and takes down for what it was asked."""

    def __init__(self, found: Cover) -> None:
        self.found = found
        self.gaps: list[tuple[Gap, float]] = []

    async def cover(self, gap: Gap, *, seconds: float) -> Cover:
        self.gaps.append((gap, seconds))
        return self.found


def test_what_lacks_is_brought_before_a_pod_is_judged(loop: Loop, gate: Gate) -> None:
    """In half of the time, where the pod is going to be, and stored or not as the request is; then it starts."""
    for dry_run in (False, True):
        mending = Mending(Cover())
        asked = dataclasses.replace(POD_EARLY, dry_run=dry_run)
        assert validated(loop, dataclasses.replace(gate, mender=mending), asked)["allowed"]
        ((gap, seconds),) = mending.gaps
        assert (gap.place.namespace, gap.dry_run) == ("checkout-dev", dry_run)
        assert 4 < seconds <= 5


def test_what_lacks_is_brought_to_a_namespace_that_the_watch_has_not_told_of(loop: Loop, gate: Gate) -> None:
    """It is read from the API server, and its policies are brought like any other's."""
    mending = Mending(Cover())
    reading = looking(gate, Namespaces(Namespace("checkout-new", owned("checkout"))))
    assert validated(loop, dataclasses.replace(reading, mender=mending), NEW_POD)["allowed"]
    ((gap, _),) = mending.gaps
    assert gap.tree.namespaces["checkout-new"].labels == owned("checkout")


def test_what_could_not_be_brought_keeps_the_gate_shut(loop: Loop, gate: Gate) -> None:
    """With the reason, and with a time to come again where that may help; break-glass passes."""
    for passing, code in ((True, 500), (False, 403)):
        mending = Mending(Cover(("a is missing",), hindered=("exceeded quota",), passing=passing))
        mended = dataclasses.replace(gate, mender=mending)
        status = validated(loop, mended, POD_EARLY)["status"]
        assert (status["code"], "details" in status) == (code, passing)
        assert "exceeded quota" in status["message"]
        assert validated(loop, mended, dataclasses.replace(POD_EARLY, caller=ROOT))["allowed"]


EXEMPTED = Namespace("checkout-new", owned("checkout", **exempt(7)[0]), exempt(7)[1])


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(MINE, id="a-policy"),
        pytest.param(Asked(ADA, "UPDATE", POD, new=pod("checkout-dev"), old=pod("checkout-dev")), id="a-pod-that-runs"),
        pytest.param(Asked(ADA, "DELETE", POD, old=pod("checkout-dev")), id="a-pod-that-goes"),
        pytest.param(Asked(ADA, "CREATE", POD, new=pod("checkout-dev"), subresource="x"), id="a-part-of-a-pod"),
        pytest.param(Asked(ADA, "CREATE", POD, new=pod("monitoring")), id="where-no-baseline-applies"),
        pytest.param(Asked(ADA, "CREATE", POD, new=pod("nowhere")), id="nowhere"),
        pytest.param(NEW_POD, id="where-it-is-exempt"),
    ],
)
def test_nothing_is_brought_for_anything_else(loop: Loop, gate: Gate, asked: Asked) -> None:
    """Only a new pod waits for what lacks in its namespace."""
    mending = Mending(Cover())
    exempted = looking(gate, Namespaces(EXEMPTED if asked is NEW_POD else None))
    validated(loop, dataclasses.replace(exempted, mender=mending), asked)
    assert mending.gaps == []


def test_nothing_is_brought_to_be_stamped(loop: Loop, gate: Gate) -> None:
    """Nor while there is no tree."""
    mending = Mending(Cover())
    mended = dataclasses.replace(gate, mender=mending)
    loop.run(mended.mutate(orjson.dumps(POD_EARLY.review()), seconds=10))
    treeless = dataclasses.replace(mended, tree=lambda: None)
    assert validated(loop, treeless, POD_EARLY)["status"]["code"] == 500
    assert mending.gaps == []


@pytest.mark.parametrize(
    ("asked", "count", "beside"),
    [
        pytest.param(MINE, MANY, False, id="few-policies"),
        pytest.param(MINE, MANY + 1, True, id="one-of-many-policies"),
        pytest.param(STEALS, MANY + 1, True, id="a-namespace-of-many-policies"),
        pytest.param(POD_EARLY, MANY + 1, False, id="a-pod-which-is-not-compared-with-them"),
    ],
)
def test_one_of_many_policies_is_read_beside_the_others(
    gate: Gate, loop: Loop, tree: Tree, asked: Asked, count: int, *, beside: bool
) -> None:
    """What a tenant has piled up in a namespace keeps nobody else waiting: its turn comes when there is a place."""
    crowded = dataclasses.replace(
        tree, _policies={"checkout-dev": tuple(Policy("checkout-dev", f"p{index}", {}, {}) for index in range(count))}
    )
    full = dataclasses.replace(gate, tree=lambda: crowded, large=asyncio.Semaphore(0))
    response = response_of(loop.run(full.validate(orjson.dumps(asked.review()), seconds=0.5)))
    assert ("could not be gathered" in response.get("status", {}).get("message", "")) == beside, response
