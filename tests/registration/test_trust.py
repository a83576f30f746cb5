"""What the API server trusts: told by the webhook objects, and only once it has heard of it itself."""

import base64
from datetime import UTC, datetime

import pytest

import certs
from tests.cases.reviews import Json
from webhook.registration.hooks import Callee, healed, read_shipped, wanted
from webhook.registration.trust import SETTLE_SECONDS, Trust
from webhook.settings import bundled_webhooks

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW, EVIL = (certs.issue_authority(now=NOW) for _ in range(3))
LEAF = certs.issue_serving(NEW, ("127.0.0.1",), now=NOW).certificate
SHIPPED = read_shipped(bundled_webhooks().read_text())["ValidatingWebhookConfiguration"]


def hooks(*bundles: bytes) -> Json:
    """Return an object with a hook for each."""
    return {"webhooks": [{"clientConfig": {"caBundle": base64.b64encode(each).decode()}} for each in bundles]}


class Watched:
    """What is told of two kinds, and a clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.trust = Trust(("one", "two"), clock=lambda: self.seconds)

    def see(self, one: Json | None, two: Json | None) -> None:
        self.trust.see("one", one)
        self.trust.see("two", two)

    @property
    def found(self) -> tuple[bool, bool]:
        """Whether it is relied on, and may be served."""
        return self.trust.relies_on(LEAF, NOW), self.trust.ready_for(LEAF, NOW)


def test_nothing_is_known_before_both_were_told_of() -> None:
    """And then it takes a moment."""
    watched = Watched()
    assert (watched.trust.known, watched.found) == (False, (False, False))
    watched.trust.see("one", hooks(NEW.certificate))
    assert (watched.trust.known, watched.found) == (False, (False, False))
    watched.trust.see("two", hooks(NEW.certificate))
    assert (watched.trust.known, watched.found) == (True, (True, False))
    assert watched.trust.heard_of(LEAF, NOW)
    watched.seconds += SETTLE_SECONDS
    assert watched.found == (True, True)


def test_where_nothing_stands_nobody_calls() -> None:
    """Anything may be served, and nobody relies on it."""
    watched = Watched()
    watched.see(None, None)
    assert (watched.trust.known, watched.trust.stands, watched.found) == (True, False, (False, True))


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(hooks(OLD.certificate, NEW.certificate), id="one hook of two"),
        pytest.param(hooks(b"", NEW.certificate), id="a hook without"),
        pytest.param({"webhooks": [{"clientConfig": {}}]}, id="no CA at all"),
        pytest.param(hooks(OLD.certificate), id="another CA"),
    ],
)
def test_every_hook_has_to_trust_it(stored: Json) -> None:
    """One that does not refuses what it guards."""
    watched = Watched()
    watched.see(hooks(NEW.certificate), stored)
    watched.seconds += SETTLE_SECONDS
    assert watched.found == (False, False)


def test_another_ca_beside_it_does_not_begin_the_wait_anew() -> None:
    """But taken out and put back it does."""
    watched = Watched()
    watched.see(hooks(NEW.certificate), hooks(NEW.certificate))
    watched.seconds += SETTLE_SECONDS
    watched.see(hooks(NEW.certificate + OLD.certificate), hooks(NEW.certificate))
    assert watched.found == (True, True)
    watched.see(hooks(b""), hooks(NEW.certificate))
    watched.see(hooks(NEW.certificate), hooks(NEW.certificate))
    assert watched.found == (True, False)


def test_a_watch_that_is_cut_knows_nothing() -> None:
    """When it goes on the wait begins anew: what it has missed comes now."""
    watched = Watched()
    watched.see(hooks(NEW.certificate), hooks(NEW.certificate))
    watched.seconds += SETTLE_SECONDS
    watched.trust.heard("one", cut=True)
    assert (watched.trust.known, watched.found) == (False, (False, False))
    watched.trust.heard("one", cut=False)
    assert watched.found == (True, False)


# What may stay beside what has to stand.


def put_back(callee: Callee, stored: bytes) -> bytes | None:
    """Return the caBundle that takes the place of a stored one, None where that stays."""
    thing = wanted(SHIPPED, Callee(stored))
    aim = healed(thing, wanted(SHIPPED, callee.beside(thing)))
    return base64.b64decode(aim["webhooks"][0]["clientConfig"]["caBundle"]) if aim else None


def test_a_ca_that_somebody_adds_is_taken_out() -> None:
    """Whether or not another one may stay."""
    assert put_back(Callee(NEW.certificate), NEW.certificate + EVIL.certificate) == NEW.certificate
    tolerant = Callee(NEW.certificate, tolerated=OLD.certificate)
    assert put_back(tolerant, NEW.certificate + EVIL.certificate + OLD.certificate) == (
        NEW.certificate + OLD.certificate
    )


def test_a_ca_that_may_stay_is_neither_taken_out_nor_put_in() -> None:
    """Two replicas that need not the same do not write in turns."""
    tolerant = Callee(NEW.certificate, tolerated=OLD.certificate)
    assert put_back(tolerant, OLD.certificate + NEW.certificate) is None
    assert put_back(tolerant, NEW.certificate) is None
    assert put_back(tolerant, OLD.certificate) == NEW.certificate + OLD.certificate
    assert put_back(tolerant, b"") == NEW.certificate


def test_the_order_of_a_bundle_is_no_reason_to_write_while_some_may_stay() -> None:
    """Each replica may have it otherwise; where the Secret is ours and has all, it says the order too."""
    ours, stored = NEW.certificate + OLD.certificate, OLD.certificate + NEW.certificate
    assert put_back(Callee(ours, tolerated=EVIL.certificate), stored) is None
    assert put_back(Callee(ours), stored) == ours
