"""Where OPA comes from: the setting, PATH, the cache, a build by Go; in that order and of one version."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.decision.binary import OPA_VERSION, find_opa
from webhook.errors import OpaError

OTHER = "echo 'Version: 1.21.0'"
RIGHT = f"echo 'Version: {OPA_VERSION}'"


@pytest.fixture(scope="module")
def real() -> Path:
    """Find the real OPA, or build it where there is none."""
    return find_opa(os.environ, say=print)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Make a machine with nothing: PATH is one folder of our own, empty like the home."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "home").mkdir()
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")}


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """Return the place of the cached OPA in that machine, with nothing there yet."""
    path = tmp_path / "home/.cache/portcullis/bin" / f"opa-{OPA_VERSION}"
    path.parent.mkdir(parents=True)
    return path


def write_program(path: Path, text: str) -> Path:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{text}\n")
    path.chmod(0o755)
    return path


def write_go(tmp_path: Path, real: Path, *, first: str = "true") -> Path:
    """Write a Go that notes how it was called and, after the line `first`, installs the real OPA without building."""
    return write_program(
        tmp_path / "bin/go",
        f'echo "$* CGO_ENABLED=$CGO_ENABLED GOFLAGS=$GOFLAGS GOOS=$GOOS GOPROXY=$GOPROXY" >>{tmp_path}/calls\n'
        f'{first}\ncp {real} "$GOBIN/opa"',
    )


def until(condition: Callable[[], bool]) -> None:
    """Return once it holds; fail after 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def quiet(line: str) -> None:
    """Fail on any progress: nothing is to be built."""
    pytest.fail(line)


def test_the_real_opa_is_of_our_version(real: Path) -> None:
    """What is found runs and is what the policies were written for."""
    told = subprocess.run([real, "version"], capture_output=True, text=True, check=True).stdout
    assert f"Version: {OPA_VERSION}\n" in told
    assert real.is_absolute()


def test_what_is_set_goes_first(tmp_path: Path, environment: dict[str, str]) -> None:
    """PORTCULLIS_OPA is taken before an OPA on PATH."""
    write_program(tmp_path / "bin/opa", RIGHT)
    chosen = write_program(tmp_path / "elsewhere/opa", RIGHT)
    assert find_opa(environment | {"PORTCULLIS_OPA": str(chosen)}, say=quiet) == chosen


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OTHER, r"PORTCULLIS_OPA is .*chosen, which is not OPA 1\.22\.0 \(1\.21\.0\)"),
        ("echo 'Version: 1.22.0-dev'", r"\(1\.22\.0-dev\)"),
        (f"{RIGHT}; exit 1", "ended with 1 and named no version"),
        ("echo hello", "ended with 0 and named no version"),
        (None, "there is no such program"),
    ],
    ids=["another version", "nearly", "fails", "no OPA", "missing"],
)
def test_what_is_set_wrongly_is_refused(
    tmp_path: Path, environment: dict[str, str], text: str | None, reason: str
) -> None:
    """A PORTCULLIS_OPA that cannot be followed is an error, even where another OPA would do."""
    write_program(tmp_path / "bin/opa", RIGHT)
    if text:
        write_program(tmp_path / "chosen", text)
    with pytest.raises(OpaError, match=reason):
        find_opa(environment | {"PORTCULLIS_OPA": str(tmp_path / "chosen")}, say=quiet)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    """A PORTCULLIS_OPA that cannot be executed is told as such."""
    (tmp_path / "chosen").write_text("not a program")
    with pytest.raises(OpaError, match=r"it does not run: .*Permission denied"):
        find_opa(environment | {"PORTCULLIS_OPA": str(tmp_path / "chosen")}, say=quiet)


def test_another_version_on_path_is_passed_over(tmp_path: Path, environment: dict[str, str]) -> None:
    """The first OPA on PATH that is of our version is taken, not the first OPA."""
    write_program(tmp_path / "bin/opa", OTHER)
    right = write_program(tmp_path / "more/opa", RIGHT)
    environment["PATH"] += f"::relative:{right.parent}"
    assert find_opa(environment, say=quiet) == right


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_the_cache_is_used(tmp_path: Path, environment: dict[str, str], real: Path, variable: str) -> None:
    """An OPA that lies in the cache is taken without a build, although another version is on PATH and Go too."""
    write_program(tmp_path / "bin/opa", OTHER)
    write_go(tmp_path, real)
    base = tmp_path / "cache" if variable == "XDG_CACHE_HOME" else tmp_path / "home/.cache"
    kept = write_program(base / "portcullis/bin" / f"opa-{OPA_VERSION}", RIGHT)
    # A relative one is to be ignored.
    environment["XDG_CACHE_HOME"] = str(base) if variable == "XDG_CACHE_HOME" else "relative"
    assert find_opa(environment, say=quiet) == kept


def test_with_nothing_there_it_says_what_to_install(environment: dict[str, str]) -> None:
    """Without any OPA and without Go the error names every way out."""
    with pytest.raises(OpaError, match=r"install Go 1\.26 or newer, put opa 1\.22\.0 on PATH or set PORTCULLIS_OPA"):
        find_opa(environment, say=quiet)


def test_without_a_home_it_says_so(environment: dict[str, str]) -> None:
    """Where no cache can be placed, that is the error, not a folder somewhere."""
    del environment["HOME"]
    with pytest.raises(OpaError, match="set HOME"):
        find_opa(environment, say=quiet)


def test_a_broken_cache_without_go_is_told(environment: dict[str, str], cached: Path) -> None:
    """A cached file that does not run is never returned; the error names it."""
    write_program(cached, "exit 1")
    with pytest.raises(OpaError, match=rf"{cached} is no help \(`opa version` ended with 1"):
        find_opa(environment, say=quiet)


def test_go_builds_where_there_is_none(tmp_path: Path, environment: dict[str, str], cached: Path, real: Path) -> None:
    """A build replaces a broken cached file; it is told of, no flag of the caller bends it, and it is kept."""
    write_program(cached, "exit 1")
    write_go(tmp_path, real, first="sleep 0.3")
    said: list[str] = []
    bent = environment | {"GOFLAGS": "-mod=vendor", "GOOS": "plan9", "GOPROXY": "https://modules.example"}
    assert find_opa(bent, say=said.append, beat=0.1) == cached
    assert "takes about 2 to 3 minutes, once" in said[0]
    assert all(re.fullmatch(r"building OPA 1\.22\.0: \d+ s so far", line) for line in said[1:-1])
    assert re.fullmatch(r"built OPA 1\.22\.0 in \d+ s", said[-1])
    assert len(said) >= 4
    assert (tmp_path / "calls").read_text() == (
        "install github.com/open-policy-agent/opa@v1.22.0 CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOOS= "
        "GOPROXY=https://modules.example\n"
    )
    assert {path.name for path in cached.parent.iterdir()} == {cached.name, f"{cached.name}.lock"}
    assert find_opa(environment, say=quiet) == cached


@pytest.mark.parametrize(
    ("go", "reason"),
    [
        ("echo go: downloading; echo go: no way out >&2; exit 1", r"go: downloading \| go: no way out; give Go a way"),
        ("exit 7", "could not build OPA 1.22.0: exit 7"),
        (f'echo "#!/bin/sh\n{OTHER}" >"$GOBIN/opa"; chmod +x "$GOBIN/opa"', r"no working OPA 1\.22\.0 \(1\.21\.0\)"),
        ("true", r"no working OPA 1\.22\.0 \(there is no such program\)"),
    ],
    ids=["no modules", "silent", "another version", "nothing"],
)
def test_a_failed_build_says_why(environment: dict[str, str], cached: Path, go: str, reason: str) -> None:
    """The end of Go's output is in the error, and nothing takes the place of the cached OPA."""
    write_program(Path(environment["PATH"]) / "go", go)
    with pytest.raises(OpaError, match=reason):
        find_opa(environment, say=lambda _: None)
    assert [path.name for path in cached.parent.iterdir()] == [f"{cached.name}.lock"]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, environment: dict[str, str], real: Path) -> None:
    """Where the cache's folder cannot be made the error says where."""
    write_go(tmp_path, real)
    (tmp_path / "home/.cache").write_text("in the way")
    with pytest.raises(OpaError, match=r"cannot be kept in .*\.cache/portcullis/bin: "):
        find_opa(environment, say=quiet)


def test_an_interrupted_build_leaves_nothing_running(tmp_path: Path, environment: dict[str, str], cached: Path) -> None:
    """Whoever breaks off the wait ends Go as well, and all that it had started."""
    write_program(tmp_path / "bin/go", f"echo $$ >{tmp_path}/pid; sleep 60")

    def interrupt(line: str) -> None:
        if "so far" in line and (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_opa(environment, say=interrupt, beat=0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert not cached.with_name(f"{cached.name}.building").exists()


def test_two_at_once_build_once(tmp_path: Path, environment: dict[str, str], cached: Path, real: Path) -> None:
    """The second caller waits, says so, and takes what the first one built."""
    write_go(tmp_path, real, first=f"while [ ! -e {tmp_path}/go-on ]; do sleep 0.02; done")
    said: dict[str, list[str]] = {"first": [], "second": []}
    found: list[Path] = []

    def find(name: str) -> None:
        found.append(find_opa(environment, say=said[name].append))

    threads = {name: threading.Thread(target=find, args=[name]) for name in said}
    threads["first"].start()
    until((tmp_path / "calls").exists)
    threads["second"].start()
    until(lambda: bool(said["second"]))
    (tmp_path / "go-on").touch()
    for thread in threads.values():
        thread.join(20)
    assert found == [cached, cached]
    assert said["second"] == ["waiting: OPA 1.22.0 is being built by another process"]
    assert (tmp_path / "calls").read_text().count("\n") == 1
