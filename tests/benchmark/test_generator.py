"""The load generator against a server of our own, whose stalls and answers are known."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

import certs
from bench.generator import MARK, Aim, Connections, Load, LoadError, Shot, find_generator, fire
from bench.targets import echoing

REVIEW = {"request": {"uid": f"00000000-0000-4000-8000-{MARK}"}}
Answer = Callable[[bytes], tuple[int, bytes]]


@pytest.fixture(scope="module")
def program() -> Path:
    """The generator; a missing one is built."""
    return find_generator(os.environ)


def line(check: str = "review", *, allowed: bool = True) -> dict[str, object]:
    """Return what to send."""
    return {"method": "POST", "path": "/", "body": orjson.dumps(REVIEW).decode(), "check": check, "allowed": allowed}


def decided(*, allowed: bool = True, code: int = 200, message: str = "", uid: str = "") -> Answer:
    """Answer each review in the same way."""

    def answer(body: bytes) -> tuple[int, bytes]:
        status = {"code": code, "message": message}
        found = uid or orjson.loads(body)["request"]["uid"]
        return 200, orjson.dumps({"response": {"uid": found, "allowed": allowed, "status": status}})

    return answer


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Serve HTTP/1.1 with kept connections; yield the URL."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                status, body = answer(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def aimed(url: str, folder: Path, *lines: dict[str, object]) -> Aim:
    """Return the aim at `url` with these requests."""
    requests = folder / "requests.jsonl"
    requests.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in lines or (line(),)))
    return Aim(url, requests)


async def _stall(seconds: float, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        time.sleep(seconds)  # noqa: ASYNC251 - the whole server stands still, as it would for a long computation


def test_a_stall_is_in_the_latency_of_all_that_were_due_during_it(program: Path, tmp_path: Path) -> None:
    """A server that stands still for 200 ms shows that in p99, also of requests that could not be sent meanwhile."""

    async def run() -> None:
        async with serving(decided()) as url:
            stalling = asyncio.create_task(_stall(0.2, 0.8))
            # Fewer connections than are due during a stall: a closed loop would send fewer, and hide it.
            shot = await fire(program, aimed(url, tmp_path), Load(100, 3, lanes=4))
            stalling.cancel()
        assert shot.count == 300
        assert 120 <= shot.p99 <= 500
        assert shot.p50 < 100
        assert shot.late > 10
        assert sum(count for _, count in shot.histogram) == shot.count
        slow = sum(count for upper, count in shot.histogram if upper >= 50)
        assert slow >= 15

    asyncio.run(run())


def test_a_closed_loop_goes_as_fast_as_it_is_answered(program: Path, tmp_path: Path) -> None:
    """Without a rate nothing is due, and what is counted is how many answers came."""

    async def run() -> None:
        async with serving(decided()) as url:
            shot = await fire(program, aimed(url, tmp_path), Load(0, 0.4, warmup=0.1, lanes=3))
        assert shot.count > 50
        assert shot.opened == 3
        assert shot.warmed > 5
        assert shot.per_second == pytest.approx(shot.count / 0.4, rel=0.2)

    asyncio.run(run())


def test_no_two_requests_are_alike(program: Path, tmp_path: Path) -> None:
    """Each has an uid of its own, so that no cache could answer."""
    asked = list[bytes]()

    def answer(body: bytes) -> tuple[int, bytes]:
        asked.append(body)
        return decided()(body)

    async def run() -> None:
        async with serving(answer) as url:
            await fire(program, aimed(url, tmp_path), Load(200, 0.5, connections="new"))

    asyncio.run(run())
    assert len(asked) == len(set(asked)) == 200
    assert not [body for body in asked if MARK.encode() in body]


def test_connections_are_kept_new_or_resumed_over_tls(program: Path, tmp_path: Path) -> None:
    """Kept ones are as many as the lanes; a new one each is a whole handshake, unless its session is resumed."""

    async def run() -> dict[str, Shot]:
        files = certs.ensure(tmp_path / "certs", ("127.0.0.1",), now=certs.utc())
        async with echoing(tmp_path / "certs") as (url, _):
            aim = replace(aimed(url, tmp_path, line("echo")), ca=files.ca)
            ways: tuple[Connections, ...] = ("kept", "new", "resumed")
            return {way: await fire(program, aim, Load(50, 0.6, 0, 2, way)) for way in ways}

    shots = asyncio.run(run())
    assert {way: (shot.count, shot.opened) for way, shot in shots.items()} == {
        "kept": (30, 2),
        "new": (30, 30),
        "resumed": (30, 30),
    }
    assert shots["kept"].resumed == shots["new"].resumed == 0
    assert shots["resumed"].resumed >= 20


def test_a_server_of_another_authority_is_not_asked(program: Path, tmp_path: Path) -> None:
    """The certificate is verified as the API server does: without that a handshake would cost less."""

    async def run() -> None:
        certs.ensure(tmp_path / "certs", ("127.0.0.1",), now=certs.utc())
        other = certs.ensure(tmp_path / "other", ("127.0.0.1",), now=certs.utc())
        async with echoing(tmp_path / "certs") as (url, _):
            aim = replace(aimed(url, tmp_path, line("echo")), ca=other.ca)
            await fire(program, aim, Load(0, 0.1, 0, 1))

    with pytest.raises(LoadError, match="certificate signed by unknown authority"):
        asyncio.run(run())


def test_what_a_server_cannot_keep_up_with_counts_with_its_wait(program: Path, tmp_path: Path) -> None:
    """A rate above what is answered is a run of long latencies, and no error."""

    def slow(body: bytes) -> tuple[int, bytes]:
        time.sleep(0.02)
        return decided()(body)

    async def run() -> Shot:
        async with serving(slow) as url:
            return await fire(program, aimed(url, tmp_path), Load(500, 1, 0, 2))

    shot = asyncio.run(run())
    assert shot.count == 500
    assert 0 < shot.unsent < 400
    assert shot.p99 > 4000
    assert shot.per_second < 60


WRONG = {
    "another verdict": (decided(allowed=False, code=403, message="[a/b] no"), "allowed is false, not true"),
    "no decision": (decided(allowed=False, code=500, message="OPA cannot be reached"), "for want of a decision"),
    "another's answer": (decided(uid="00000000-0000-4000-8000-000000000000"), "another review"),
    "an error": (lambda _: (500, b"failed"), "HTTP 500: failed"),
    "no review": (lambda _: (200, b"{}"), "no AdmissionReview"),
    "no JSON": (lambda _: (200, b"hello"), "no AdmissionReview"),
}


@pytest.mark.parametrize(("answer", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_ends_the_run(program: Path, tmp_path: Path, answer: Answer, told: str) -> None:
    """What is fast and wrong is no figure."""

    async def run() -> None:
        async with serving(answer) as url:
            await fire(program, aimed(url, tmp_path), Load(0, 0.2, lanes=1))

    with pytest.raises(LoadError, match=told):
        asyncio.run(run())


UNSENT = {
    "nobody listens": ("http://127.0.0.1:1", [line()], "connection refused"),
    "no URL": ("127.0.0.1", [line()], "-url has to be"),
    "nothing to send": ("http://127.0.0.1:1", [], "holds no request"),
}


@pytest.mark.parametrize(("url", "lines", "told"), UNSENT.values(), ids=UNSENT)
def test_what_cannot_be_sent_is_said(
    program: Path, tmp_path: Path, url: str, lines: list[dict[str, object]], told: str
) -> None:
    """A run without an answer is an error, with its reason."""
    aim = aimed(url, tmp_path, *lines)
    if not lines:
        aim.requests.write_bytes(b"")
    with pytest.raises(LoadError, match=told):
        asyncio.run(fire(program, aim, Load(0, 0.2, lanes=1)))
