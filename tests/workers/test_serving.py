"""`serve --workers` as it runs: killed, frozen, reloaded and stopped while many ask."""

import os
import shutil
import signal
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

import certs
from tests.cli.test_serve import MINE, THEIRS, Serving, event, is_alive, serve, told, until, usual
from tests.workers.crowd import Answer, Crowd, generation_of
from webhook.settings import bundled_policies

WORKERS = 3


def workers_of(serving: Serving) -> list[int]:
    """Return the pids of its workers."""
    children = psutil.Process(serving.process.pid).children()
    return [each.pid for each in children if "webhook.cli.worker" in each.cmdline()]


def crowd_of(serving: Serving) -> Crowd:
    port = int(serving.ready["url"].rpartition(":")[2])
    trust = ssl.create_default_context(cafile=str(serving.log.parent / "certs" / "ca.crt"))
    return Crowd(port, MINE.review(), generation_of(serving.process.pid), trust, connections=12)


def several(crowd: Crowd, count: int) -> None:
    """Return when so many more were answered."""
    wanted = len(crowd.answers) + count
    until(lambda: len(crowd.answers) >= wanted)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the shipped policies that may be changed."""
    folder = tmp_path_factory.mktemp("policies")
    shutil.copytree(bundled_policies(), folder, dirs_exist_ok=True)
    return folder


@contextmanager
def started(folder: Path, policies: Path) -> Iterator[Serving]:
    """Run it until all workers answer."""
    with serve(folder, *usual(folder), "--workers", str(WORKERS), "--policies", policies) as serving:
        yield serving


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, policies: Path) -> Iterator[Serving]:
    """One that the tests share; each leaves it as it was."""
    with started(tmp_path_factory.mktemp("serving"), policies) as serving:
        yield serving


def test_all_of_them_answer_as_one(serving: Serving) -> None:
    """Verdicts are those of one process, each worker has its share, and /metrics through any of them counts all."""
    with crowd_of(serving) as crowd:
        several(crowd, 120)
    assert not serving.ask(THEIRS)["allowed"]
    asked = len(crowd.answers)
    assert all(each.allowed for each in crowd.answers)
    assert not crowd.failures
    decided = [line for line in told(serving.log) if line["event"] == "decision"]
    shares = Counter(line["worker"] for line in decided)
    assert set(shares) == {1, 2, 3}
    assert min(shares.values()) > len(decided) / 12, shares

    def counted() -> bool:
        lines = serving.metrics().splitlines()
        found = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
        assert found["portcullis_workers_ready"] == WORKERS
        return found['portcullis_decisions_total{route="validate",verdict="allow"}'] >= asked

    until(counted, seconds=10)
    assert serving.missing() == []


def test_one_that_is_killed_takes_only_its_own_with_it(serving: Serving) -> None:
    """The others answer on, connections that come go to them, and after a moment there is another in its place."""
    before = workers_of(serving)
    with crowd_of(serving) as crowd:
        several(crowd, 60)
        os.kill(before[0], signal.SIGKILL)
        several(crowd, 60)
        until(lambda: len(workers_of(serving)) == WORKERS and serving.client.get("/readyz").json()["notes"][:-1] == [])
        several(crowd, 30)
    # What was on a connection of its own when it died, and nothing else, had no answer; none was refused.
    assert sum(crowd.failures.values()) <= crowd.connections / WORKERS + 1, crowd.failures
    assert all(each.allowed for each in crowd.answers)
    assert before[0] not in workers_of(serving)
    assert event(serving.log, "worker ended")


def test_the_metrics_tell_how_late_each_event_loop_is(serving: Serving) -> None:
    """One that stood still for a second was late by that much."""

    def late(worker: int, sort: str) -> float:
        name = f'portcullis_event_loop_lag_seconds_{sort}{{worker="{worker}"}}'
        return sum(float(line.split()[1]) for line in serving.metrics().splitlines() if line.startswith(name))

    until(lambda: all(late(worker, "count") for worker in range(WORKERS + 1)))
    before = {worker: late(worker, "sum") for worker in range(1, WORKERS + 1)}
    stopped = workers_of(serving)[0]
    os.kill(stopped, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(stopped, signal.SIGCONT)
    until(lambda: max(late(worker, "sum") - before[worker] for worker in before) > 1, seconds=10)


def test_nobody_decides_when_the_watcher_stands_still(serving: Serving) -> None:
    """What a watcher does not hear cannot count, so where it shows no sign of life workers deny; later they go on."""
    with crowd_of(serving) as crowd:
        several(crowd, 20)
        os.kill(serving.process.pid, signal.SIGSTOP)
        try:
            until(lambda: crowd.answers[-1].code == 500, seconds=15)
        finally:
            os.kill(serving.process.pid, signal.SIGCONT)
        until(lambda: crowd.answers[-1].allowed, seconds=15)
    assert not crowd.failures
    undecided = [line for line in told(serving.log) if line["event"] == "decision" and line["verdict"] == "error"]
    assert {line["cause"] for line in undecided} == {"behind"}
    assert workers_of(serving)


def test_other_policies_take_over_in_one_step(serving: Serving, policies: Path) -> None:
    """From one moment on all workers decide by the new ones; nobody is left undecided, and none is by a mix."""
    former = serving.ready["revision"]
    rule = policies / "portcullis" / "rules" / "rbac" / "namespace" / "namespace.rego"
    with crowd_of(serving) as crowd:
        several(crowd, 60)
        before = crowd.generation.number
        with rule.open("a") as file:
            file.write("\n# Another revision.\n")
        loaded = until(lambda: event(serving.log, "policies loaded"), seconds=60)
        several(crowd, 60)
    assert {each.revision for each in crowd.answers} == {former, loaded["revision"]}
    assert all(each.allowed for each in crowd.answers)
    assert not crowd.failures

    def late(each: Answer) -> bool:
        return each.number > before and each.revision == former

    assert not [each for each in crowd.answers if late(each)]


def test_each_serves_the_certificate_of_now(serving: Serving) -> None:
    """A pair that takes the place of the former is shown by all of them a moment later, without a connection lost."""
    folder = serving.log.parent / "certs"
    port = int(serving.ready["url"].rpartition(":")[2])

    def shown() -> set[bytes]:
        trust = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        found = set()
        for _ in range(2 * WORKERS):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
                trust.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
            ):
                found.add(secured.getpeercert(binary_form=True) or b"")
        return found

    former = shown()
    assert len(former) == 1
    with crowd_of(serving) as crowd:
        several(crowd, 20)
        (folder / "tls.crt").unlink()
        certs.ensure(folder, ("localhost", "127.0.0.1"), now=certs.utc() + timedelta(seconds=1))
        until(lambda: not shown() & former, seconds=20)
        several(crowd, 20)
    assert len(shown()) == 1
    assert not crowd.failures
    assert all(each.allowed for each in crowd.answers)


def test_a_stop_finishes_what_was_begun(tmp_path: Path, policies: Path) -> None:
    """After SIGTERM all that was asked is answered, `drain` long also on new connections; then all are gone."""
    with serve(
        tmp_path, *usual(tmp_path), "--workers", str(WORKERS), "--policies", policies, "--drain", "5"
    ) as serving:
        pids = workers_of(serving)
        with crowd_of(serving) as crowd:
            several(crowd, 30)
            serving.process.send_signal(signal.SIGTERM)
            until(lambda: serving.client.get("/readyz").json()["missing"] == ["stopping: ask another replica"])
            several(crowd, 30)
        assert serving.process.wait(40) == 0
        assert not crowd.failures
        assert all(each.allowed for each in crowd.answers)
        assert not [pid for pid in pids if is_alive(pid)]


def test_none_outlives_the_one_that_watches(tmp_path: Path, policies: Path) -> None:
    """When it is killed its workers are gone at once: they would answer by what is past."""
    with started(tmp_path, policies) as serving:
        pids = workers_of(serving)
        assert len(pids) == WORKERS
        serving.process.kill()
        until(lambda: not [pid for pid in pids if is_alive(pid)], seconds=5)
