"""The CA and the certificate that the API server trusts us by: changed, damaged and taken away while reviews go on."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import certs
from tests.e2e.guarded import FIRST, Guarded
from tests.e2e.manifests import namespace
from tests.e2e.reading import MUTATING, NAMESPACES, SECRET, VALIDATING, Reader, until

Json = dict[str, Any]
Files = Mapping[str, bytes]

HOSTS = ("localhost", "127.0.0.1", "portcullis.portcullis-system.svc", "portcullis.portcullis-system.svc.cluster.local")
FOUR = ("ca.crt", "ca.key", "tls.crt", "tls.key")
ROTATED_SECONDS = 30
HEALED_SECONDS = 5
CERT_MANAGER = {"cert-manager.io/certificate-name": "portcullis"}


def files(guarded: Guarded) -> dict[str, bytes]:
    """Return what the Secret holds, nothing where there is none."""
    found = guarded.reader.find(SECRET) or {}
    return {name: base64.b64decode(each) for name, each in found.get("data", {}).items()}


def put(guarded: Guarded, data: Mapping[str, bytes | None], **annotations: str | None) -> None:
    """Change the Secret as somebody with the right does; None takes a part away."""
    encoded = {name: None if each is None else base64.b64encode(each).decode() for name, each in data.items()}
    patch: Json = {"data": encoded, "metadata": {"annotations": annotations}}
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = guarded.reader.client.patch(SECRET, content=json.dumps(patch), headers=headers)
    assert answer.status_code == 200, answer.text


def bundles(guarded: Guarded) -> set[bytes]:
    """Return the caBundles of all hooks that stand; an empty one for a hook without."""
    stored = [guarded.reader.read(path) for path in (MUTATING, VALIDATING)]
    found = [hook["clientConfig"].get("caBundle", "") for each in stored for hook in each["webhooks"]]
    return {base64.b64decode(each) for each in found}


def settled(guarded: Guarded) -> bool:
    """Say whether every hook trusts what the Secret holds, and every process serves it."""
    data = files(guarded)
    needed = set(certs.readable(data.get("ca.crt", b"")))
    served = [served_by(each.port) for each in guarded.processes.values() if each.child.pid]
    trusted = all(needed <= set(certs.readable(each)) for each in bundles(guarded))
    return trusted and all(each in data["tls.crt"].decode() for each in served)


def served_by(port: int) -> str:
    """Return the certificate that a process serves now, PEM."""
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


def issued(*, days_ago: float = 0, authority: certs.Pair | None = None, leaf_days_ago: float | None = None) -> Files:
    """Return a whole set, its CA and its certificate issued some days ago."""
    now = datetime.now(UTC)
    ca = authority or certs.issue_authority(now=now - timedelta(days=days_ago))
    leaf = certs.issue_serving(
        ca, HOSTS, now=now - timedelta(days=days_ago if leaf_days_ago is None else leaf_days_ago)
    )
    return {"ca.crt": ca.certificate, "ca.key": ca.key, "tls.crt": leaf.certificate, "tls.key": leaf.key}


class Client:
    """Sends what is reviewed without a pause, and connects anew to each process as the API server would."""

    def __init__(self, guarded: Guarded) -> None:
        self.failures: list[str] = []
        self.calls = 0
        self.handshakes = 0
        self._guarded = guarded
        self._over = threading.Event()
        # Beside those of the test: neither waits for the other.
        self._wanda = Reader(guarded.plane, "wanda")
        self._root = Reader(guarded.plane)

    def ask(self) -> None:
        """Have a namespace reviewed, by both hooks, again and again."""
        while not self._over.is_set():
            answer = self._wanda.client.post(NAMESPACES, params={"dryRun": "All"}, json=namespace("probe-certificates"))
            self.calls += 1
            if answer.status_code != 201:
                self.failures.append(answer.text)

    def connect(self) -> None:
        """Connect to each process by what the webhook objects trust; one that is away is none."""
        while not self._over.is_set():
            stored = [self._root.read(path)["webhooks"] for path in (MUTATING, VALIDATING)]
            trusted = {hook["clientConfig"].get("caBundle", "") for hooks in stored for hook in hooks}
            for name, process in list(self._guarded.processes.items()):
                for each in trusted:
                    self._shake(name, process.port, base64.b64decode(each).decode())
            time.sleep(0.02)

    def _shake(self, name: str, port: int, bundle: str) -> None:
        context = ssl.create_default_context(cadata=bundle)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1"),
            ):
                self.handshakes += 1
        except ssl.SSLCertVerificationError as error:
            self.failures.append(f"{name}: {error}")
        except OSError:
            # It is being started again.
            return

    def stop(self) -> None:
        """Have both end."""
        self._over.set()

    def close(self) -> None:
        """End the connections."""
        self._wanda.client.close()
        self._root.client.close()


@contextmanager
def without_pause(guarded: Guarded) -> Iterator[Client]:
    """Have a client ask meanwhile, who is refused nothing."""
    client = Client(guarded)
    threads = [threading.Thread(target=each, daemon=True) for each in (client.ask, client.connect)]
    for each in threads:
        each.start()
    try:
        yield client
        # The load of other things may make it slow.
        until(lambda: client.calls > 20 and client.handshakes > 20, 20)
    finally:
        client.stop()
        for each in threads:
            each.join(30)
        client.close()
    print(f"{client.calls} calls, {client.handshakes} handshakes, {len(client.failures)} failed")  # noqa: T201 - a figure to read
    assert client.failures == []


def timed(condition: Callable[[], object], what: str, seconds: float) -> None:
    begin = time.monotonic()
    until(condition, seconds)
    print(f"{what}: {time.monotonic() - begin:.2f} s")  # noqa: T201 - a figure to read


@pytest.fixture
def pair(guarded: Guarded) -> Iterator[None]:
    """A second process beside the one that the API server calls."""
    guarded.start("second", "--no-controller")
    until(lambda: settled(guarded), ROTATED_SECONDS)
    yield
    if guarded.processes["second"].child.pid:
        guarded.stop("second")


@pytest.mark.usefixtures("pair")
def test_a_ca_is_rotated_while_reviews_go_on(guarded: Guarded) -> None:
    """Asked for by annotation: both CAs are trusted first, then the new one serves, a day later the old one goes."""
    before = files(guarded)
    with without_pause(guarded):
        put(guarded, {}, **{"portcullis.dev/rotate-ca": "now"})

        def rotated() -> bool:
            now = files(guarded)
            return now["ca.key"] != before["ca.key"] and now["tls.crt"] != before["tls.crt"] and settled(guarded)

        timed(rotated, "CA rotated", ROTATED_SECONDS)
        after = files(guarded)
        assert "rotate-ca" not in str(guarded.reader.read(SECRET)["metadata"].get("annotations"))
        assert len(certs.readable(after["ca.crt"])) == 2
        # As it will be a day later: all issued two days ago.
        aged = certs.issue_authority(now=datetime.now(UTC) - timedelta(days=3), key=after["ca.key"])
        old = next(each for each in certs.readable(after["ca.crt"]) if each in certs.readable(before["ca.crt"]))
        bundle = aged.certificate + certs.write_bundle((old,))
        put(guarded, {**issued(authority=aged, leaf_days_ago=2), "ca.crt": bundle})
        timed(lambda: len(certs.readable(files(guarded)["ca.crt"])) == 1, "old CA gone", HEALED_SECONDS)
        # Whoever has just started leaves for a minute what stood there.
        timed(lambda: settled(guarded) and bundles(guarded) == {files(guarded)["ca.crt"]}, "distrusted", 75)
    assert not set(certs.readable(before["ca.crt"])) & set(certs.readable(files(guarded)["ca.crt"]))


@pytest.mark.usefixtures("pair")
def test_a_rotation_goes_on_whoever_is_killed_in_it(guarded: Guarded) -> None:
    """A process that is killed at any point of it starts again and serves what is trusted."""
    before = files(guarded)
    with without_pause(guarded):
        put(guarded, {}, **{"portcullis.dev/rotate-ca": "now"})
        deadline = time.monotonic() + ROTATED_SECONDS
        while files(guarded)["tls.crt"] == before["tls.crt"] and time.monotonic() < deadline:
            guarded.processes["second"].kill()
            guarded.start("second", "--no-controller")
        until(lambda: settled(guarded), ROTATED_SECONDS)
    assert files(guarded)["ca.key"] != before["ca.key"]


@pytest.mark.usefixtures("pair")
def test_another_set_in_the_secret_is_a_rotation(guarded: Guarded) -> None:
    """Put back from a backup, say, and its CA past two thirds of its life: what is served stays until it is trusted."""
    backup = issued(days_ago=7 * 365, leaf_days_ago=0)
    with without_pause(guarded):
        put(guarded, backup)

        def over() -> bool:
            data = files(guarded)
            return data["ca.key"] != backup["ca.key"] and certs.signed_with(data, data["ca.key"]) and settled(guarded)

        timed(over, "another set taken over", ROTATED_SECONDS)


EDITS: Mapping[str, Mapping[str, bytes | None]] = {
    "garbage everywhere": dict.fromkeys(FOUR, b"garbage"),
    "all of it empty": dict.fromkeys(FOUR, b""),
    "another key": {"tls.key": issued()["tls.key"]},
    "a certificate of another CA": {"tls.crt": issued()["tls.crt"]},
    "a pair of another CA": {name: content for name, content in issued().items() if name.startswith("tls")},
    "the CA's key gone": {"ca.key": None},
    "the CA's certificate gone": {"ca.crt": None},
    "another CA's key": {"ca.key": issued()["ca.key"]},
    "another CA's certificate": {"ca.crt": issued()["ca.crt"]},
    "another CA": {name: content for name, content in issued().items() if name.startswith("ca")},
}


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("edit", EDITS)
def test_a_secret_that_is_edited_is_put_back(guarded: Guarded, edit: str) -> None:
    """Whatever is wrong in it, what is served goes on and stands there again."""
    before = {name: content for name, content in files(guarded).items() if name in FOUR}
    with without_pause(guarded):
        put(guarded, EDITS[edit])
        timed(lambda: files(guarded) == before and settled(guarded), edit, HEALED_SECONDS)


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("made", ["not at all", "Opaque"])
def test_a_secret_that_is_deleted_is_made_again(guarded: Guarded, made: str) -> None:
    """As it was, also where somebody makes one of another type in its place."""
    before = files(guarded)
    with without_pause(guarded):
        answer = guarded.reader.client.delete(SECRET)
        assert answer.status_code == 200, answer.text
        if made != "not at all":
            path, _, name = SECRET.rpartition("/")
            guarded.reader.client.post(path, json={"metadata": {"name": name}, "type": made})
        timed(lambda: files(guarded) == before, f"deleted, made {made}", HEALED_SECONDS)
    assert settled(guarded)


@pytest.mark.parametrize("path", [MUTATING, VALIDATING], ids=["mutating", "validating"])
@pytest.mark.parametrize("attack", ["wiped", "replaced", "joined by another"])
def test_a_ca_bundle_is_put_back(guarded: Guarded, attack: str, path: str) -> None:
    """On every hook, within seconds; a CA that somebody adds is taken out again."""
    right = bundles(guarded)
    (bundle,) = right
    evil = certs.issue_authority(now=datetime.now(UTC)).certificate
    wrong = {"wiped": b"", "replaced": evil, "joined by another": bundle + evil}[attack]
    count = len(guarded.reader.read(path)["webhooks"])
    value = base64.b64encode(wrong).decode()
    patch = [{"op": "add", "path": f"/webhooks/{at}/clientConfig/caBundle", "value": value} for at in range(count)]
    headers = {"Content-Type": "application/json-patch+json"}
    answer = guarded.reader.client.patch(path, content=json.dumps(patch), headers=headers)
    assert answer.status_code == 200, answer.text
    stored = [hook["clientConfig"].get("caBundle", "") for hook in answer.json()["webhooks"]]
    assert set(stored) == {value}
    timed(lambda: bundles(guarded) == right, f"caBundle {attack}", HEALED_SECONDS)
    guarded.await_gate()


@pytest.mark.parametrize("what", ["leaf", "CA"])
def test_what_has_ended_is_replaced_at_a_start(guarded: Guarded, what: str) -> None:
    """A cluster that was off for long: the Secret's certificate or CA is over, and so is what the folder holds."""
    guarded.stop()
    before = issued(days_ago=4000) if what == "CA" else issued(days_ago=200)
    put(guarded, before)
    first = guarded.processes[FIRST].certs
    certs.adopt(first, before)
    guarded.start()
    timed(lambda: settled(guarded) and files(guarded)["tls.crt"] != before["tls.crt"], f"ended {what}", HEALED_SECONDS)
    guarded.await_gate()
    assert (files(guarded)["ca.key"] == before["ca.key"]) is (what == "leaf")
    # What stood when it started would be left there for a minute.
    guarded.stop()
    guarded.ungate()
    guarded.gate()


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("what", ["leaf", "CA"])
def test_what_has_ended_is_replaced_at_once(guarded: Guarded, what: str) -> None:
    """Put into the Secret while we run, it is not served for a moment."""
    data = files(guarded)
    old = certs.Pair(data["ca.crt"], data["ca.key"])
    authority = (
        None if what == "CA" else certs.issue_authority(now=datetime.now(UTC) - timedelta(days=300), key=old.key)
    )
    ended = issued(days_ago=4000 if what == "CA" else 200, authority=authority)
    with without_pause(guarded):
        put(guarded, ended)
        timed(
            lambda: files(guarded)["tls.crt"] != ended["tls.crt"] and settled(guarded),
            f"ended {what} while running",
            ROTATED_SECONDS,
        )


@pytest.fixture
def managed(guarded: Guarded) -> Iterator[certs.Pair]:
    """The Secret as cert-manager keeps it, of a CA of its own; afterwards ours, made anew."""
    ca = certs.issue_authority(now=datetime.now(UTC))
    put(guarded, {**issued(authority=ca), "ca.key": None}, **CERT_MANAGER)
    yield ca
    for each in [name for name, process in guarded.processes.items() if process.child.pid]:
        guarded.stop(each)
    guarded.reader.client.delete(SECRET)
    for process in guarded.processes.values():
        for each in (*FOUR, ".adopted"):
            (process.certs / each).unlink(missing_ok=True)
    guarded.ungate()
    guarded.gate()
    until(lambda: settled(guarded), ROTATED_SECONDS)


@pytest.mark.usefixtures("pair")
def test_cert_manager_renews_and_rotates_while_reviews_go_on(guarded: Guarded, request: pytest.FixtureRequest) -> None:
    """Its Secret is followed without a restart and never written; an old CA is trusted until the new one serves."""
    with without_pause(guarded):
        ca: certs.Pair = request.getfixturevalue("managed")
        timed(lambda: followed(guarded), "taken over from our own", ROTATED_SECONDS)
        put(guarded, {**issued(authority=ca), "ca.key": None})
        timed(lambda: followed(guarded), "renewed", HEALED_SECONDS)
        guarded.processes["second"].kill()
        put(guarded, {**issued(), "ca.key": None})
        version = guarded.reader.read(SECRET)["metadata"]["resourceVersion"]
        guarded.start("second", "--no-controller")
        timed(lambda: followed(guarded), "CA rotated", ROTATED_SECONDS)
        assert guarded.reader.read(SECRET)["metadata"]["resourceVersion"] == version


def followed(guarded: Guarded) -> bool:
    """Say whether every process serves what is in the Secret, and every hook trusts it, whatever else it trusts."""
    data = files(guarded)
    served = [served_by(each.port) for each in guarded.processes.values() if each.child.pid]
    trusted = all(certs.anchors(data["tls.crt"], each) for each in bundles(guarded))
    return trusted and all(each in data["tls.crt"].decode() for each in served)
