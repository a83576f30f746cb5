"""Reports say what is found: bounded, written where it changed, gone with what they told, and in nobody's way."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Call, Memory, until
from webhook.cluster.resource import DEFINITIONS
from webhook.errors import ClusterError
from webhook.scan.finding import Action, Finding, Thing, namespace_thing
from webhook.scan.report import (
    LEFT_OUT,
    MOST_RESULTS,
    OPENREPORTS,
    WGPOLICYK8S,
    Form,
    content_of,
    manifest,
    read_content,
)
from webhook.scan.reports import Pace, Reports
from webhook.scan.unruled import UNDECIDED

REPORT, CLUSTER_REPORT = OPENREPORTS.namespaced, OPENREPORTS.cluster
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEFINITION = {"metadata": {"name": REPORT.definition}}


def finding(name: str = "web", action: Action = "enforce", severity: str = "high", place: str = "dev") -> Finding:
    thing = Thing(place, "NetworkPolicy", name, "networking.k8s.io/v1")
    return Finding("guardrail/to-anywhere", "No way out", severity, "opens", action, thing, (thing,))


def unowned(place: str) -> Finding:
    return Finding("scan/unowned", "Nobody owns it", "low", "unowned", "none", namespace_thing(place))


# What a report says.


def test_a_result_says_what_was_found_in_what() -> None:
    """By the fields that both forms have; another form has other severities."""
    other = Thing("dev", "NetworkPolicy", "other", "networking.k8s.io/v1")
    first = finding(severity="critical")
    found = Finding(**{each: getattr(first, each) for each in first.__slots__} | {"policies": (first.thing, other)})
    report = manifest(REPORT, "dev", content_of(OPENREPORTS, [found], 3).dated(None, NOW))
    reference = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "namespace": "dev"}
    assert report == {
        "apiVersion": "openreports.io/v1alpha1",
        "kind": "Report",
        "metadata": {
            "name": "portcullis",
            "namespace": "dev",
            "labels": {"app.kubernetes.io/managed-by": "portcullis"},
        },
        "scope": {"apiVersion": "v1", "kind": "Namespace", "name": "dev"},
        "summary": {"pass": 3, "fail": 1, "warn": 0, "error": 0, "skip": 0},
        "results": [
            {
                "source": "portcullis",
                "policy": "guardrail/to-anywhere",
                "rule": "to-anywhere",
                "category": "guardrail",
                "severity": "critical",
                "result": "fail",
                "scored": True,
                "message": "opens",
                "resources": [{**reference, "name": "web"}, {**reference, "name": "other"}],
                "properties": {
                    "fingerprint": found.fingerprint,
                    "action": "enforce",
                    "severity": "critical",
                    "title": "No way out",
                },
                "timestamp": {"seconds": 1795262400, "nanos": 0},
            }
        ],
    }
    (result,) = content_of(WGPOLICYK8S, [found], 0).results.values()
    assert (result["severity"], result["properties"]["severity"]) == ("high", "critical")
    (result,) = content_of(OPENREPORTS, [finding(severity="catastrophic")], 0).results.values()
    assert "severity" not in result


@pytest.mark.parametrize(
    ("found", "result", "scored"),
    [
        pytest.param(finding(action="enforce"), "fail", True, id="refused"),
        pytest.param(finding(action="warn"), "warn", False, id="warned"),
        pytest.param(finding(action="audit"), "warn", False, id="audited"),
        pytest.param(unowned("dev"), "warn", False, id="unowned"),
        pytest.param(Finding(UNDECIDED, "", "high", "", "enforce", namespace_thing("dev")), "error", True, id="error"),
    ],
)
def test_what_comes_of_a_finding(found: Finding, result: str, scored: bool) -> None:  # noqa: FBT001 - a column
    """What fails is what would be refused today; what is softened is not scored."""
    content = content_of(OPENREPORTS, [found], 0)
    (told,) = content.results.values()
    assert (told["result"], told["scored"], content.summary[result]) == (result, scored, 1)


def test_a_report_is_bounded() -> None:
    """The worst stand in it, and how many do not; all are counted."""
    content = content_of(OPENREPORTS, [finding(f"p{index}") for index in range(MOST_RESULTS + 50)], 1)
    report = manifest(REPORT, "dev", content)
    assert len(report["results"]) == MOST_RESULTS
    assert report["summary"]["fail"] == MOST_RESULTS + 50
    assert report["metadata"]["annotations"] == {LEFT_OUT: "50"}
    assert content.says(read_content(report))


def test_what_is_still_found_keeps_its_time() -> None:
    """A report that is read says what was written, and gives each result the time at which it was found."""
    first = content_of(OPENREPORTS, [finding("a")], 0).dated(None, NOW)
    stored = read_content(manifest(REPORT, "dev", first))
    assert content_of(OPENREPORTS, [finding("a")], 0).says(stored)
    both = content_of(OPENREPORTS, [finding("a"), finding("b")], 0)
    assert not both.says(stored)
    later = NOW.replace(hour=13)
    times = [each["timestamp"]["seconds"] for each in both.dated(stored, later).results.values()]
    assert times == [int(NOW.timestamp()), int(later.timestamp())]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda it: it["results"].append({"policy": "theirs"}), id="a result of another's"),
        pytest.param(lambda it: it["results"].clear(), id="no result"),
        pytest.param(lambda it: it["results"][0].update(message="well"), id="another message"),
        pytest.param(lambda it: it["results"].reverse(), id="another order"),
        pytest.param(lambda it: it.update(summary={"pass": 9}), id="another summary"),
        pytest.param(lambda it: it.pop("summary"), id="no summary"),
        pytest.param(lambda it: it["metadata"].update(annotations={LEFT_OUT: "many"}), id="another count"),
        pytest.param(lambda it: it["metadata"].update(annotations={LEFT_OUT: "9" * 5000}), id="a count too large"),
    ],
)
def test_what_somebody_changed_in_a_report_is_seen(change: Callable[[Json], object]) -> None:
    """So that it is written again."""
    content = content_of(OPENREPORTS, [finding("a"), finding("b")], 0).dated(None, NOW)
    report = copy.deepcopy(manifest(REPORT, "dev", content))
    change(report)
    assert not content.says(read_content(report))


# How they are kept.


class Cluster(Memory):
    """An API server that lists what it serves."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = 0

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Json:  # noqa: ARG002
        self.lists += 1
        *_, group, _, plural = path.split("/")
        if ("customresourcedefinitions", "", REPORT.definition) not in self.stored and group == REPORT.group:
            raise ClusterError(f"GET {path}: the server could not find the requested resource", status=404)
        items = [each for (kind, _, name), each in self.stored.items() if (kind, name) == (plural, "portcullis")]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def define(self) -> None:
        """Let the definition of reports stand."""
        self.put(DEFINITIONS, DEFINITION)

    def writes(self) -> list[tuple[str, str]]:
        """Return what was done to the reports of which namespaces."""
        return [(each.verb, each.namespace) for each in self.calls if each.plural.endswith("reports")]


QUICK = Pace(pause=0, every=0.01, again=(0.05, 0.05), served=(0.01, 0.05))


@asynccontextmanager
async def keeping(cluster: Cluster, reports: Reports) -> AsyncIterator[None]:
    """Keep reports, which must not end by itself."""
    task = asyncio.create_task(reports.run())
    try:
        yield
        await asyncio.sleep(0.05)
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert cluster.events


def kept(script: Callable[[Cluster, Reports], Awaitable[None]], *, defined: bool = True, pace: Pace = QUICK) -> Cluster:
    """Do something while reports are kept."""
    cluster = Cluster()
    if defined:
        cluster.define()
    reports = Reports(cluster, OPENREPORTS, pace)

    async def main() -> None:
        async with keeping(cluster, reports):
            await script(cluster, reports)

    asyncio.run(main())
    return cluster


def test_a_report_comes_changes_and_goes() -> None:
    """Where nothing is found there is none; where the same is found nothing is written."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        reports.tell("well", (), 3)
        reports.tell("dev", (finding(),), 3)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
        reports.tell("dev", (finding(),), 3)
        reports.tell("dev", (finding(), finding("other")), 3)
        await until(lambda: len((cluster.find(REPORT, "portcullis", "dev") or {})["results"]) == 2)
        reports.tell("dev", (), 3)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is None)

    assert kept(script).writes() == [("apply", "dev"), ("apply", "dev"), ("delete", "dev")]


def test_namespaces_are_told_of_in_one_report() -> None:
    """What is found of a Namespace itself stands in the one on all of them, and goes with it."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        def told() -> list[str]:
            report = cluster.find(CLUSTER_REPORT, "portcullis") or {"results": []}
            return [each["resources"][0]["name"] for each in report["results"]]

        reports.tell("one", (unowned("one"),), 1)
        reports.tell("two", (unowned("two"),), 1)
        reports.tell("well", (), 1)
        await until(lambda: told() == ["one", "two"])
        assert (cluster.find(CLUSTER_REPORT, "portcullis") or {})["summary"] == {
            "pass": 1,
            "fail": 0,
            "warn": 2,
            "error": 0,
            "skip": 0,
        }
        reports.forget("one")
        await until(lambda: told() == ["two"])
        reports.tell("two", (), 1)
        await until(lambda: cluster.find(CLUSTER_REPORT, "portcullis") is None)

    assert {namespace for _, namespace in kept(script).writes()} == {""}


def test_reports_wait_for_their_definition() -> None:
    """Nothing is asked of a cluster that knows none; they come with it, and with the next one after it was gone."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        reports.tell("dev", (finding(),), 2)
        await asyncio.sleep(0.05)
        assert (cluster.lists, cluster.writes()) == (0, [])
        for _ in range(2):
            cluster.define()
            await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
            cluster.remove(DEFINITIONS, REPORT.definition)
            cluster.remove(REPORT, "portcullis", "dev")
            await asyncio.sleep(0.05)

    kept(script, defined=False)


def test_what_a_former_leader_left_is_brought_up_to_date() -> None:
    """Its reports are read: one that is right is left alone, one that has nothing to say goes, others' stay."""
    cluster = Cluster()
    cluster.define()
    for place in ("same", "well", "unjudged"):
        content = content_of(OPENREPORTS, [finding(place=place)], 0).dated(None, NOW)
        cluster.put(REPORT, manifest(REPORT, place, content))
    foreign = {"metadata": {"name": "portcullis", "namespace": "foreign"}, "results": []}
    cluster.put(REPORT, foreign)
    reports = Reports(cluster, OPENREPORTS, QUICK)

    async def main() -> None:
        async with keeping(cluster, reports):
            reports.tell("same", (finding(place="same"),), 2)
            reports.tell("well", (), 1)
            reports.tell("foreign", (), 1)
            await until(lambda: cluster.find(REPORT, "portcullis", "well") is None)

    asyncio.run(main())
    assert cluster.writes() == [("delete", "well")]


def test_one_that_cannot_be_written_is_in_nobodys_way() -> None:
    """It is tried again later; the others are written meanwhile."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        refusing = True

        async def refuse(call: Call) -> None:
            if call.namespace == "full" and refusing:
                raise ClusterError("exceeded quota: reports", status=403, reason="Forbidden")

        cluster.before = refuse
        reports.tell("full", (finding(place="full"),), 2)
        reports.tell("dev", (finding(),), 2)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
        assert cluster.find(REPORT, "portcullis", "full") is None
        refusing = False
        await until(lambda: cluster.find(REPORT, "portcullis", "full") is not None)

    kept(script)


def test_a_namespace_that_is_gone_or_ends_is_let_go() -> None:
    """Its report goes with it, and nothing is tried again."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        async def refuse(call: Call) -> None:
            if call.namespace == "gone":
                raise ClusterError('namespaces "gone" not found', status=404, reason="NotFound")
            if call.namespace == "ends":
                what = "unable to create new content in namespace ends because it is being terminated"
                raise ClusterError(what, status=403, reason="Forbidden")

        cluster.before = refuse
        for place in ("gone", "ends", "dev"):
            reports.tell(place, (finding(place=place),), 2)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
        await asyncio.sleep(0.2)

    assert sorted(kept(script).writes()) == [("apply", "dev"), ("apply", "ends"), ("apply", "gone")]


def test_one_that_somebody_wrote_to_is_deleted_all_the_same() -> None:
    """After a look at what it is now."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        reports.tell("dev", (finding(),), 2)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
        stored = cluster.find(REPORT, "portcullis", "dev")
        assert stored
        cluster.put(REPORT, {**stored, "summary": {"pass": 100}})
        reports.tell("dev", (), 1)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is None)

    kept(script)


def test_one_that_somebody_deleted_comes_back() -> None:
    """When it is seen anew which stand."""

    async def script(cluster: Cluster, reports: Reports) -> None:
        reports.tell("dev", (finding(),), 2)
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)
        cluster.remove(REPORT, "portcullis", "dev")
        await until(lambda: cluster.find(REPORT, "portcullis", "dev") is not None)

    kept(script, pace=Pace(pause=0, every=0.01, read=(0.1, 0.1)))


@pytest.mark.parametrize("form", [OPENREPORTS, WGPOLICYK8S], ids=["openreports", "wgpolicyk8s"])
def test_a_form_names_its_kinds(form: Form) -> None:
    """A kind for a namespace and one for the cluster, of one API."""
    assert form.namespaced.namespaced
    assert not form.cluster.namespaced
    assert form.namespaced.api_version == form.cluster.api_version
    assert form.cluster.kind == f"Cluster{form.namespaced.kind}"
