"""The steps of a set that replicas share: each follows from what is there, and nothing is due twice."""

from datetime import UTC, datetime, timedelta

import pytest

from certs import OVERLAP, Pair, Rotation, ahead, anchors, issue_authority, issue_serving, readable, signed_with, sound

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTS = ("portcullis.portcullis-system.svc", "127.0.0.1")
AGED = NOW + timedelta(days=2440)
"""The CA is past two thirds of its ten years."""


def made(now: datetime = NOW, authority: Pair | None = None) -> dict[str, bytes]:
    """Return a whole set."""
    ca = authority or issue_authority(now=now)
    leaf = issue_serving(ca, HOSTS, now=now)
    return {"ca.crt": ca.certificate, "ca.key": ca.key, "tls.crt": leaf.certificate, "tls.key": leaf.key}


def aged() -> dict[str, bytes]:
    """Return a set whose CA is due and whose certificate is young."""
    return made(AGED, issue_authority(now=NOW))


def trusting(now: datetime, *, trusted: bool = True) -> Rotation:
    """Return the rotation by somebody who is trusted in advance, or not yet."""
    return Rotation(HOSTS, now, lambda _: trusted)


def test_nothing_becomes_a_whole_set() -> None:
    """Which is not due again."""
    first = trusting(NOW, trusted=False).advanced({})
    assert sound(first)
    assert trusting(NOW).advanced(first) == first


def test_a_ca_is_trusted_before_it_serves_and_after_it_did() -> None:
    """Both in the bundle, the new one's certificate, a day, and the new one alone."""
    before = aged()
    both = trusting(AGED, trusted=False).advanced(before)
    assert both["tls.crt"] == before["tls.crt"]
    assert both["ca.key"] != before["ca.key"]
    assert set(readable(before["ca.crt"])) < set(readable(both["ca.crt"]))
    assert trusting(AGED, trusted=False).advanced(both) == both
    served = trusting(AGED).advanced(both)
    assert served["ca.crt"] == both["ca.crt"]
    assert signed_with(served, served["ca.key"])
    assert trusting(AGED + OVERLAP - timedelta(seconds=1)).advanced(served) == served
    after = trusting(AGED + OVERLAP).advanced(served)
    assert after["tls.crt"] == served["tls.crt"]
    assert set(readable(after["ca.crt"])) == set(readable(both["ca.crt"])) - set(readable(before["ca.crt"]))


def test_a_new_ca_may_be_asked_for() -> None:
    """Of a CA whose key was stolen, say; asked for twice, none of the three is forgotten."""
    before = made()
    first = trusting(NOW, trusted=False).advanced(before, anew=True)
    second = trusting(NOW, trusted=False).advanced(first, anew=True)
    assert len({before["ca.key"], first["ca.key"], second["ca.key"]}) == 3
    assert len(readable(second["ca.crt"])) == 3
    assert second["tls.crt"] == before["tls.crt"]


@pytest.mark.parametrize("days", [91, 3700], ids=["certificate", "CA"])
def test_what_is_over_is_not_waited_for(days: int) -> None:
    """Nobody can be served with it."""
    after = trusting(NOW + timedelta(days=days), trusted=False).advanced(made())
    assert anchors(after["tls.crt"], after["ca.crt"], now=NOW + timedelta(days=days))
    assert signed_with(after, after["ca.key"])


def test_an_aged_ca_renews_what_is_over_before_it_goes() -> None:
    """Clients trust it, and the next one not yet."""
    before = made()
    after = trusting(AGED, trusted=False).advanced(before)
    assert (after["ca.crt"], after["ca.key"]) == (before["ca.crt"], before["ca.key"])
    assert after["tls.crt"] != before["tls.crt"]


@pytest.mark.parametrize("key", [b"", b"garbage", made()["ca.key"]], ids=["gone", "garbage", "another's"])
def test_a_ca_without_its_key_has_a_successor(key: bytes) -> None:
    """What is served goes on by the old one, which stays in the bundle."""
    before = made()
    after = trusting(NOW, trusted=False).advanced({**before, "ca.key": key})
    assert after["tls.crt"] == before["tls.crt"]
    assert len(readable(after["ca.crt"])) == 2
    assert sound(after)


def test_what_surrounds_the_cas_of_a_bundle_is_left_out() -> None:
    """A line that somebody typed by mistake costs no CA."""
    before = made()
    bundle = b"garbage\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + before["ca.crt"]
    assert trusting(NOW).advanced({**before, "ca.crt": bundle}) == before


def test_hosts_add_up() -> None:
    """What another replica is called by stays in the certificate."""
    other = Rotation(("10.0.0.7",), NOW, lambda _: True).advanced(made())
    assert trusting(NOW).advanced(other) == other


def test_a_host_that_is_missing_waits_until_its_ca_is_trusted() -> None:
    """What is served is good for the others."""
    both = trusting(NOW, trusted=False).advanced(made(), anew=True)
    more = Rotation((*HOSTS, "10.0.0.7"), NOW, lambda _: False).advanced(both)
    assert more["tls.crt"] == both["tls.crt"]


def test_a_set_of_the_future_is_known() -> None:
    """Its certificate's or its CA's beginning is later than now."""
    before = made()
    assert not ahead(before, now=NOW)
    assert ahead(before, now=NOW - timedelta(hours=1))
    ca = issue_authority(now=NOW - timedelta(days=10))
    assert ahead(made(authority=ca), now=NOW - timedelta(hours=1))


FLAWS = {
    "nothing": dict.fromkeys(made(), b""),
    "another key": {"tls.key": made()["tls.key"]},
    "another pair": {name: content for name, content in made().items() if name.startswith("tls")},
    "another CA": {name: content for name, content in made().items() if name.startswith("ca")},
    "no CA": {"ca.crt": made()["tls.crt"]},
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_parts_that_do_not_fit_are_no_sound_set(flaw: str) -> None:
    """Whatever the time is."""
    assert sound(made(NOW - timedelta(days=9000)))
    assert not sound({**made(), **FLAWS[flaw]})
