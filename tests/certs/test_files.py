"""What is kept in the directory: one consistent set, whoever writes and whatever was there."""

import multiprocessing
import ssl
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from stat import S_IMODE
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from certs import CertificateError, CertificateFiles, Pair, ensure, issue_authority, issue_serving, problem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTS = ("portcullis.portcullis.svc", "127.0.0.1")
START = NOW - timedelta(minutes=5)
DUE = START + timedelta(days=60)
END = START + timedelta(days=90)
NAMES = ("ca.key", "ca.crt", "tls.key", "tls.crt")  # in the order they are written


def contents(directory: Path) -> dict[str, bytes]:
    """Give what the files hold, in the order they are written."""
    return {name: (directory / name).read_bytes() for name in NAMES if (directory / name).exists()}


def assert_consistent(directory: Path) -> None:
    """OpenSSL takes the pair, and the CA in the directory signed it."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(directory / "tls.crt", directory / "tls.key")
    leaf, authority = (
        x509.load_pem_x509_certificate((directory / name).read_bytes()) for name in ("tls.crt", "ca.crt")
    )
    key = load_pem_private_key((directory / "ca.key").read_bytes(), None)
    leaf.verify_directly_issued_by(authority)
    assert authority.public_key() == key.public_key()


def put_own(directory: Path, serving: Pair) -> dict[str, bytes]:
    """Put the operator's own certificate into `directory`, as a mounted Secret would."""
    (directory / "tls.crt").write_bytes(serving.certificate)
    (directory / "tls.key").write_bytes(serving.key)
    return contents(directory)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Give a directory with a whole set, made at NOW."""
    ensure(tmp_path, HOSTS, now=NOW)
    return tmp_path


@pytest.fixture(scope="module")
def own() -> Pair:
    """Give a certificate that is good for HOSTS, by a CA that is in no directory."""
    return issue_serving(issue_authority(now=NOW), HOSTS, now=NOW)


def test_an_empty_place_gets_a_whole_set_with_tight_permissions(tmp_path: Path) -> None:
    """A directory that is missing is made for its owner alone, and so are the keys."""
    directory = tmp_path / "deep" / "certs"
    files = ensure(directory, HOSTS, now=NOW)
    assert files == CertificateFiles(*(directory / name for name in ("ca.crt", "tls.crt", "tls.key", "ca.key")))
    assert S_IMODE(directory.stat().st_mode) == 0o700
    modes = [S_IMODE(path.stat().st_mode) for path in (files.ca_key, files.key, files.ca, files.certificate)]
    assert modes == [0o600, 0o600, 0o644, 0o644]
    assert sorted(path.name for path in directory.iterdir()) == [".lock", "ca.crt", "ca.key", "tls.crt", "tls.key"]
    assert_consistent(directory)


def test_until_two_thirds_of_its_life_nothing_is_written(made: Path) -> None:
    """Calling again costs nothing and changes nothing."""
    before = contents(made)
    ensure(made, HOSTS, now=DUE - timedelta(seconds=1))
    assert contents(made) == before


def test_at_two_thirds_the_serving_certificate_alone_is_renewed(made: Path) -> None:
    """The certificate and its key are new, the CA is the one that clients trust."""
    before = contents(made)
    ensure(made, HOSTS, now=DUE)
    after = contents(made)
    assert {name for name in NAMES if before[name] != after[name]} == {"tls.crt", "tls.key"}
    assert problem(made / "tls.crt", now=END + timedelta(days=1)) is None
    assert_consistent(made)


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"tls.key": issue_authority(now=NOW).key}, id="another key"),
        pytest.param({"tls.crt": b"-----BEGIN CERTIFICATE-----\n"}, id="half a certificate"),
        pytest.param({"tls.crt": issue_authority(now=NOW).certificate}, id="another certificate"),
        pytest.param({"tls.key": b""}, id="an empty key"),
    ],
)
def test_a_serving_certificate_of_ours_that_is_spoilt_is_made_anew(spoilt: dict[str, bytes], made: Path) -> None:
    """With the CA's key at hand whatever is wrong with tls.crt and tls.key is repaired, and the CA stays."""
    before = contents(made)
    for name, content in spoilt.items():
        (made / name).write_bytes(content)
    ensure(made, HOSTS, now=NOW)
    assert_consistent(made)
    assert (contents(made)["ca.crt"], contents(made)["ca.key"]) == (before["ca.crt"], before["ca.key"])


def test_a_serving_certificate_of_another_ca_is_made_anew(own: Pair, made: Path) -> None:
    """A pair that is good in itself is of no use to clients that trust this CA."""
    put_own(made, own)
    ensure(made, HOSTS, now=NOW)
    assert_consistent(made)


def test_a_clock_set_back_before_the_certificate_has_it_made_anew(made: Path) -> None:
    """Not yet valid is as useless as expired."""
    ensure(made, HOSTS, now=DUE)
    ensure(made, HOSTS, now=NOW)
    assert problem(made / "tls.crt", now=NOW) is None


@pytest.mark.parametrize(
    ("host", "renewed"),
    [
        ("portcullis.portcullis.svc", False),
        ("Portcullis.PORTCULLIS.svc", False),
        ("other.portcullis.svc", True),
        ("127.0.0.2", True),
        ("*.portcullis.svc", True),
    ],
)
def test_a_host_that_is_not_covered_has_it_made_anew(host: str, renewed: bool, made: Path) -> None:  # noqa: FBT001
    """What clients dial is what the certificate is for; what it covers beyond that is no reason."""
    before = contents(made)
    ensure(made, (host,), now=NOW)
    assert (contents(made) != before) is renewed


@pytest.mark.parametrize("count", range(len(NAMES)))
def test_after_a_crash_between_two_writes_the_set_is_completed(count: int, made: Path) -> None:
    """Whichever file was the last to be written, the next call repairs the rest and keeps the CA's key."""
    before = contents(made)
    for name in NAMES[count:]:
        (made / name).unlink()
    (made / f".{NAMES[count]}.new").write_bytes(b"half")
    ensure(made, HOSTS, now=NOW)
    assert_consistent(made)
    assert all(contents(made)[name] == before[name] for name in NAMES[: min(count, 2)])
    assert not list(made.glob("*.new"))


def test_after_a_crash_in_a_renewal_the_pair_is_repaired(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A new key beside the former certificate lasts no longer than until the next call."""
    other = tmp_path_factory.mktemp("other")
    (made / "tls.key").write_bytes(ensure(other, HOSTS, now=NOW).key.read_bytes())
    ensure(made, HOSTS, now=NOW)
    assert_consistent(made)


def test_a_lost_ca_certificate_is_made_again_and_clients_notice_nothing(made: Path) -> None:
    """The former ca.crt, which clients still hold, vouches for what the same key signs later."""
    trusted = x509.load_pem_x509_certificate((made / "ca.crt").read_bytes())
    (made / "ca.crt").unlink()
    ensure(made, HOSTS, now=DUE)
    x509.load_pem_x509_certificate((made / "tls.crt").read_bytes()).verify_directly_issued_by(trusted)
    assert_consistent(made)


def test_a_bundle_is_kept_whole_and_the_cas_key_says_who_signs(made: Path) -> None:
    """While two CAs overlap ca.crt is not touched, whichever of the two stands first."""
    bundle = issue_authority(now=NOW).certificate + (made / "ca.crt").read_bytes()
    (made / "ca.crt").write_bytes(bundle)
    before = contents(made)
    ensure(made, HOSTS, now=NOW)
    assert contents(made) == before
    ensure(made, HOSTS, now=DUE)
    assert contents(made)["ca.crt"] == bundle
    assert problem(made / "tls.crt", now=END + timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("ca.crt", b"nonsense", id="certificate is nonsense"),
        pytest.param("ca.crt", b"", id="certificate is empty"),
        pytest.param("ca.key", b"nonsense", id="key is nonsense"),
        pytest.param("ca.key", b"", id="key is empty"),
        pytest.param("ca.key", issue_authority(now=NOW).key, id="key is another's"),
        pytest.param("ca.crt", issue_authority(now=NOW).certificate, id="certificate is another's"),
    ],
)
def test_a_ca_that_cannot_be_read_is_refused_and_never_replaced(name: str, content: bytes, made: Path) -> None:
    """A new CA would lock out every client, so that is for a person to decide, who is told how."""
    (made / name).write_bytes(content)
    before = contents(made)
    with pytest.raises(CertificateError, match=r"not replaced, since clients trust it: restore both files; or remove"):
        ensure(made, HOSTS, now=NOW)
    assert contents(made) == before


def test_a_ca_that_expired_is_replaced(made: Path) -> None:
    """Nobody trusts it any more, so there is nothing to lose: a new one and its certificate are made at once."""
    before = contents(made)
    ended = NOW + timedelta(days=3652)
    ensure(made, HOSTS, now=ended)
    assert not {name for name in NAMES if contents(made)[name] == before[name]}
    assert problem(made / "tls.crt", now=ended) is None
    assert_consistent(made)


def test_a_ca_of_the_future_is_refused(made: Path) -> None:
    """The clock is wrong, and others whose clock is right trust that CA."""
    before = contents(made)
    with pytest.raises(CertificateError, match=r"not valid before 2026-11-21T11:55:00Z, check the clock"):
        ensure(made, HOSTS, now=NOW - timedelta(days=1))
    assert contents(made) == before


@pytest.mark.parametrize("names", [("ca.crt",), ("ca.crt", "ca.key")], ids="+".join)
def test_after_a_crash_while_a_ca_is_replaced_it_is_completed(names: tuple[str, ...], made: Path) -> None:
    """ca.crt goes first and comes last: what is missing is made for the key that is there."""
    ended = NOW + timedelta(days=3652)
    (made / "ca.crt").unlink()
    if "ca.key" in names:
        (made / "ca.key").write_bytes(issue_authority(now=ended).key)
    ensure(made, HOSTS, now=ended)
    assert problem(made / "tls.crt", now=ended) is None
    assert_consistent(made)


def test_following_the_advice_for_a_lost_ca_works(made: Path) -> None:
    """What the message says to do, done, ends in a whole new set."""
    before = contents(made)
    for name in NAMES:
        (made / name).unlink()
    ensure(made, HOSTS, now=NOW)
    assert_consistent(made)
    assert contents(made)["ca.key"] != before["ca.key"]


@pytest.mark.parametrize("names", [("ca.crt",), ("tls.crt",), ("tls.key",), ("ca.crt", "tls.key")], ids="+".join)
def test_remains_without_a_ca_key_are_not_overwritten(names: tuple[str, ...], made: Path) -> None:
    """We write ca.key first, so what lies there without it is somebody else's, even if it is empty."""
    for name in NAMES:
        (made / name).write_bytes(b"") if name in names else (made / name).unlink()
    before = contents(made)
    with pytest.raises(CertificateError, match=r"ca\.key is missing.*or empty the directory"):
        ensure(made, HOSTS, now=NOW)
    assert contents(made) == before


@pytest.mark.parametrize("now", [NOW, DUE, END], ids=["new", "past two thirds", "last second"])
def test_the_operators_own_certificate_is_used_as_it_is(now: datetime, own: Pair, tmp_path: Path) -> None:
    """No ca.key: nothing is written, no lock, no CA, so a Secret's read-only mount will do."""
    before = put_own(tmp_path, own)
    files = ensure(tmp_path, HOSTS, now=now)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tls.crt", "tls.key"]
    assert not files.ca.exists()


def test_the_operators_own_chain_and_wildcard_are_understood(tmp_path: Path) -> None:
    """The leaf comes first, and its star stands for one label."""
    ca = issue_authority(now=NOW)
    leaf = issue_serving(ca, ("*.portcullis.svc",), now=NOW)
    put_own(tmp_path, Pair(leaf.certificate + ca.certificate, leaf.key))
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    assert ensure(tmp_path, ("a.portcullis.svc",), now=NOW).ca.read_bytes() == ca.certificate


def test_whom_the_operators_own_certificate_is_for_is_theirs_to_say(tmp_path: Path) -> None:
    """In a cluster it is for the Service's name, and nobody dials localhost."""
    put_own(tmp_path, issue_serving(issue_authority(now=NOW), ("portcullis.portcullis-system.svc",), now=NOW))
    before = contents(tmp_path)
    ensure(tmp_path, ("localhost", "127.0.0.1"), now=NOW)
    assert contents(tmp_path) == before


def encrypted(key: bytes) -> bytes:
    """Give `key` as a person keeps it, with a password."""
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


@pytest.mark.parametrize(
    ("certificate", "key", "now", "message"),
    [
        pytest.param(
            None, None, END + timedelta(seconds=1), r"expired at 2027-02-19T11:55:00Z: renew it", id="expired"
        ),
        pytest.param(None, None, START - timedelta(seconds=1), r"not valid before .*: check the clock", id="too early"),
        pytest.param(None, issue_authority(now=NOW).key, NOW, r"not belong to the key beside it: put", id="mismatch"),
        pytest.param(None, b"nonsense", NOW, r"holds no unencrypted private key.*: put the right", id="no key"),
        pytest.param(b"nonsense", None, NOW, r"holds no certificate that.*: put the right", id="no certificate"),
        pytest.param(issue_authority(now=NOW).certificate, None, NOW, r"not belong to the key", id="the CA's"),
    ],
)
def test_the_operators_own_certificate_that_is_unusable_is_refused(
    certificate: bytes | None, key: bytes | None, now: datetime, message: str, own: Pair, tmp_path: Path
) -> None:
    """It is theirs: we say what is wrong and what to do, and write nothing."""
    before = put_own(tmp_path, Pair(certificate or own.certificate, key or own.key))
    with pytest.raises(CertificateError, match=message):
        ensure(tmp_path, HOSTS, now=now)
    assert contents(tmp_path) == before


def test_a_key_with_a_password_is_refused(own: Pair, tmp_path: Path) -> None:
    """Nobody is there to type it."""
    put_own(tmp_path, Pair(own.certificate, encrypted(own.key)))
    with pytest.raises(CertificateError, match="no unencrypted private key"):
        ensure(tmp_path, HOSTS, now=NOW)


@pytest.mark.parametrize("name", [*NAMES, ".lock", ".tls.key.new"])
def test_a_file_that_cannot_be_read_or_written_is_our_error(name: str, made: Path) -> None:
    """A directory where a file should be stands for whatever the system refuses, even to root."""
    (made / name).unlink(missing_ok=True)
    (made / name).mkdir()
    with pytest.raises(CertificateError, match=r"cannot be (read|written) \(Is a directory\): ") as raised:
        ensure(made, HOSTS, now=DUE)
    assert isinstance(raised.value.__cause__, OSError)


def test_a_directory_that_is_a_file_is_our_error(tmp_path: Path) -> None:
    """The path may be mistyped; the message names it."""
    (tmp_path / "certs").write_bytes(b"")
    with pytest.raises(CertificateError, match=r"certs.* cannot be"):
        ensure(tmp_path / "certs", HOSTS, now=NOW)


def test_a_host_that_is_none_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A mistake in the settings leaves no trace."""
    with pytest.raises(CertificateError, match="is no host"):
        ensure(tmp_path / "certs", ("https://a.test",), now=NOW)
    assert not (tmp_path / "certs").exists()


def test_processes_that_start_together_end_with_one_set(tmp_path: Path) -> None:
    """Replicas that share a directory do not overwrite each other: one makes, the rest take."""
    directory = tmp_path / "certs"
    start = partial(ensure, hosts=HOSTS, now=NOW)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert len(set(pool.map(start, [directory] * 6, chunksize=1))) == 1
    assert_consistent(directory)
    before = contents(directory)
    ensure(directory, HOSTS, now=NOW)
    assert contents(directory) == before


def test_threads_that_start_together_see_one_set_each(tmp_path: Path) -> None:
    """Whoever returns from ensure sees the files that everybody else sees."""
    directory, barrier = tmp_path / "certs", Barrier(8, timeout=30)

    def start(_: int) -> tuple[bytes, ...]:
        barrier.wait()
        ensure(directory, HOSTS, now=NOW)
        return tuple(contents(directory).values())

    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(start, range(8)))
    assert len(seen) == 1
    assert_consistent(directory)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(START - timedelta(seconds=1), "is not valid before 2026-11-21T11:55:00Z: check", id="too early"),
        pytest.param(START, None, id="first second"),
        pytest.param(END, None, id="last second"),
        pytest.param(END + timedelta(seconds=1), "expired at 2027-02-19T11:55:00Z: renew it", id="expired"),
    ],
)
def test_a_problem_is_told_exactly_outside_the_validity(now: datetime, said: str | None, made: Path) -> None:
    """Both ends belong to the validity (RFC 5280, 4.1.2.5)."""
    told = problem(made / "tls.crt", now=now)
    assert told is None if said is None else told and said in told


def test_a_certificate_that_is_missing_or_unreadable_is_a_problem(tmp_path: Path) -> None:
    """A readiness probe gets a sentence that names the file, never an exception."""
    path = tmp_path / "tls.crt"
    assert f"{path} is missing: put" in (problem(path, now=NOW) or "")
    path.write_bytes(b"nonsense")
    assert f"{path} holds no certificate" in (problem(path, now=NOW) or "")
    path.unlink()
    path.mkdir()
    assert f"{path} cannot be read (Is a directory): make" in (problem(path, now=NOW) or "")
