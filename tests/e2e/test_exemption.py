"""An exemption is an InfraAdmin's to give, holds for a while and ends by itself."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.guarded import Guarded
from tests.e2e.manifests import ZERO_TRUST, documents
from tests.e2e.reading import NAMESPACES, state, until

Json = dict[str, Any]

DAY = 24 * 3600.0


def exemption(seconds: float) -> Json:
    """Return the patch that exempts a namespace for so many seconds from now."""
    until_when = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    notes = {"portcullis.dev/exempt-reason": "moving house", "portcullis.dev/exempt-until": until_when}
    return {"metadata": {"labels": {"portcullis.dev/exempt": "true"}, "annotations": notes}}


NONE: Json = {
    "metadata": {
        "labels": {"portcullis.dev/exempt": None},
        "annotations": {"portcullis.dev/exempt-reason": None, "portcullis.dev/exempt-until": None},
    }
}


def patch(name: str, change: Json) -> tuple[str, ...]:
    return ("patch", "namespace", name, "--type=merge", "--patch", json.dumps(change))


def run(place: str, name: str) -> tuple[str, ...]:
    return ("run", name, "--image=example.org/web", f"--namespace={place}")


@pytest.fixture(scope="module")
def house(guarded: Guarded) -> str:
    """A namespace of workspace checkout."""
    guarded.create("house")
    return "house"


@pytest.mark.parametrize("user", ["wanda", "paul", "rudi", "stranger"])
def test_nobody_exempts_their_own(guarded: Guarded, house: str, user: str) -> None:
    """Neither its owners nor anybody else, in whole or in part, nor through the status of the namespace."""
    before = guarded.reader.read(f"{NAMESPACES}/{house}")
    whole = exemption(DAY)["metadata"]
    for change in ({"metadata": whole}, *({"metadata": {kind: each}} for kind, each in whole.items())):
        for more in ((), ("--subresource=status",)):
            said = guarded.refused(*patch(house, change), *more, user=user)
            assert "[baseline/exemption]" in said
    assert guarded.reader.read(f"{NAMESPACES}/{house}") == before


WRONG = {
    "31 days": (exemption(31 * DAY), "longer than 30 days"),
    "an end that is past": (exemption(-60), "ended before it began"),
    "no reason": (
        {"metadata": {**exemption(DAY)["metadata"], "annotations": {"portcullis.dev/exempt-until": "soon"}}},
        "says nothing: write why",
    ),
    "no end": ({"metadata": {"labels": {"portcullis.dev/exempt": "true"}}}, "says nothing: write why"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_exemption_is_whole_and_of_thirty_days_at_most(guarded: Guarded, house: str, wrong: str) -> None:
    """Whoever gives it."""
    change, why = WRONG[wrong]
    for user in ("ivan", "olga"):
        said = guarded.refused(*patch(house, change), user=user)
        assert "[baseline/exemption]" in said
        assert why in said


def test_an_exemption_holds_until_its_end_and_ends_by_itself(guarded: Guarded) -> None:
    """The injected policies go and the owner's own stay; a pod starts without; at the end all is as before."""
    guarded.create("moving")
    guarded.kubectl(*patch("moving", exemption(10)), user="ivan")
    until(lambda: guarded.reader.specs("moving") == {}, 5)
    said = until(lambda: exempt_state(guarded, "moving"), 5)
    assert said["reason"].startswith("exempt until 20")
    guarded.kubectl(*run("moving", "bare"), user="wanda")
    hosted = guarded.reader.read(f"{NAMESPACES}/moving/pods/bare")
    hosted = {**hosted, "metadata": {"name": "hosted", "namespace": "moving"}, "status": {}}
    hosted["spec"]["hostNetwork"] = True
    assert "[guardrail/host-network]" in guarded.refused("create", "-f-", user="wanda", stdin=documents(hosted))
    # Its owner goes on, but does not take it off, nor prolongs it.
    guarded.kubectl("label", "namespace", "moving", "team=a", user="wanda")
    assert "[baseline/exemption]" in guarded.refused(*patch("moving", NONE), user="wanda")
    assert "[baseline/exemption]" in guarded.refused(*patch("moving", exemption(DAY)), user="wanda")
    found = guarded.reader.read(f"{NAMESPACES}/moving")
    assert found["metadata"]["labels"]["portcullis.dev/gate"] == "enforced"
    until(lambda: guarded.reader.specs("moving") == ZERO_TRUST, 12)
    until(lambda: state(guarded.reader.read(f"{NAMESPACES}/moving")) | {"revision": "", "since": ""} == READY, 5)
    guarded.kubectl(*run("moving", "covered"), user="wanda")
    # What is left of it is an InfraAdmin's to clear away.
    assert "[baseline/exemption]" in guarded.refused(*patch("moving", NONE), user="wanda")
    guarded.kubectl(*patch("moving", NONE), user="ivan")


READY = {"state": "Ready", "reason": "", "revision": "", "since": ""}


def exempt_state(guarded: Guarded, name: str) -> Json:
    """Return the state of a namespace once it says that it is exempt."""
    found = state(guarded.reader.read(f"{NAMESPACES}/{name}"))
    return found if found.get("state") == "Ready" and "exempt" in found["reason"] else {}


def test_an_exemption_is_taken_off_before_its_end(guarded: Guarded, house: str) -> None:
    """And the policies are back."""
    guarded.kubectl(*patch(house, exemption(DAY)), user="olga")
    until(lambda: guarded.reader.specs(house) == {}, 5)
    guarded.kubectl(*patch(house, NONE), user="ivan")
    until(lambda: guarded.reader.specs(house) == ZERO_TRUST, 5)
    guarded.kubectl(*run(house, "covered"), user="wanda")


def test_who_runs_the_platform_exempts_what_nobody_owns(guarded: Guarded) -> None:
    """An unowned namespace, when it is created or later."""
    new: Json = {"apiVersion": "v1", "kind": "Namespace", **exemption(DAY)}
    new["metadata"]["name"] = "depot"
    assert "[baseline/exemption]" in guarded.refused("create", "-f-", user="stranger", stdin=documents(new))
    guarded.kubectl("create", "-f-", user="ivan", stdin=documents(new))
    guarded.kubectl(*patch("depot", NONE), user="ivan")
    guarded.kubectl(*patch("depot", exemption(DAY)), user="ivan")
