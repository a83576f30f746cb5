"""
Finds the control plane that the end-to-end tests run on, or builds it once.

`python -m tests.controlplane.binaries` prints the folder of etcd, kube-apiserver and kube-controller-manager, and says
on standard error what it does: that way it is built before pytest begins, which would hold back such words.
"""

import fcntl
import hashlib
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

from webhook.decision.binary import FOREIGN

VERSION = "1.36.3"
MODULE = Path(__file__).parent
ETCD = "etcd"
KUBERNETES = ("kube-apiserver", "kube-controller-manager")
# Debian's etcd 3.4 breaks the API server's watches. What the tests rely on in Kubernetes is all there in 1.32.
OLDEST_ETCD, OLDEST_KUBERNETES = (3, 5), (1, 32)
STAMP = "k8s.io/component-base/version"
# Without a stamp the API server calls itself v0.0.0, and clients take it for one of long ago.
STAMPS = f"-X {STAMP}.gitVersion=v{VERSION} -X {STAMP}.gitMajor=1 -X {STAMP}.gitMinor=36"
FLAGS = ("-trimpath", "-mod=readonly", "-ldflags", f"-s -w {STAMPS}")
WAYS_OUT = f"put {ETCD}, {' and '.join(KUBERNETES)} into one folder and set KUBEBUILDER_ASSETS to it"


class NoControlPlaneError(Exception):
    """There is no control plane for the tests; the message says what to do."""


def find_control_plane(environment: Mapping[str, str], *, say: Callable[[str], None], beat: float = 30) -> Path:
    """
    Return the absolute path of a folder with the three programs, which run and are of versions that belong together.

    The first of: `$KUBEBUILDER_ASSETS`; a folder on PATH; the cache (`$XDG_CACHE_HOME`, else `~/.cache`); a build into
    that cache where Go is on PATH. `say` is told of a build, a line at least every `beat` seconds, and why
    `$KUBEBUILDER_ASSETS` is passed over: somebody may have set it for work that needs no controller manager.

    Raises NoControlPlaneError where there is none.
    """
    if chosen := environment.get("KUBEBUILDER_ASSETS"):
        folder = Path(chosen).expanduser().absolute()
        if not (fault := _fault(folder, environment)):
            return folder
        say(f"KUBEBUILDER_ASSETS is passed over: {fault}")
    on_path = [Path(folder) for folder in environment.get("PATH", "").split(os.pathsep)]
    for folder in on_path:
        if folder.is_absolute() and not _fault(folder, environment):
            return folder
    cached = _cache(environment) / f"{VERSION}-{_fingerprint()}"
    if not (fault := _fault(cached, environment)):
        return cached
    go = shutil.which("go", path=environment.get("PATH", ""))
    if go is None:
        raise NoControlPlaneError(
            f"no Kubernetes for the end-to-end tests: neither KUBEBUILDER_ASSETS nor PATH nor the cache has one "
            f"({fault}), and there is no Go on PATH to build it with; install Go 1.26 or newer, {WAYS_OUT}, "
            f"or leave those tests out: make test-fast",
        )
    return _Build(Path(go), cached, environment, say, beat).once()


def _fault(folder: Path, environment: Mapping[str, str]) -> str:
    """Say why the programs in `folder` are not what we need, nothing where they are."""
    versions = {}
    for name, oldest in ((ETCD, OLDEST_ETCD), *((name, OLDEST_KUBERNETES) for name in KUBERNETES)):
        program = folder / name
        # Asked beforehand, so that the many folders of PATH cost no process each.
        if not os.access(program, os.X_OK):
            return f"there is no program {program}"
        versions[name] = version = _reported(program, environment)
        if version < oldest:
            found = ".".join(map(str, version)) or "one that names no version"
            return f"{program} is {found}, {'.'.join(map(str, oldest))} is needed"
    server, controllers = (versions[name] for name in KUBERNETES)
    return "" if server == controllers else f"{folder} holds {' and '.join(KUBERNETES)} of different versions"


def _reported(program: Path, environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the version that a program says it is, nothing where it says none."""
    try:
        ran = subprocess.run(
            [program, "--version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    version = re.match(rb"(?:etcd Version: |Kubernetes v)(\d+)\.(\d+)\.(\d+)", ran.stdout)
    return tuple(map(int, version.groups())) if version and ran.returncode == 0 else ()


def _cache(environment: Mapping[str, str]) -> Path:
    """Return the folder of the control planes we have built."""
    base = Path(environment.get("XDG_CACHE_HOME", ""))
    # The XDG specification has a relative path ignored.
    if not base.is_absolute():
        home = environment.get("HOME", "")
        if not home:
            raise NoControlPlaneError(f"there is no HOME to keep a control plane in; set HOME, or {WAYS_OUT}")
        base = Path(home).absolute() / ".cache"
    return base / "portcullis" / "controlplane"


def _fingerprint() -> str:
    """Return a short hash of all that the build is made of: another go.sum is another control plane."""
    sources = [MODULE / "go.mod", MODULE / "go.sum", *(MODULE / name / "main.go" for name in (ETCD, *KUBERNETES))]
    made_of = hashlib.sha256(" ".join(FLAGS).encode())
    for source in sources:
        made_of.update(hashlib.sha256(source.read_bytes()).digest())
    return made_of.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Build:
    """One build of the three programs by Go into the cache."""

    go: Path
    cached: Path
    environment: Mapping[str, str]
    say: Callable[[str], None]
    beat: float

    def once(self) -> Path:
        """Build unless somebody else did so while we waited."""
        try:
            self.cached.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if _fault(self.cached, self.environment):
                    self._build()
        except OSError as error:
            raise NoControlPlaneError(f"it cannot be kept in {self.cached}: {error}; {WAYS_OUT}") from error
        return self.cached

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of the cache, which two workers of pytest may want; the kernel frees it if we are killed."""
        with self.cached.with_name(f"{self.cached.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting: the control plane is being built by another process")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self) -> None:
        """Build what is missing; each program takes its place whole, so that an interrupted build goes on there."""
        self.say(
            f"building Kubernetes {VERSION} and etcd from their Go modules for the end-to-end tests; "
            f"this takes about 16 minutes on 2 cores, once",
        )
        for name in (ETCD, *KUBERNETES):
            if not _reported(self.cached / name, self.environment):
                self._build_one(name)
        if fault := _fault(self.cached, self.environment):
            raise NoControlPlaneError(f"Go built no working control plane: {fault}; {WAYS_OUT}")

    def _build_one(self, name: str) -> None:
        """Build one program beside its place, telling how it goes; the error has the end of Go's output."""
        self.say(f"building {name}")
        begin = time.monotonic()
        # One name, not a random one: the lock is ours, so whatever is there was left by a build that was killed.
        built, told = self.cached / f"{name}.building", self.cached / f"{name}.output"
        with told.open("wb") as output:
            build = subprocess.Popen(
                [self.go, "build", *FLAGS, "-o", built, f"./{name}"],
                cwd=MODULE,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            code = self._await(build, name, begin)
        finally:
            _end(build)
        if code != 0:
            last = " | ".join(told.read_text(errors="replace").splitlines()[-8:])
            raise NoControlPlaneError(
                f"Go could not build {name}: {last or f'exit {code}'}; give Go a way to its modules, or {WAYS_OUT}",
            )
        built.replace(self.cached / name)
        told.unlink()
        self.say(f"built {name} in {time.monotonic() - begin:.0f} s")

    def _await(self, build: subprocess.Popen[bytes], name: str, begin: float) -> int:
        """Return Go's exit code, and say every `beat` seconds that it still builds."""
        while True:
            try:
                return build.wait(self.beat)
            except subprocess.TimeoutExpired:
                self.say(f"building {name}: {time.monotonic() - begin:.0f} s so far")

    def _environment(self) -> dict[str, str]:
        """Return the environment of Go: the caller's, but for what would build something else."""
        kept = {name: value for name, value in self.environment.items() if name not in FOREIGN}
        # Each is set rather than left out: an empty variable would let the file of `go env -w` speak.
        return kept | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GO111MODULE": "on", "GOWORK": "off"}


def _end(build: subprocess.Popen[bytes]) -> None:
    """Leave no compiler running when we were interrupted."""
    if build.poll() is None:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{find_control_plane(os.environ, say=_tell)}\n")
    except NoControlPlaneError as error:
        sys.exit(str(error))
