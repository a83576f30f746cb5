"""Certificates that ran out, and a disk that is full: what is served is trusted, and comes back by itself."""

import base64
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from certs import Pair as Issued
from certs import issue_authority, issue_serving
from tests.e2e.reading import MUTATING, SECRET, VALIDATING, until
from tests.faults.pair import NAMES, Pair
from tests.faults.trial import Trial, hold

Json = dict[str, Any]

HOSTS = ("127.0.0.1", "localhost")


def test_certificate_expired(trial: Trial) -> None:
    """Both were away for longer than it lasts: they issue another one by their CA, which is trusted as before."""
    authority = away(trial, authority_days=200, serving_days=120)
    assert stored(trial.pair).certificate == authority.certificate


def test_authority_expired(trial: Trial) -> None:
    """Both were away for eleven years: they make all of it anew, and the API server is told whom to believe."""
    authority = away(trial, authority_days=4000, serving_days=4000)
    assert stored(trial.pair).certificate != authority.certificate


def away(trial: Trial, *, authority_days: int, serving_days: int) -> Issued:
    """Have both begin anew with a CA and a certificate of such an age, which the cluster has; return the CA."""
    pair = trial.pair
    now = datetime.now(UTC)
    authority = issue_authority(now=now - timedelta(days=authority_days))
    with trial.burst():
        for name in NAMES:
            pair.processes[name].kill()
        trial.strikes()
        store(pair, authority, issue_serving(authority, HOSTS, now=now - timedelta(days=serving_days)))
        for path in (MUTATING, VALIDATING):
            hooks = pair.reader.read(path)
            for hook in hooks["webhooks"]:
                hook["clientConfig"]["caBundle"] = base64.b64encode(authority.certificate).decode()
            assert pair.reader.client.put(path, json=hooks).status_code == 200
        hold(2)
        trial.mends()
        for name in NAMES:
            shutil.rmtree(pair.processes[name].certs)
        pair.begin(trial.ends)
    return authority


def test_disk_full(trial: Trial) -> None:
    """A new certificate that cannot be written leaves the old one, which is good; who has no OPA is asked nothing."""
    pair = trial.pair
    with trial.burst():
        with pair.full_disk():
            authority = stored(pair)
            store(pair, authority, issue_serving(authority, HOSTS, now=datetime.now(UTC)))
            os.kill(pair.opa(NAMES[0]).pid, signal.SIGKILL)
            trial.strikes()
            hold(4)
        trial.ends()
    fresh = base64.b64decode(pair.reader.read(SECRET)["data"]["tls.crt"])
    for name in NAMES:
        until(partial(served, pair.processes[name].certs, fresh), 15)


def served(folder: Path, certificate: bytes) -> bool:
    """Say whether a replica serves with a certificate."""
    return (folder / "tls.crt").read_bytes() == certificate


def stored(pair: Pair) -> Issued:
    """Return the CA of the Secret."""
    data = pair.reader.read(SECRET)["data"]
    return Issued(base64.b64decode(data["ca.crt"]), base64.b64decode(data["ca.key"]))


def store(pair: Pair, authority: Issued, serving: Issued) -> None:
    """Put a CA and a certificate into the Secret."""
    files = {
        "ca.crt": authority.certificate,
        "ca.key": authority.key,
        "tls.crt": serving.certificate,
        "tls.key": serving.key,
    }
    secret = pair.reader.read(SECRET)
    secret["data"] = {**secret["data"], **{name: base64.b64encode(each).decode() for name, each in files.items()}}
    reply = pair.reader.client.put(SECRET, json=secret)
    assert reply.status_code == 200, reply.text
