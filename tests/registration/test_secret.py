"""The certificate of all replicas: one, in a Secret, whoever comes first; and an operator's own is never touched."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

import certs
from tests.cases.reviews import Json
from tests.cluster.memory import Call, Memory
from webhook.cluster.resource import SECRETS
from webhook.errors import ClusterError, SettingsError
from webhook.model import HOME
from webhook.registration.secret import ABSENT, NAME, SharedCertificate

HOSTS = ("portcullis.portcullis-system.svc", "127.0.0.1")
FOUR = {"ca.crt", "ca.key", "tls.crt", "tls.key"}


def shared(memory: Memory, directory: Path, hosts: tuple[str, ...] = HOSTS) -> SharedCertificate:
    return SharedCertificate.of(memory, directory, hosts)


def synced(*every: SharedCertificate) -> None:
    """Sync one after the other."""
    for each in every:
        asyncio.run(each.sync())


def data_of(memory: Memory) -> dict[str, bytes]:
    """Return what the Secret holds."""
    secret = memory.find(SECRETS, NAME, HOME)
    assert secret
    return {name: base64.b64decode(content) for name, content in secret["data"].items()}


def secret_of(data: dict[str, bytes], **more: object) -> Json:
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    metadata = {"name": NAME, "namespace": HOME}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": metadata,
        "data": encoded,
    } | more


def issued(hosts: tuple[str, ...] = HOSTS, *, days_ago: float = 0) -> dict[str, bytes]:
    """Return a whole set that was issued some days ago; a serving certificate lasts 90."""
    now = datetime.now(UTC) - timedelta(days=days_ago)
    authority = certs.issue_authority(now=now)
    serving = certs.issue_serving(authority, hosts, now=now)
    pairs = {"ca.crt": authority.certificate, "ca.key": authority.key}
    return {**pairs, "tls.crt": serving.certificate, "tls.key": serving.key}


def foreign(*, days_ago: float = 0) -> dict[str, bytes]:
    """Return a set as cert-manager keeps it: without the CA's key."""
    return {name: content for name, content in issued(days_ago=days_ago).items() if name != "ca.key"}


def put(directory: Path, data: dict[str, bytes]) -> None:
    directory.mkdir(exist_ok=True)
    for name, content in data.items():
        (directory / name).write_bytes(content)


def writes(memory: Memory) -> list[str]:
    return [each.verb for each in memory.calls if each.verb != "read"]


# What cannot be used.


@pytest.mark.parametrize("missing", ["tls.key", "tls.crt"])
def test_half_a_pair_of_somebody_elses_is_told_of(missing: str, tmp_path: Path) -> None:
    """It is not overwritten: the other half may be about to come."""
    memory = Memory()
    data = foreign()
    del data[missing]
    memory.put(SECRETS, secret_of(data))
    with pytest.raises(SettingsError) as caught:
        synced(shared(memory, tmp_path))
    expected = f"Secret {HOME}/{NAME}: it has no tls.crt or no tls.key: delete it to have all made anew"
    assert str(caught.value) == expected
    assert writes(memory) == []
    assert certs.contents(tmp_path) == {}


@pytest.mark.parametrize("missing", ["tls.key", "tls.crt"])
def test_half_a_pair_of_ours_is_made_anew(missing: str, tmp_path: Path) -> None:
    """By the CA that is there, which the API server trusts."""
    memory = Memory()
    data = issued()
    memory.put(SECRETS, secret_of({name: content for name, content in data.items() if name != missing}))
    synced(shared(memory, tmp_path))
    assert data_of(memory)["ca.crt"] == data["ca.crt"]
    assert certs.sound(data_of(memory))
    assert certs.contents(tmp_path) == data_of(memory)


def test_a_secret_that_nobody_can_change_is_told_of(tmp_path: Path) -> None:
    """Somebody made it immutable; what to do is said, and what is served goes on."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    before = certs.contents(tmp_path)
    memory.put(SECRETS, secret_of({"tls.crt": b"hello"}, immutable=True))
    with pytest.raises(SettingsError, match="it is immutable: delete it to have it made again"):
        synced(replica)
    assert certs.contents(tmp_path) == before


WITHOUT_DATA: dict[str, Json] = {
    "no data": {},
    "null": {"data": None},
    "no base64": {"data": {"tls.crt": "%%%", "tls.key": "%%%"}},
    "a number": {"data": {"tls.crt": 7, "tls.key": 7}},
    "empty": {"data": {"tls.crt": "", "tls.key": ""}},
    "no certificate": {"data": {"tls.crt": "aGVsbG8=", "tls.key": "aGVsbG8="}},
    "no certificate and no key of a CA": {"data": dict.fromkeys(sorted(FOUR), "aGVsbG8=")},
}


@pytest.mark.parametrize("part", WITHOUT_DATA.values(), ids=WITHOUT_DATA.keys())
def test_a_secret_that_is_damaged_is_put_back_as_it_is_served(part: Json, tmp_path: Path) -> None:
    """Byte for byte, so that the API server goes on trusting it; in the folder nothing is written."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    before = certs.contents(tmp_path)
    memory.put(SECRETS, {"metadata": {"name": NAME, "namespace": HOME}, **part})
    synced(replica)
    assert data_of(memory) == before
    assert certs.contents(tmp_path) == before


@pytest.mark.parametrize("part", [each for each in WITHOUT_DATA if each != "no certificate"])
def test_a_secret_that_is_damaged_is_made_anew_by_who_has_nothing(part: str, tmp_path: Path) -> None:
    """There is nothing in it to lose."""
    memory = Memory()
    memory.put(SECRETS, {"metadata": {"name": NAME, "namespace": HOME}, **WITHOUT_DATA[part]})
    synced(shared(memory, tmp_path))
    assert certs.sound(data_of(memory))
    assert certs.contents(tmp_path) == data_of(memory)


PARTS: dict[str, dict[str, bytes | None]] = {
    "another key": {"tls.key": issued()["tls.key"]},
    "a certificate of another CA": {"tls.crt": issued()["tls.crt"]},
    "a pair of another CA": {name: content for name, content in issued().items() if name.startswith("tls")},
    "the CA's key gone": {"ca.key": None},
    "the CA's certificate gone": {"ca.crt": None},
    "another CA's key": {"ca.key": issued()["ca.key"]},
    "another CA's certificate": {"ca.crt": issued()["ca.crt"]},
    "another CA": {name: content for name, content in issued().items() if name.startswith("ca")},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_changed_is_put_back_as_it_is_served(part: str, tmp_path: Path) -> None:
    """The parts of two issues do not fit, and what is served is the one that fits."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    before = certs.contents(tmp_path)
    changed = {name: content for name, content in {**before, **PARTS[part]}.items() if content is not None}
    memory.put(SECRETS, secret_of(changed))
    synced(replica)
    assert data_of(memory) == certs.contents(tmp_path) == before


@pytest.mark.parametrize("part", [each for each in PARTS if each != "the CA's key gone"])
def test_a_part_that_was_changed_is_mended_by_who_has_nothing(part: str, tmp_path: Path) -> None:
    """Somebody who has just started makes of it what can be served and is whole."""
    memory = Memory()
    changed = {name: content for name, content in {**issued(), **PARTS[part]}.items() if content is not None}
    memory.put(SECRETS, secret_of(changed))
    synced(shared(memory, tmp_path))
    assert certs.sound(data_of(memory))
    assert certs.contents(tmp_path) == data_of(memory)


def test_a_foreign_certificate_that_has_expired_is_told_of(tmp_path: Path) -> None:
    """Its owner renews it; we cannot."""
    memory = Memory()
    memory.put(SECRETS, secret_of(foreign(days_ago=200)))
    with pytest.raises(SettingsError, match=f"^Secret {HOME}/{NAME}: "):
        synced(shared(memory, tmp_path))
    assert writes(memory) == []


@pytest.mark.parametrize("verb", ["read", "create"])
@pytest.mark.parametrize("status", [403, 500, 0])
def test_what_the_api_server_refuses_is_told(verb: str, status: int, tmp_path: Path) -> None:
    """As it said it; only a Secret that is not there is made."""
    memory = Memory()

    async def refuse(call: Call) -> None:
        if call.verb == verb:
            raise ClusterError("no", status=status)

    memory.before = refuse
    with pytest.raises(ClusterError) as caught:
        synced(shared(memory, tmp_path))
    assert caught.value.status == status


def test_a_secret_that_changes_all_the_time_is_given_up(tmp_path: Path) -> None:
    """With whose fault it is."""
    memory = Memory()
    memory.put(SECRETS, secret_of(issued(days_ago=80)))

    async def rival(call: Call) -> None:
        if call.verb == "replace":
            memory.put(SECRETS, secret_of(issued(days_ago=80)))

    memory.before = rival
    with pytest.raises(ClusterError, match="changes all the time: find out who else writes it"):
        synced(shared(memory, tmp_path))


def test_without_a_ca_nobody_could_trust_us(tmp_path: Path) -> None:
    """The message names the file; a pair of the operator's own needs its CA beside it."""
    data = foreign()
    put(tmp_path, {name: data[name] for name in ("tls.crt", "tls.key")})
    replica = shared(Memory(), tmp_path)
    synced(replica)
    with pytest.raises(SettingsError, match=r"ca\.crt is missing, so the API server cannot trust"):
        replica.authority()


# One certificate.


def test_the_first_one_makes_it(tmp_path: Path) -> None:
    """Issued for the hosts, in the folder and in a Secret of Kubernetes' own type with four keys."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    assert data_of(memory) == certs.contents(tmp_path)
    assert data_of(memory).keys() == FOUR
    secret = memory.find(SECRETS, NAME, HOME)
    assert secret
    assert (secret["type"], secret["apiVersion"], secret["kind"]) == ("kubernetes.io/tls", "v1", "Secret")
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/name": "portcullis",
        "app.kubernetes.io/part-of": "portcullis",
    }
    assert set(certs.named(data_of(memory))) == set(HOSTS)
    assert replica.authority() == data_of(memory)["ca.crt"]


def test_who_comes_later_adopts_it(tmp_path: Path) -> None:
    """Byte for byte, also over what it had made for itself before; and writes nothing."""
    memory = Memory()
    synced(shared(memory, tmp_path / "one"))
    put(tmp_path / "three", issued())
    memory.calls.clear()
    synced(shared(memory, tmp_path / "two"), shared(memory, tmp_path / "three"))
    for each in ("two", "three"):
        assert certs.contents(tmp_path / each) == data_of(memory)
    assert writes(memory) == []


def test_what_is_right_is_not_written(tmp_path: Path) -> None:
    """However often it is looked at."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    memory.calls.clear()
    synced(replica, replica, shared(memory, tmp_path))
    assert writes(memory) == []


def test_of_two_that_make_it_at_once_one_is_taken(tmp_path: Path) -> None:
    """The other adopts that one's, so that both are trusted by one CA."""
    memory = Memory()
    replicas = [shared(memory, tmp_path / name) for name in ("one", "two", "three")]

    async def main() -> None:
        await asyncio.gather(*(each.sync() for each in replicas))

    asyncio.run(main())
    assert writes(memory).count("create") == 3
    assert memory.version == 1
    assert {each.authority() for each in replicas} == {data_of(memory)["ca.crt"]}
    assert all(certs.contents(each.directory) == data_of(memory) for each in replicas)


def test_of_two_that_renew_at_once_one_is_taken(tmp_path: Path) -> None:
    """The same holds for a renewal."""
    memory = Memory()
    memory.put(SECRETS, secret_of(issued(days_ago=80)))
    replicas = [shared(memory, tmp_path / name) for name in ("one", "two")]

    async def main() -> None:
        await asyncio.gather(*(each.sync() for each in replicas))

    asyncio.run(main())
    assert memory.version == 2
    assert all(certs.contents(each.directory) == data_of(memory) for each in replicas)


def test_a_renewal_is_published(tmp_path: Path) -> None:
    """By the same CA, and a replica that looks later has it too."""
    memory = Memory()
    old = issued(days_ago=80)
    memory.put(SECRETS, secret_of(old))
    synced(shared(memory, tmp_path / "one"))
    renewed = data_of(memory)
    assert renewed["ca.crt"] == old["ca.crt"]
    assert renewed["tls.crt"] != old["tls.crt"]
    leaf = x509.load_pem_x509_certificate(renewed["tls.crt"])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(renewed["ca.crt"]))
    synced(shared(memory, tmp_path / "two"))
    assert certs.contents(tmp_path / "two") == renewed
    assert writes(memory) == ["replace"]


def test_a_secret_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    """Of what is served: the CA that the API server trusts stays the same."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    before = data_of(memory)
    memory.remove(SECRETS, NAME, HOME)
    synced(replica)
    assert data_of(memory) == before


def test_what_others_keep_in_the_secret_stays(tmp_path: Path) -> None:
    """Keys, labels and annotations that we do not know."""
    memory = Memory()
    data = {**issued(days_ago=80), "notes.txt": b"hello"}
    metadata = {"name": NAME, "namespace": HOME, "labels": {"team": "x"}, "annotations": {"a": "b"}}
    memory.put(SECRETS, secret_of(data, metadata=metadata))
    synced(shared(memory, tmp_path))
    secret = memory.find(SECRETS, NAME, HOME)
    assert secret
    assert data_of(memory)["notes.txt"] == b"hello"
    assert data_of(memory)["tls.crt"] != data["tls.crt"]
    assert (secret["metadata"]["labels"], secret["metadata"]["annotations"]) == ({"team": "x"}, {"a": "b"})


def test_a_missing_ca_certificate_is_made_of_its_key(tmp_path: Path) -> None:
    """And published with the rest."""
    memory = Memory()
    data = issued()
    del data["ca.crt"]
    memory.put(SECRETS, secret_of(data))
    replica = shared(memory, tmp_path)
    synced(replica)
    assert data_of(memory).keys() == FOUR
    assert replica.authority() == data_of(memory)["ca.crt"]


def test_replicas_of_several_names_have_one_certificate(tmp_path: Path) -> None:
    """What another is called by stays in it: they do not issue it anew in turns."""
    memory = Memory()
    one, two = (
        shared(memory, tmp_path / name, hosts) for name, hosts in (("one", HOSTS), ("two", ("localhost", "10.0.0.7")))
    )
    synced(one, two, one, two)
    version = memory.version
    synced(one, two)
    assert memory.version == version
    assert set(certs.named(data_of(memory))) == {*HOSTS, "localhost", "10.0.0.7"}


# What is not ours.


def test_a_foreign_certificate_is_adopted(tmp_path: Path) -> None:
    """As cert-manager keeps it, without the key of its CA: served, followed, never written."""
    memory = Memory()
    first = foreign()
    memory.put(SECRETS, secret_of(first))
    replica = shared(memory, tmp_path)
    synced(replica)
    assert certs.contents(tmp_path) == first
    second = foreign()
    memory.put(SECRETS, secret_of(second))
    synced(replica)
    assert certs.contents(tmp_path) == second
    assert replica.authority() == second["ca.crt"]
    assert writes(memory) == []


def test_a_foreign_certificate_is_followed_by_who_starts_again(tmp_path: Path) -> None:
    """A container that is started again finds its folder as it was; a renewal must reach it all the same."""
    memory = Memory()
    memory.put(SECRETS, secret_of(foreign()))
    synced(shared(memory, tmp_path))
    renewed = foreign()
    memory.put(SECRETS, secret_of(renewed))
    synced(shared(memory, tmp_path))
    assert certs.contents(tmp_path) == renewed


def test_a_pair_of_the_operators_own_is_used_and_no_secret_touched(tmp_path: Path) -> None:
    """Neither read nor written, whatever stands in it; not even the hosts are asked about."""
    memory = Memory()
    memory.put(SECRETS, secret_of(issued()))
    own = foreign()
    put(tmp_path, own)
    replica = shared(memory, tmp_path, ("other.example.com",))
    assert replica.own
    synced(replica)
    assert certs.contents(tmp_path) == own
    assert memory.calls == []


def test_half_of_a_pair_in_the_folder_is_not_the_operators_own(tmp_path: Path) -> None:
    """There is nothing to serve with, so the Secret counts."""
    memory = Memory()
    memory.put(SECRETS, secret_of(issued()))
    put(tmp_path, {"tls.crt": b"x"})
    replica = shared(memory, tmp_path)
    assert not replica.own
    synced(replica)
    assert certs.contents(tmp_path) == data_of(memory)


# As cert-manager keeps it.

CERT_MANAGER = {"cert-manager.io/certificate-name": "portcullis", "cert-manager.io/issuer-name": "portcullis-ca"}


def managed(data: dict[str, bytes]) -> Json:
    """Return the Secret with its annotations; it was ours before, so our CA's key is in it still."""
    metadata = {"name": NAME, "namespace": HOME, "annotations": CERT_MANAGER}
    return secret_of({**data, "ca.key": issued()["ca.key"]}, metadata=metadata)


def test_what_cert_manager_took_over_is_its_own(tmp_path: Path) -> None:
    """Whatever of ours is left in it; our key is not kept, for it would sign for a CA that is not ours."""
    memory = Memory()
    replica = shared(memory, tmp_path)
    synced(replica)
    memory.calls.clear()
    theirs = foreign()
    memory.put(SECRETS, managed(theirs))
    synced(replica)
    assert certs.contents(tmp_path) == theirs
    assert replica.foreign
    assert writes(memory) == []


def test_before_cert_manager_has_issued_it_is_waited_for(tmp_path: Path) -> None:
    """Its overlay lets us make no Secret; that is told apart from rights that are missing."""
    memory = Memory()

    async def refuse(call: Call) -> None:
        if call.verb == "create":
            raise ClusterError("forbidden: cannot create", status=403)

    memory.before = refuse
    replica = shared(memory, tmp_path)
    with pytest.raises(ClusterError, match="we may not make it: whoever keeps it has to") as caught:
        synced(replica)
    assert caught.value.reason == ABSENT
    memory.put(SECRETS, managed(foreign()))
    synced(replica)
    assert certs.contents(tmp_path).keys() == {"ca.crt", "tls.crt", "tls.key"}


def test_a_secret_of_cert_manager_that_is_deleted_is_its_own_to_make(tmp_path: Path) -> None:
    """What it held is served meanwhile, and that is said."""
    memory = Memory()
    memory.put(SECRETS, managed(foreign()))
    replica = shared(memory, tmp_path)
    synced(replica)
    before = certs.contents(tmp_path)
    memory.remove(SECRETS, NAME, HOME)
    synced(replica)
    assert "is gone: whoever keeps it has to bring it again" in replica.note
    assert (certs.contents(tmp_path), writes(memory)) == (before, [])


def test_one_that_nobody_renews_is_told_of(tmp_path: Path) -> None:
    """Past two thirds of its life, while there is time to find out why."""
    memory = Memory()
    memory.put(SECRETS, secret_of(foreign(days_ago=70)))
    replica = shared(memory, tmp_path)
    synced(replica)
    assert "past two thirds of its life and not renewed by whoever keeps it" in replica.note
    memory.put(SECRETS, secret_of(foreign()))
    synced(replica)
    assert replica.note == ""


@pytest.mark.parametrize("part", ["ca.crt", "tls.key"])
def test_parts_of_two_issues_are_not_taken_from_others(part: str, tmp_path: Path) -> None:
    """Nobody would trust it, so what is served goes on."""
    memory = Memory()
    memory.put(SECRETS, managed(foreign()))
    replica = shared(memory, tmp_path)
    synced(replica)
    before = certs.contents(tmp_path)
    memory.put(SECRETS, managed({**before, part: foreign()[part]}))
    with pytest.raises(SettingsError, match=f"^Secret {HOME}/{NAME}: "):
        synced(replica)
    assert (certs.contents(tmp_path), writes(memory)) == (before, [])
