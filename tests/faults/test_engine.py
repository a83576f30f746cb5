"""An OPA that dies, hangs, or comes back with other rules: denied until it is as it has to be, without a hand."""

import gzip
import io
import os
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.faults.pair import NAMES
from tests.faults.trial import Trial, hold

LASTS_SECONDS = 3.0


def kill_opa(trial: Trial) -> None:
    """Kill the OPA of both."""
    for name in NAMES:
        os.kill(trial.pair.opa(name).pid, signal.SIGKILL)


def test_opa_killed(trial: Trial) -> None:
    """It is started again at once."""
    with trial.burst():
        kill_opa(trial)


def test_opa_stopped(trial: Trial) -> None:
    """One that hangs is found, and replaced."""
    with trial.burst(), trial.pair.frozen(*(trial.pair.opa(name).pid for name in NAMES)):
        # Nobody lets it go on before all is well again: `frozen` does when the burst has long ended.
        trial.wait()


def test_opa_bad_bundle(trial: Trial) -> None:
    """Rules that cannot be read are no rules: it comes back with the right ones, or not at all."""
    with trial.burst(), replaced(trial, lambda _: b"no bundle"):
        kill_opa(trial)
        hold(LASTS_SECONDS)


def test_opa_tampered_bundle(trial: Trial) -> None:
    """Rules that nobody signed decide nothing, though they carry our revision."""
    with trial.burst(), replaced(trial, tampered):
        kill_opa(trial)
        hold(LASTS_SECONDS)


@contextmanager
def replaced(trial: Trial, change: Callable[[bytes], bytes]) -> Iterator[None]:
    """Put another file in the place of the bundle of both OPAs again and again, however often it is put back."""
    paths = [trial.pair.bundle(name) for name in NAMES]
    others = [change(path.read_bytes()) for path in paths]
    over = threading.Event()

    def put() -> None:
        while not over.wait(0.002):
            for path, other in zip(paths, others, strict=True):
                # Renamed into its place: whoever reads it reads all of it.
                aside = path.with_name("aside")
                with suppress(FileNotFoundError):
                    aside.write_bytes(other)
                    aside.replace(path)

    putting = threading.Thread(target=put)
    putting.start()
    try:
        trial.strikes()
        yield
    finally:
        over.set()
        putting.join()


def tampered(bundle: bytes) -> bytes:
    """Return a bundle that finds no violation in anything; everything else of it stays."""
    finding = b"some violation in deny\n\tis_string(violation.rule)\n}"
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as archive:
        files = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    (name,) = [name for name in files if name.endswith("portcullis/validate/validate.rego")]
    assert finding in files[name]
    files[name] = files[name].replace(finding, finding.replace(b"\n}", b"\n\tfalse\n}"))
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()
