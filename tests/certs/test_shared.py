"""A directory's files as the data of a Secret: whole, with the right modes, or not at all."""

from datetime import UTC, datetime
from pathlib import Path
from stat import S_IMODE

import pytest

from certs import CertificateError, adopt, contents, ensure, named

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTS = ("portcullis.portcullis-system.svc", "127.0.0.1", "::1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A directory with a whole set."""
    ensure(tmp_path / "made", HOSTS, now=NOW)
    return tmp_path / "made"


def test_another_directory_becomes_the_same(made: Path, tmp_path: Path) -> None:
    """What is adopted is byte for byte what was there, and nothing is due in it."""
    adopt(tmp_path / "other", contents(made))
    assert contents(tmp_path / "other") == contents(made)
    ensure(tmp_path / "other", HOSTS, now=NOW)
    assert contents(tmp_path / "other") == contents(made)


def test_keys_are_our_own_to_read(made: Path, tmp_path: Path) -> None:
    """Private keys are 0600, certificates 0644, in a directory of 0700."""
    other = tmp_path / "other"
    adopt(other, contents(made))
    modes = {name: S_IMODE((other / name).stat().st_mode) for name in ("ca.key", "tls.key", "ca.crt", "tls.crt")}
    assert modes == {"ca.key": 0o600, "tls.key": 0o600, "ca.crt": 0o644, "tls.crt": 0o644}
    assert S_IMODE(other.stat().st_mode) == 0o700


def test_what_the_data_do_not_have_goes(made: Path, tmp_path: Path) -> None:
    """A Secret without a ca.key is its owner's: a key of ours beside it would have us sign for it."""
    ensure(tmp_path / "other", HOSTS, now=NOW)
    theirs = {name: content for name, content in contents(made).items() if name != "ca.key"}
    adopt(tmp_path / "other", theirs)
    assert contents(tmp_path / "other") == theirs


@pytest.mark.parametrize("missing", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("empty", [True, False], ids=["empty", "absent"])
def test_half_a_pair_is_refused_and_nothing_changes(made: Path, missing: str, *, empty: bool) -> None:
    """A Secret that lost a part is told of; what is served meanwhile stays."""
    before = contents(made)
    data = {name: content for name, content in before.items() if name != missing}
    with pytest.raises(CertificateError, match=r"no tls\.crt or no tls\.key: delete it"):
        adopt(made, {**data, **({missing: b""} if empty else {})})
    assert contents(made) == before


def test_what_is_no_file_of_ours_is_left_alone(made: Path) -> None:
    """Other keys of a Secret are its owner's."""
    adopt(made, {**contents(made), "notes.txt": b"hello"})
    assert not (made / "notes.txt").exists()


def test_the_same_is_not_written_again(made: Path) -> None:
    """The server would load it anew for nothing."""
    before = {name: (made / name).stat().st_mtime_ns for name in contents(made)}
    adopt(made, contents(made))
    assert {name: (made / name).stat().st_mtime_ns for name in contents(made)} == before


def test_the_hosts_of_a_certificate_are_those_it_was_made_for(made: Path) -> None:
    """Names and addresses, as they were asked for; none of what cannot be read."""
    assert set(named(contents(made))) == set(HOSTS)
    assert named({}) == ()
    assert named({"tls.crt": b"no certificate"}) == ()
