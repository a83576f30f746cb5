"""
Finds the OPA that decides, or builds it once.

One version alone: the verdict of a rule must not hang on which OPA a machine happens to have. The one function
here is used by serve, demo, the tests and the image build, so all of them decide with the same program.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webhook.errors import OpaError
from webhook.settings import environment

OPA_VERSION = "1.22.0"
MODULE = f"github.com/open-policy-agent/opa@v{OPA_VERSION}"
WAYS_OUT = f"put opa {OPA_VERSION} on PATH or set PORTCULLIS_OPA to its path"
# What the caller may have set for work of its own and what would break a plain build for this machine: another
# platform (go refuses GOBIN then), another compiler, flags of C.
FOREIGN = frozenset({"GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT", "GOWORK", "CC", "CXX"})


def find_opa(environment: Mapping[str, str], *, say: Callable[[str], None], beat: float = 15) -> Path:
    """
    Return the absolute path of an OPA of `OPA_VERSION` that runs.

    The first of: `$PORTCULLIS_OPA`; `opa` on PATH; the cache (`$XDG_CACHE_HOME`, else `~/.cache`); a build into
    that cache where Go is on PATH. `say` is told of a build, a line at least every `beat` seconds.

    Raises OpaError where there is none, and where `$PORTCULLIS_OPA` is not one: what somebody set is never
    passed over in silence.
    """
    if chosen := environment.get("PORTCULLIS_OPA"):
        return _chosen(Path(chosen).expanduser().absolute(), environment)
    for candidate in _on_path("opa", environment):
        if _reported(candidate, environment) == OPA_VERSION:
            return candidate
    cached = _cache(environment) / f"opa-{OPA_VERSION}"
    there = _reported(cached, environment)
    if there == OPA_VERSION:
        return cached
    go = next(_on_path("go", environment), None)
    if go is None:
        raise OpaError(
            f"no OPA {OPA_VERSION}: PORTCULLIS_OPA is not set, no opa on PATH is of that version, {cached} is no "
            f"help ({there}), and there is no Go on PATH to build it with; install Go 1.26 or newer, {WAYS_OUT}",
        )
    return _Build(go, cached, environment, say, beat).once()


def _chosen(binary: Path, environment: Mapping[str, str]) -> Path:
    """Return the OPA that somebody set, if it is one of ours."""
    there = _reported(binary, environment)
    if there != OPA_VERSION:
        raise OpaError(
            f"PORTCULLIS_OPA is {binary}, which is not OPA {OPA_VERSION} ({there}); "
            f"set it to one of that version or unset it",
        )
    return binary


def _on_path(name: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield each program of that name on PATH, in order: the first `opa` may be of another version."""
    for folder in environment.get("PATH", "").split(os.pathsep):
        # A relative folder, the empty one too, would run whatever lies where we were started.
        if Path(folder).is_absolute() and (found := shutil.which(name, path=folder)):
            yield Path(found)


def _cache(environment: Mapping[str, str]) -> Path:
    """Return the folder of our binaries."""
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    # The XDG specification has a relative path ignored.
    if not base.is_absolute():
        home = environment.get("HOME", "")
        if not home:
            raise OpaError(f"no OPA {OPA_VERSION}: there is no HOME to keep one in; set HOME, {WAYS_OUT}")
        base = Path(home).absolute() / ".cache"
    return base / "portcullis" / "bin"


def _reported(binary: Path, environment: Mapping[str, str]) -> str:
    """Return the version that a binary says it is, or what it does instead."""
    try:
        ran = subprocess.run(
            [binary, "version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
    except FileNotFoundError:
        return "there is no such program"
    except (OSError, subprocess.SubprocessError) as error:
        return f"it does not run: {error}"
    version = re.search(rb"^Version: ([\w.+-]+)$", ran.stdout, re.MULTILINE)
    if ran.returncode != 0 or version is None:
        return f"`opa version` ended with {ran.returncode} and named no version"
    return version[1].decode()


@dataclass(frozen=True, slots=True)
class _Build:
    """One build of OPA by Go into the cache."""

    go: Path
    cached: Path
    environment: Mapping[str, str]
    say: Callable[[str], None]
    beat: float

    def once(self) -> Path:
        """Build unless somebody else did so while we waited."""
        try:
            self.cached.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if _reported(self.cached, self.environment) != OPA_VERSION:
                    self._build()
        except OSError as error:
            raise OpaError(f"OPA {OPA_VERSION} cannot be kept in {self.cached.parent}: {error}; {WAYS_OUT}") from error
        return self.cached

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the cache; the kernel frees it even when we are killed."""
        with self.cached.with_name(f"{self.cached.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say(f"waiting: OPA {OPA_VERSION} is being built by another process")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self) -> None:
        """Build beside the cached file, so that a whole binary takes its place in one step or none does."""
        # One name, not a random one: the lock is ours, so whatever is there was left by a build that was killed.
        bench = self.cached.with_name(f"{self.cached.name}.building")
        shutil.rmtree(bench, ignore_errors=True)
        bench.mkdir()
        try:
            self._install(bench)
            built = bench / "opa"
            there = _reported(built, self.environment)
            if there != OPA_VERSION:
                raise OpaError(f"Go built no working OPA {OPA_VERSION} ({there}); {WAYS_OUT}")
            built.replace(self.cached)
        finally:
            shutil.rmtree(bench, ignore_errors=True)

    def _install(self, bench: Path) -> None:
        """Run `go install`, telling how it goes; OpaError has the end of Go's output."""
        self.say(f"building OPA {OPA_VERSION} from its Go module; this takes about 2 to 3 minutes, once")
        begin = time.monotonic()
        with (bench / "output").open("wb") as output:
            build = subprocess.Popen(
                [self.go, "install", MODULE],
                cwd=bench,
                env=self._environment(bench),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = self._await(build, begin)
        finally:
            _end(build)
        if code != 0:
            told = (bench / "output").read_text(errors="replace").splitlines()[-8:]
            raise OpaError(
                f"Go could not build OPA {OPA_VERSION}: {' | '.join(told) or f'exit {code}'}; "
                f"give Go a way to its modules, {WAYS_OUT}",
            )
        self.say(f"built OPA {OPA_VERSION} in {time.monotonic() - begin:.0f} s")

    def _await(self, build: subprocess.Popen[bytes], begin: float) -> int:
        """Return Go's exit code, and say every `beat` seconds that it still builds."""
        while True:
            try:
                return build.wait(self.beat)
            except subprocess.TimeoutExpired:
                self.say(f"building OPA {OPA_VERSION}: {time.monotonic() - begin:.0f} s so far")

    def _environment(self, bench: Path) -> dict[str, str]:
        """Return the environment of Go: the caller's, but for what would build something else."""
        kept = {name: value for name, value in self.environment.items() if name not in FOREIGN}
        # Each is set rather than left out: an empty variable would let the file of `go env -w` speak.
        # GOFLAGS is where `-mod=vendor` comes from, which no `go install module@version` survives.
        ours = {"GOBIN": str(bench), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GO111MODULE": "on"}
        return kept | ours


def _end(build: subprocess.Popen[bytes]) -> None:
    """Leave no compiler running when we were interrupted."""
    if build.poll() is None:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.stdout.write(f"{find_opa(environment(), say=_tell)}\n")
