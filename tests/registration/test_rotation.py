"""Replicas that rotate a CA in any order, killed at any point of it: none serves what the API server distrusts."""

import asyncio
import base64
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import certs
from tests.cluster.memory import Memory
from webhook.cluster.resource import MUTATING, SECRETS, VALIDATING
from webhook.model import HOME
from webhook.registration.hooks import Callee, bundles, read_shipped
from webhook.registration.keeper import Conditions, Keeper
from webhook.registration.secret import NAME, SharedCertificate
from webhook.registration.stored import ANEW
from webhook.registration.trust import SETTLE_SECONDS, Trust
from webhook.settings import bundled_webhooks

SHIPPED = read_shipped(bundled_webhooks().read_text())
KINDS = (MUTATING, VALIDATING)
HOSTS = ("portcullis.portcullis-system.svc", "127.0.0.1")
BEGIN = datetime(2026, 11, 21, 12, tzinfo=UTC)
LAG_SECONDS = 3
"""After how long at most an API server has heard of a change; less than what is waited for."""
CERT_MANAGER = {"cert-manager.io/certificate-name": "portcullis"}


def files_of(memory: Memory) -> dict[str, bytes]:
    """Return what the Secret holds, nothing where there is none."""
    secret = memory.find(SECRETS, NAME, HOME) or {"data": {}}
    return {name: base64.b64decode(content) for name, content in secret["data"].items()}


def put(memory: Memory, files: dict[str, bytes], **annotations: str) -> None:
    """Have the Secret hold these, whatever it held."""
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    memory.put(SECRETS, {"metadata": {"name": NAME, "namespace": HOME, "annotations": annotations}, "data": data})


def issued(now: datetime, authority: certs.Pair | None = None) -> dict[str, bytes]:
    """Return a whole set."""
    ca = authority or certs.issue_authority(now=now)
    leaf = certs.issue_serving(ca, HOSTS, now=now)
    return {"ca.crt": ca.certificate, "ca.key": ca.key, "tls.crt": leaf.certificate, "tls.key": leaf.key}


@dataclass
class Replica:
    """A process: what it keeps, and what its server has loaded."""

    world: "World"
    folder: Path
    served: bytes = b""
    since: float = 0.0
    keeper: Keeper = field(init=False)
    shared: SharedCertificate = field(init=False)

    async def start(self) -> None:
        """Begin, in the folder as it is; that takes longer than an API server needs to hear of what stood before."""
        self.served = b""
        self.since = math.inf
        self.keeper = Keeper(self.world.memory, SHIPPED, self.callee)
        self.world.pass_time(LAG_SECONDS + 1)
        trust = Trust(tuple(each.kind for each in KINDS), clock=lambda: self.world.seconds)
        self.keeper = Keeper(self.world.memory, SHIPPED, self.callee, trust=trust)
        self.shared = SharedCertificate.of(
            self.world.memory, self.folder, HOSTS, trust=trust, now=lambda: self.world.now
        )
        await self.shared.sync()
        self.load()
        self.since = self.world.seconds

    def callee(self) -> Callee:
        return Callee(self.shared.authority(), tolerated=self.shared.tolerated())

    def load(self) -> None:
        """Load what is in the folder."""
        self.served = certs.contents(self.folder)["tls.crt"]

    def hear(self) -> None:
        """Hear from the watches of the webhook objects."""
        for each in KINDS:
            self.keeper.take(each.kind, self.world.memory.find(each, "portcullis"))

    async def keep(self) -> None:
        """Write the webhook objects where they are not right, for all that is known of them."""
        if self.keeper.told:
            await self.keeper._keep(Conditions(lambda: True, _at_once, self.shared.sync))

    def called(self) -> bool:
        """Say whether it is called: ready for as long as it takes until that is known."""
        if not self.keeper.told or self.shared.untrusted():
            self.since = self.world.seconds
        return self.world.seconds - self.since > LAG_SECONDS


async def _at_once() -> None:
    """Answer."""


@dataclass
class World:
    """The Secret, the webhook objects, what an API server has heard of them, and the replicas."""

    root: Path
    chance: random.Random
    memory: Memory = field(default_factory=Memory)
    replicas: list[Replica] = field(default_factory=list)
    seconds: float = 1000.0
    heard: list[tuple[float, frozenset[bytes]]] = field(default_factory=list)
    made: int = 0

    @property
    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds)

    def folder(self) -> Path:
        self.made += 1
        path = self.root / str(self.made)
        path.mkdir()
        return path

    async def begin(self, count: int) -> None:
        """Start replicas and let them come to rest."""
        self.replicas = [Replica(self, self.folder()) for _ in range(count)]
        for each in self.replicas:
            await each.start()
            each.shared._begun = -math.inf
        await self.rest()

    async def rest(self, seconds: int = 16, *, checked: bool = True) -> None:
        """Let everything happen that has to."""
        for _ in range(seconds):
            self.pass_time(1)
            for each in self.replicas:
                each.hear()
                await each.shared.sync()
                await each.keep()
            if checked:
                self.check()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in which every server looks at its folder."""
        self.seconds += seconds
        for each in self.replicas:
            if each.served:
                each.load()
        self.listen()

    def listen(self) -> None:
        """Take down how the webhook objects stand."""
        stored = [thing for each in KINDS if (thing := self.memory.find(each, "portcullis"))]
        now = frozenset[bytes]().union(*map(bundles, stored))
        if not self.heard or self.heard[-1][1] != now:
            self.heard.append((self.seconds, now))
        while len(self.heard) > 1 and self.heard[1][0] < self.seconds - LAG_SECONDS:
            self.heard.pop(0)

    def check(self) -> None:
        """Fail where a replica that is called serves what an API server may not trust."""
        self.listen()
        for replica in self.replicas:
            if replica.called():
                for _, trusted in self.heard:
                    for each in trusted:
                        assert certs.anchors(replica.served, each, now=self.now), self.replicas.index(replica)

    def settled(self) -> bool:
        """Say whether all serve what the Secret holds, by a CA of the Secret's that signs from now on."""
        files = files_of(self.memory)
        trusted = {each for kind in KINDS for each in bundles(self.memory.find(kind, "portcullis") or {})}
        same = {each.served for each in self.replicas} == {files["tls.crt"]}
        needed = set(certs.readable(files["ca.crt"]))
        return (
            same
            and all(needed <= set(certs.readable(each)) for each in trusted)
            and certs.signed_with(files, files["ca.key"])
        )


def running(tmp_path: Path, script: Callable[[World], Awaitable[None]], *, seed: int = 0, count: int = 3) -> World:
    """Run a script on replicas that have come to rest."""
    world = World(tmp_path, random.Random(seed))  # noqa: S311 - no secret

    async def main() -> None:
        await world.begin(count)
        assert world.settled()
        await script(world)

    asyncio.run(main())
    return world


async def disturbed(world: World, disturb: Callable[[], None], actions: int = 80) -> None:
    """Do what processes do in any order, kill some, and disturb them once in a while."""
    for _ in range(actions):
        replica = world.chance.choice(world.replicas)
        match world.chance.choice(["hear", "hear", "sync", "sync", "keep", "keep", "time", "time", "kill", "disturb"]):
            case "hear":
                replica.hear()
            case "sync":
                await replica.shared.sync()
            case "keep":
                # Nobody is deaf for longer than an API server may be.
                replica.hear()
                await replica.keep()
            case "time":
                world.pass_time(world.chance.choice([0.2, 1, 2]))
            case "kill":
                if world.chance.random() < 0.3:
                    replica.folder = world.folder()
                await replica.start()
            case _:
                if world.chance.random() < 0.3:
                    disturb()
        world.check()


@pytest.mark.parametrize("seed", range(6))
def test_a_ca_is_rotated_in_any_order(tmp_path: Path, seed: int) -> None:
    """Asked for again and again, by replicas that are killed at any point: it ends with a new one that all serve."""

    async def script(world: World) -> None:
        before = files_of(world.memory)

        def disturb() -> None:
            put(world.memory, files_of(world.memory), **{ANEW: "now"})

        disturb()
        await disturbed(world, disturb)
        await world.rest()
        assert world.settled()
        assert files_of(world.memory)["ca.key"] != before["ca.key"]

    running(tmp_path, script, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_secret_is_damaged_in_any_order(tmp_path: Path, seed: int) -> None:
    """Parts of other issues, whole sets from elsewhere, nothing: what is served goes on, and ends as one for all."""

    async def script(world: World) -> None:
        def disturb() -> None:
            files = files_of(world.memory)
            name = world.chance.choice(sorted(files) or ["ca.key"])
            other = issued(world.now - timedelta(days=world.chance.choice([0, 30, 80, 2500])))
            part = world.chance.choice([{name: b"garbage"}, {name: other[name]}, other, {}])
            put(world.memory, {**files, **part} if part else {})

        await disturbed(world, disturb)
        await world.rest()
        assert world.settled()

    running(tmp_path, script, seed=seed)


@pytest.mark.parametrize("seed", range(6))
def test_the_secret_of_cert_manager_changes_in_any_order(tmp_path: Path, seed: int) -> None:
    """It renews and rotates when it likes, both at once: followed by all, and not written once."""

    async def script(world: World) -> None:
        cas = [certs.issue_authority(now=world.now) for _ in range(3)]
        puts = 0

        def disturb() -> None:
            nonlocal puts
            puts += 1
            # No faster than everybody can be served with the last one.
            world.pass_time(0)
            files = issued(world.now, world.chance.choice(cas))
            put(world.memory, {name: files[name] for name in ("ca.crt", "tls.crt", "tls.key")}, **CERT_MANAGER)

        for _ in range(3):
            disturb()
            await disturbed(world, lambda: None, 60)
            await world.rest()
        files = files_of(world.memory)
        assert {each.served for each in world.replicas} == {files["tls.crt"]}
        writes = [each for each in world.memory.calls if each.plural == SECRETS.plural and each.verb != "read"]
        assert len(writes) == 1, "the first one's own, before cert-manager came"
        # In the end nothing else is trusted any more.
        for each in world.replicas:
            each.shared._begun = each.shared._switched = -math.inf
        await world.rest(5)
        assert {each for kind in KINDS for each in bundles(world.memory.find(kind, "portcullis") or {})} == {
            files["ca.crt"]
        }

    running(tmp_path, script, seed=seed)


# By the clock.


async def passed(world: World, days: float) -> None:
    """Let days pass as a machine that is off does; whom nobody can be served with then, nobody is asked about."""
    world.seconds += days * 86_400
    world.heard.clear()
    files = files_of(world.memory)
    over = certs.unusable(certs.Pair(files["tls.crt"], files["tls.key"]), (), now=world.now)
    await world.rest(checked=over is None)


@pytest.mark.parametrize("days", [61, 89, 91, 400], ids=["due", "nearly over", "over", "long over"])
def test_a_certificate_is_renewed_by_the_same_ca_whenever_somebody_looks(tmp_path: Path, days: float) -> None:
    """In its last third, and at once when it is over; the CA stays."""

    async def script(world: World) -> None:
        before = files_of(world.memory)
        await passed(world, days)
        after = files_of(world.memory)
        assert world.settled()
        assert before["tls.crt"] != after["tls.crt"]
        assert before["ca.crt"] == after["ca.crt"]

    running(tmp_path, script)


@pytest.mark.parametrize("days", [2440, 3640, 3660], ids=["two thirds", "nearly over", "over"])
def test_a_ca_that_ends_has_a_successor(tmp_path: Path, days: float) -> None:
    """And a day later it is not trusted any more."""

    async def script(world: World) -> None:
        before = files_of(world.memory)
        await passed(world, days)
        # A certificate that was over is renewed by the old CA first, where that can.
        await world.rest()
        after = files_of(world.memory)
        assert world.settled()
        assert before["ca.key"] != after["ca.key"]
        await passed(world, 1.1)
        (left,) = certs.readable(files_of(world.memory)["ca.crt"])
        assert left not in certs.readable(before["ca.crt"])
        assert world.settled()

    running(tmp_path, script)


def test_ten_years_pass_without_a_moment_of_distrust(tmp_path: Path) -> None:
    """Every renewal and the one rotation, seen by who is called at any time."""

    async def script(world: World) -> None:
        keys = set()
        for _ in range(180):
            world.seconds += 20 * 86_400
            world.heard.clear()
            await world.rest(2)
            if not world.settled():
                await world.rest()
            assert world.settled()
            keys.add(files_of(world.memory)["ca.key"])
        assert len(keys) == 2

    running(tmp_path, script, count=2)


@pytest.mark.parametrize("days", [-1, -40, -4000, 365, 4000])
def test_a_clock_that_jumped_and_came_back_leaves_something_to_serve_with(tmp_path: Path, days: float) -> None:
    """Issued by the wrong time, it is issued anew by the right one."""

    async def script(world: World) -> None:
        await passed(world, days)
        assert world.settled()
        await passed(world, -days)
        assert world.settled()
        leaf = files_of(world.memory)
        assert certs.unusable(certs.Pair(leaf["tls.crt"], leaf["tls.key"]), HOSTS, now=world.now) is None

    running(tmp_path, script)


@pytest.mark.parametrize("days", [-400, -40, 40, 400, 4000])
def test_a_replica_whose_clock_is_wrong_does_not_make_the_others_write_for_ever(tmp_path: Path, days: float) -> None:
    """The others serve what is valid by theirs; the Secret is written a few times at most."""

    async def script(world: World) -> None:
        wrong = world.replicas[0].shared
        wrong.now = lambda: world.now + timedelta(days=days)
        version = world.memory.version
        right = world.replicas[1:]
        for _ in range(60):
            world.pass_time(1)
            for each in world.replicas:
                each.hear()
                await each.shared.sync()
                await each.keep()
            for each in right:
                assert not each.shared.untrusted()
                pair = certs.contents(each.folder)
                assert certs.unusable(certs.Pair(pair["tls.crt"], pair["tls.key"]), HOSTS, now=world.now) is None
        assert world.memory.version - version <= 12

    running(tmp_path, script)


def test_what_is_waited_for_is_longer_than_what_an_api_server_needs() -> None:
    """Or these tests show nothing."""
    assert SETTLE_SECONDS > LAG_SECONDS
