"""Other policies on disk: they decide a few seconds later, and no answer in between is wrong."""

import asyncio
import re
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
import uvloop
from prometheus_client import CollectorRegistry

from tests.cases.reviews import ADA, NETPOL, Asked, Json, policy
from webhook.admission import Gate
from webhook.app import OpaMetrics
from webhook.cli.engine import Own, RemoteOpa, Source
from webhook.cli.reloading import Pace, Reloading
from webhook.cli.starting import Binary, EngineName, Running, Start, start_of, start_of_opa
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import LocalOpa
from webhook.decision.process import Bounds, OpaProcess
from webhook.history.record import Record
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.tree import Tree

MINE = Asked(ADA, "CREATE", NETPOL, new=policy("checkout-dev"))
LOADED = "portcullis_policy_reloads_total"
QUICK = Pace(look=0.05, still=2, still_without=4)
REFUSAL = """# METADATA
# title: No web
# description: Nobody has a policy of the name web.
# custom:
#   severity: low
#   remediation: Take another name.
package portcullis.rules.extra.no_web

import data.portcullis.result

deny contains violation if {
	input.object.metadata.name == "web"
	violation := result.violation(rego.metadata.chain(), "there is no web")
}
"""


class Policies:
    """A folder of policies that is changed in one step, as a ConfigMap's volume is: a symbolic link is replaced."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "current"
        self._place = place
        self._number = 0
        self.others = {each.pid for each in psutil.Process().children()}
        self.publish(refuses=False)

    def publish(self, *, refuses: bool, spoil: Callable[[Path], object] = lambda _: None) -> None:
        """Put other policies there, of which MINE is refused or not."""
        self._number += 1
        made = Path(shutil.copytree(bundled_policies(), self._place / str(self._number)))
        (made / "portcullis" / "number.rego").write_text(f"package portcullis.number\n\nnumber := {self._number}\n")
        if refuses:
            rule = made / "portcullis" / "rules" / "extra" / "no_web" / "no_web.rego"
            rule.parent.mkdir(parents=True)
            rule.write_text(REFUSAL)
        spoil(made / "portcullis")
        link = self._place / "next"
        link.symlink_to(made)
        link.replace(self.folder)

    @property
    def revision(self) -> str:
        """The revision of those that are there."""
        return read_policies(self.folder).policies.revision


@dataclass(frozen=True)
class World:
    """A gate whose policies are looked after."""

    policies: Policies
    gate: Gate
    source: Source
    reloading: Reloading
    registry: CollectorRegistry

    async def ask(self) -> Json:
        """Return the response to MINE."""
        response: Json = orjson.loads(await self.gate.validate(orjson.dumps(MINE.review()), seconds=20))["response"]
        return response

    async def until_decided_by(self, revision: str) -> None:
        await until(lambda: self.gate.policies.revision == revision)

    def count(self, name: str, **labels: str) -> float:
        """Return a figure of /metrics."""
        return self.registry.get_sample_value(name, labels) or 0


async def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.01)


def ignore(_: Record | str) -> None:
    """Keep nothing."""


@asynccontextmanager
async def kept(policies: Policies, source: Source, tree: Tree, pace: Pace = QUICK) -> AsyncIterator[World]:
    """Look after the policies for the length of the context."""
    registry = CollectorRegistry()
    reloading = Reloading(source, policies.folder, OpaMetrics(registry), pace)
    gate = Gate(source.engine, lambda: tree, BREAK_GLASS_GROUPS, ignore)
    await source.ready()
    task = asyncio.create_task(reloading.run())
    try:
        yield World(policies, gate, source, reloading, registry)
    finally:
        assert not task.done(), "it is to go on for ever"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def own(
    policies: Policies, opa_binary: Path, tree: Tree, *, pace: Pace = QUICK, start: Start | None = None
) -> AsyncIterator[World]:
    """The same with an engine of our own, an OPA unless told otherwise."""
    source = Own(start or start_of_opa(None, Binary({"PORTCULLIS_OPA": str(opa_binary)})))
    await source.begin(read_policies(policies.folder))
    try:
        async with kept(policies, source, tree, pace) as world:
            yield world
    finally:
        await source.end()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a test on the loop of `serve`."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@pytest.fixture
def policies(tmp_path: Path) -> Policies:
    return Policies(tmp_path)


def opas(policies: Policies) -> list[psutil.Process]:
    """Return the OPAs that were started for these policies, or later, and that run; other tests share theirs."""
    children = [each for each in psutil.Process().children() if each.pid not in policies.others]
    return [each for each in children if each.status() != psutil.STATUS_ZOMBIE and "--ready-timeout" in each.cmdline()]


@pytest.mark.parametrize(("engine", "times"), [("opa", 20), ("wasm", 6)])
def test_every_answer_during_reloads_is_right(
    policies: Policies, opa_binary: Path, tree: Tree, engine: EngineName, times: int
) -> None:
    """Clients that never pause get answers of the old or of the new revision, right for that one, and no error."""
    verdicts: dict[str, bool] = {}
    answers: Counter[tuple[str, bool, int]] = Counter()

    async def client(world: World) -> None:
        while True:
            # As between two requests of a connection: an engine in-process never waits by itself.
            await asyncio.sleep(0.001)
            response = await world.ask()
            code = response.get("status", {}).get("code", 200)
            answers[response["auditAnnotations"]["policy-revision"], response["allowed"], code] += 1

    async def main() -> None:
        async with own(policies, opa_binary, tree, start=start_of(engine, None)) as world:
            verdicts[world.gate.policies.revision] = True
            clients = [asyncio.create_task(client(world)) for _ in range(4)]
            for number in range(times):
                refuses = number % 2 == 0
                policies.publish(refuses=refuses)
                verdicts[policies.revision] = not refuses
                await world.until_decided_by(policies.revision)
            # The last answers are of the last policies.
            before = answers.total()
            await until(lambda: answers.total() > before + 10)
            for each in clients:
                each.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await until(lambda: len(opas(policies)) == (engine == "opa"))
            assert world.count("portcullis_engine_info", engine=engine) == 1
            assert world.count(LOADED, outcome="loaded") == times
            assert world.count(LOADED, outcome="refused") == 0
            assert world.count("portcullis_policies_info", revision=world.gate.policies.revision) == 1

    run(main())
    assert opas(policies) == []
    wrong = {
        each: count
        for each, count in answers.items()
        if (each[1], each[2]) != ((True, 200) if verdicts[each[0]] else (False, 403))
    }
    assert wrong == {}
    assert {revision for revision, _, _ in answers} == set(verdicts), "each of them decided"


def broken(folder: Path) -> None:
    """Leave Rego that no OPA can read."""
    (folder / "number.rego").write_text("package portcullis.number\n\nnumber := \n")


def calling(folder: Path) -> None:
    """Leave Rego that calls out."""
    text = 'package portcullis.number\n\nnumber := http.send({"method": "GET", "url": "http://localhost"})\n'
    (folder / "number.rego").write_text(text)


def undecided(folder: Path) -> None:
    """Leave Rego that passes its checks and gives no decision."""
    (folder / "shipped" / "shipped.rego").write_text('package portcullis.shipped\n\nrevision := "r" if input.never\n')


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no Rego": (broken, "opa check found:.*number.rego"),
    "Rego that calls out": (calling, "undefined function http.send"),
    "no decision": (undecided, "OPA's decision is undefined|opa check found"),
    "no mutation": (lambda folder: shutil.rmtree(folder / "mutate"), "OPA's decision is undefined"),
    "no rules": (lambda folder: shutil.rmtree(folder / "rules"), "there is no rule in"),
    "nothing": (shutil.rmtree, "there is no rule in"),
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILT.values(), ids=SPOILT.keys())
def test_policies_that_are_broken_change_nothing(
    spoil: Callable[[Path], object], reason: str, policies: Policies, opa_binary: Path, tree: Tree
) -> None:
    """The former ones decide on; why is in the notes and counted once; whole ones after them are loaded."""

    async def main() -> None:
        async with own(policies, opa_binary, tree) as world:
            former = world.gate.policies.revision
            policies.publish(refuses=False, spoil=spoil)
            await until(lambda: world.reloading.notes() != [])
            note = " ".join(world.reloading.notes()[0].split())
            assert note.startswith(f"policies: what is in {policies.folder} does not decide: ")
            assert re.search(reason, note)
            assert world.gate.policies.revision == former
            assert (await world.ask())["allowed"]
            assert len(opas(policies)) == 1
            await asyncio.sleep(0.5)
            assert world.count(LOADED, outcome="refused") == 1
            policies.publish(refuses=True)
            await world.until_decided_by(policies.revision)
            assert not (await world.ask())["allowed"]
            await until(lambda: world.reloading.notes() == [])

    run(main())


def test_policies_that_are_being_written_are_waited_for(policies: Policies, opa_binary: Path, tree: Tree) -> None:
    """What changes from look to look is nobody's policy yet; once it stands still it is loaded, once."""
    file = policies.folder / "portcullis" / "number.rego"

    async def main() -> None:
        async with own(policies, opa_binary, tree, pace=Pace(look=0.3)) as world:
            former = world.gate.policies.revision
            for number in range(100, 150):
                write(file, number)
                await asyncio.sleep(0.05)
                assert world.gate.policies.revision == former
            await until(lambda: world.count(LOADED, outcome="loaded") == 1)
            assert world.gate.policies.revision == policies.revision

    run(main())


def write(file: Path, number: int) -> None:
    file.write_text(f"package portcullis.number\n\nnumber := {number}\n")


def test_a_rule_that_is_gone_for_a_moment_is_not_missed(policies: Policies, opa_binary: Path, tree: Tree) -> None:
    """Whoever replaces a folder by hand takes rules away first: what they refuse is let in only if that stays so."""
    policies.publish(refuses=True)
    rule = policies.folder / "portcullis" / "rules" / "extra"
    pace = Pace(look=0.05, still=2, still_without=40)

    async def main() -> None:
        async with own(policies, opa_binary, tree, pace=pace) as world:
            away = rule.rename(rule.parent.parent.parent / "away")
            for _ in range(10):
                assert not (await world.ask())["allowed"]
                await asyncio.sleep(0.1)
            away.rename(rule)
            await asyncio.sleep(0.3)
            assert world.count(LOADED, outcome="loaded") == 0
            shutil.rmtree(rule)
            await until(lambda: world.count(LOADED, outcome="loaded") == 1)
            assert (await world.ask())["allowed"]

    run(main())


def test_the_opa_that_goes_gives_the_answers_that_it_owes(policies: Policies, opa_binary: Path, tree: Tree) -> None:
    """A request that waits for the old OPA while a new one takes its place is answered by the old one."""

    @asynccontextmanager
    async def patient(bundle: Bundle) -> AsyncIterator[Running]:
        bounds = Bounds(silent=1000)
        async with (
            OpaProcess(opa_binary, bundle.signed(), log=ignore, bounds=bounds) as process,
            LocalOpa(socket=process.socket) as opa,
        ):
            yield Running(opa, "opa", process)

    async def main() -> None:
        async with own(policies, opa_binary, tree, start=patient) as world:
            await until(lambda: world.count("portcullis_opa_up") == 1)
            former, old = world.gate.policies.revision, opas(policies)[0]
            old.suspend()
            waiting = asyncio.create_task(world.ask())
            await asyncio.sleep(0.05)
            policies.publish(refuses=True)
            await world.until_decided_by(policies.revision)
            assert not (await world.ask())["allowed"]
            assert not waiting.done()
            old.resume()
            response = await waiting
            assert (response["allowed"], response["auditAnnotations"]["policy-revision"]) == (True, former)
            await until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE)

    run(main())


def test_it_says_whether_opa_decides(policies: Policies, opa_binary: Path, tree: Tree) -> None:
    """The gauge follows OPA down and up again."""

    async def main() -> None:
        async with own(policies, opa_binary, tree) as world:
            await until(lambda: world.count("portcullis_opa_up") == 1)
            opas(policies)[0].send_signal(signal.SIGKILL)
            await until(lambda: world.count("portcullis_opa_up") == 0)
            assert "it died: it ended with -9" in world.source.trouble
            await until(lambda: world.count("portcullis_opa_up") == 1 and not world.source.trouble)

    run(main())


def test_an_opa_of_others_is_believed_once_it_has_the_same_policies(
    policies: Policies, opa_binary: Path, tree: Tree, tmp_path: Path
) -> None:
    """
    What it decides by other policies than ours is refused, whichever of the two changed first.

    The policies on disk count once it has them, so that while only they have changed it decides on as before.
    """

    async def main() -> None:
        async with LocalOpa(socket=tmp_path / "opa.sock") as opa:
            source = RemoteOpa(opa, read_policies(policies.folder))
            async with kept(policies, source, tree) as world:
                denial = await world.ask()
                assert (denial["allowed"], denial["status"]["code"]) == (False, 500)
                assert denial["status"]["details"] == {"retryAfterSeconds": 1}
                async with remote(opa_binary, policies.folder, tmp_path / "opa.sock"):
                    await until(lambda: world.count("portcullis_opa_up") == 1)
                    assert (await world.ask())["allowed"]
                    policies.publish(refuses=True)
                    await until(lambda: world.reloading.notes() != [])
                    assert "OPA has another revision of the policies" in world.reloading.notes()[0]
                    assert (await world.ask())["allowed"]
                async with remote(opa_binary, policies.folder, tmp_path / "opa.sock"):
                    await world.until_decided_by(policies.revision)
                    assert (await world.ask())["status"]["code"] == 403
                    assert world.reloading.notes() == []

    run(main())


@asynccontextmanager
async def remote(opa_binary: Path, folder: Path, socket: Path) -> AsyncIterator[None]:
    """Run an OPA on the policies of a folder, as others would, at `socket`."""
    async with OpaProcess(opa_binary, read_policies(folder).signed(), log=ignore) as process:
        await process.ready()
        point(socket, process.socket)
        yield


def point(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
