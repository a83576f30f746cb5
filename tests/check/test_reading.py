"""However many processes read, what is read is the same and in the same order."""

import os
import signal
from pathlib import Path

import pytest

from webhook.check import reading
from webhook.check.reading import every_written
from webhook.check.written import Sources, Written
from webhook.errors import ManifestError, SettingsError

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: allow-{number}, namespace: team-{number}}}
spec: {{podSelector: {{}}, ingress: [{{ports: [{{port: {number}}}]}}]}}
---
{more}
"""
MORE = ("", "kind: [", "apiVersion: v1\nkind: Namespace\nmetadata: {name: also}", "just: words")


def test_a_reader_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the manifests never look like all of them."""
    write(tmp_path)

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(reading, "_leave_interrupts", killed)
    with pytest.raises(SettingsError, match="a process that read manifests was ended"):
        list(every_written(Sources((tmp_path,)), many=1))


def test_many_processes_read_what_one_reads(tmp_path: Path) -> None:
    """The objects, what they say and where they stand, and what is wrong, in the order of the files."""
    write(tmp_path)
    by_many, by_one = read(tmp_path, many=1), read(tmp_path, many=1000)
    assert by_many == by_one
    assert len(by_one) == 40 + 10 * 3
    assert [each for each in by_one if isinstance(each, str)]


def test_files_that_are_not_there_are_told_among_the_others(tmp_path: Path) -> None:
    """In their place."""
    write(tmp_path)
    sources = Sources((tmp_path / "0.yaml", tmp_path / "none.yaml", tmp_path / "1.yaml"))
    found = [str(each.spot.file.name) if isinstance(each, Written) else "?" for each in every_written(sources, many=1)]
    assert found == ["0.yaml", "?", "?", "1.yaml"]


def write(folder: Path) -> None:
    """Write files, some of which have something wrong in them."""
    for number in range(40):
        (folder / f"{number}.yaml").write_text(POLICY.format(number=number, more=MORE[number % len(MORE)]))


def read(folder: Path, *, many: int) -> list[tuple[object, ...] | str]:
    """Return what is found, and what would come of it, comparable."""
    found = every_written(Sources((folder,)), many=many)
    return [
        str(each) if isinstance(each, ManifestError) else (each.thing, each.spot, each.read(), each.arrival())
        for each in found
    ]
