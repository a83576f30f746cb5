"""Several processes: one of them works at a time, another takes over, and one that cannot work says why."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane
from tests.e2e.guarded import FIRST, Guarded, Process, refuses_to_start
from tests.e2e.manifests import ZERO_TRUST
from tests.e2e.reading import LEASE, is_ready, until

Tell = Callable[[str, object], None]
"""Tells of a figure beside the outcome of a test."""

TAKEN_OVER_SECONDS = 15
HANDED_OVER_SECONDS = 3


def holder(guarded: Guarded) -> str:
    """Return the name of the process that holds the lease, empty for none that runs."""
    lease = guarded.reader.find(LEASE)
    pid = lease["spec"]["holderIdentity"].split("_")[1:2] if lease else []
    return next((name for name, each in guarded.processes.items() if [str(each.child.pid)] == pid), "")


@pytest.fixture(scope="module")
def answering(guarded: Guarded) -> Iterator[Process]:
    """The process that the API server calls, which answers reviews alone; afterwards it does all by itself again."""
    guarded.stop()
    process = guarded.start(FIRST, "--no-controller")
    guarded.await_gate()
    yield process
    guarded.stop()
    guarded.gate()


@pytest.fixture
def pair(guarded: Guarded, answering: Process) -> Iterator[None]:
    """A second process that leads and a third one that waits, beside the one that answers; all may drain."""
    guarded.start("second", "--drain=3")
    until(lambda: holder(guarded) == "second", HANDED_OVER_SECONDS)
    guarded.start("third")
    yield
    for name in ("third", "second"):
        if guarded.processes[name].child.pid:
            guarded.stop(name)
    assert answering.child.pid


@pytest.mark.usefixtures("pair")
def test_another_takes_over_from_a_leader_that_is_killed(guarded: Guarded, record_property: Tell) -> None:
    """Without a word of the first, the second works when the lease has run out; what was made meanwhile is brought."""
    guarded.create("led")
    guarded.processes["second"].kill()
    begin = time.monotonic()
    guarded.kubectl("create", "namespace", "leaderless", user="wanda")
    assert not is_ready(guarded.reader.namespace("leaderless"))

    def led() -> bool:
        # Whether it leads is no part of whether it answers.
        assert guarded.processes["third"].health()["ready"]
        return holder(guarded) == "third"

    until(led, TAKEN_OVER_SECONDS)
    record_property("taken over after", f"{time.monotonic() - begin:.1f} s")
    guarded.await_ready("leaderless", begin + TAKEN_OVER_SECONDS + 1 - time.monotonic())
    assert guarded.reader.specs("leaderless") == ZERO_TRUST


@pytest.mark.usefixtures("pair")
def test_a_leader_that_stops_hands_over(guarded: Guarded, record_property: Tell) -> None:
    """The lease is given back first, while it still answers, so the other works at once."""
    leading = guarded.processes["second"]
    assert leading.child.pid
    os.kill(leading.child.pid, signal.SIGTERM)
    begin = time.monotonic()
    until(lambda: holder(guarded) == "third", HANDED_OVER_SECONDS)
    record_property("handed over after", f"{time.monotonic() - begin:.1f} s")
    assert leading.health()["missing"] == ["stopping: ask another replica"]
    guarded.kubectl("create", "namespace", "handed-over", user="wanda")
    guarded.await_ready("handed-over", HANDED_OVER_SECONDS)
    guarded.stop("second")


@pytest.mark.usefixtures("pair")
def test_a_leader_that_was_frozen_does_not_work_beside_its_successor(guarded: Guarded) -> None:
    """Stopped for longer than its lease it finds another leading when it goes on, and writes nothing; it waits."""
    frozen = guarded.processes["second"]
    assert frozen.child.pid
    os.kill(frozen.child.pid, signal.SIGSTOP)
    try:
        guarded.kubectl("create", "namespace", "thawing", user="wanda")
        until(lambda: holder(guarded) == "third", TAKEN_OVER_SECONDS)
        guarded.await_ready("thawing")
        since = frozen.child.log.stat().st_size
        before = guarded.reader.versions(state=False)
    finally:
        os.kill(frozen.child.pid, signal.SIGCONT)
    until(lambda: b"no longer leading" in frozen.child.log.read_bytes()[since:], 5)
    assert guarded.reader.versions(state=False) == before
    assert holder(guarded) == "third"
    assert frozen.health()["ready"]


@pytest.mark.usefixtures("answering")
def test_the_controller_alone_brings_baselines(guarded: Guarded) -> None:
    """`serve --no-controller` brings none; `portcullis controller` beside it does."""
    guarded.kubectl("create", "namespace", "alone", user="wanda")
    assert guarded.reader.policies("alone") == {}
    guarded.start("alone", command="controller")
    try:
        guarded.await_ready("alone")
        assert guarded.reader.specs("alone") == ZERO_TRUST
        assert holder(guarded) == "alone"
    finally:
        guarded.stop("alone")


@pytest.mark.usefixtures("answering")
def test_a_controller_that_stops_gives_the_lease_back(guarded: Guarded) -> None:
    """As `serve` does: else a rollout would leave every new namespace without its policies until the lease runs out."""
    guarded.start("alone", command="controller")
    try:
        until(lambda: holder(guarded) == "alone", TAKEN_OVER_SECONDS)
        guarded.create("given-back")
    finally:
        guarded.stop("alone")
    assert guarded.reader.read(LEASE)["spec"]["holderIdentity"] == ""


def with_token(plane: Plane, token: str, folder: Path) -> str:
    """Return the flag of a kubeconfig with another token."""
    config = json.loads(plane.kubeconfig("portcullis").read_text())
    config["users"][0]["user"]["token"] = token
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return f"--kubeconfig={path}"


@pytest.mark.parametrize("command", ["serve", "controller"])
def test_whom_the_api_server_does_not_know_is_told_and_ends(guarded_plane: Plane, tmp_path: Path, command: str) -> None:
    """A wrong token is exit code 2 and one line with what to do."""
    wrong = with_token(guarded_plane, "wrong", tmp_path)
    flags = (f"--cert-dir={tmp_path / 'certs'}",) if command == "serve" else ()
    code, said = refuses_to_start(command, wrong, "--host=127.0.0.1", "--port=0", *flags, home=tmp_path)
    assert code == 2
    assert len(said) == 1
    assert "Unauthorized" in said[0]
    assert said[0].startswith("portcullis: ")
    assert "give a kubeconfig" in said[0]


@pytest.fixture(scope="module", autouse=True)
def powerless(
    guarded_plane: Plane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Future[tuple[int, list[str]]]"]:
    """A process of somebody whom the API server knows and RBAC gives nothing; it is patient, hence begins early."""
    folder = tmp_path_factory.mktemp("powerless")
    token = guarded_plane.kubectl("create", "token", "default", "--namespace=default").stdout.strip()
    with ThreadPoolExecutor(1) as beside:
        known = with_token(guarded_plane, token, folder)
        yield beside.submit(refuses_to_start, "controller", known, "--host=127.0.0.1", "--port=0", home=folder)


def test_who_may_do_nothing_there_is_told_and_ends(powerless: "Future[tuple[int, list[str]]]") -> None:
    """It says what to apply once it is clear that this does not pass, as it does with an API server that begins."""
    code, said = powerless.result()
    assert code == 2
    assert len(said) == 1
    assert "is forbidden" in said[0]
    assert "kubectl apply -k manifests/base" in said[0]
