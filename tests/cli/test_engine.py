"""Which engine `serve` decides with: in-process without an OPA beside it; where that cannot be OPA, which is told."""

import asyncio
import os
import shutil
import stat
from pathlib import Path

import orjson
import psutil
import pytest

from tests.cases.reviews import ADA, NETPOL, Asked, policy
from tests.cli.test_serve import MINE, THEIRS, Serving, event, opa_of, refused, serve, until, url_of, usual
from webhook.admission import Gate
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.opa import Engine
from webhook.decision.wasm import Bounds, WasmOpa, compiled
from webhook.settings import BREAK_GLASS_GROUPS, bundled_policies
from webhook.tenancy.tree import Tree

CALLING = """# METADATA
# title: No such name
# description: Nobody has a policy whose name has this digest.
# custom:
#   severity: low
#   remediation: Take another name.
package portcullis.rules.extra.digest

import data.portcullis.result

deny contains violation if {
	crypto.sha256(input.object.metadata.name) == "0"
	violation := result.violation(rego.metadata.chain(), "there is no such name")
}
"""
"""Rego that is right, with a builtin that OPA alone has."""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the policies to change."""
    return Path(shutil.copytree(bundled_policies(), tmp_path / "policies"))


def call(folder: Path) -> Path:
    """Put a rule there that OPA alone can evaluate; return its file."""
    rule = folder / "portcullis" / "rules" / "extra" / "digest" / "digest.rego"
    rule.parent.mkdir(parents=True)
    rule.write_text(CALLING)
    return rule


def opas(serving: Serving) -> list[psutil.Process]:
    """Return the OPAs that it has started and that run."""
    children = psutil.Process(serving.process.pid).children(recursive=True)
    return [each for each in children if each.is_running() and "--ready-timeout" in each.cmdline()]


def notes(serving: Serving) -> list[str]:
    """Return what /readyz says of the engine."""
    found = serving.client.get("/readyz").json()["notes"]
    return [each for each in found if each.startswith(("engine: ", "policies: ", "cross-check: "))]


def engine(serving: Serving) -> str:
    """Return which engine the metrics name."""
    (line,) = [each for each in serving.metrics().splitlines() if each.startswith("portcullis_engine_info{")]
    return line.partition('"')[2].partition('"')[0]


def test_it_decides_in_process_and_starts_nothing(opa_binary: Path, tmp_path: Path) -> None:
    """Unasked; what was compiled is kept, and the next start needs no OPA at all."""
    cache = tmp_path / "cache"
    with serve(tmp_path, *usual(tmp_path), XDG_CACHE_HOME=cache, PORTCULLIS_OPA=opa_binary) as serving:
        assert serving.ready["engine"] == "wasm"
        assert serving.ask(MINE)["allowed"]
        assert serving.ask(THEIRS)["status"]["code"] == 403
        assert psutil.Process(serving.process.pid).children(recursive=True) == []
        assert (engine(serving), notes(serving), serving.missing()) == ("wasm", [], [])
        until(lambda: "portcullis_opa_up 1.0" in serving.metrics(), seconds=10)
        assert serving.stop() == 0
    with serve(tmp_path, *usual(tmp_path), XDG_CACHE_HOME=cache, PORTCULLIS_OPA="/bin/false") as serving:
        assert serving.ask(THEIRS)["status"]["code"] == 403
    assert "Traceback" not in serving.log.read_text()


@pytest.mark.parametrize("how", ["bytes", "everybody's"])
def test_a_compiled_module_that_somebody_changed_is_not_taken(opa_binary: Path, tmp_path: Path, how: str) -> None:
    """It is compiled anew, which takes an OPA: without one there is no start."""
    cache = tmp_path / "cache"
    with serve(tmp_path, *usual(tmp_path), XDG_CACHE_HOME=cache, PORTCULLIS_OPA=opa_binary) as serving:
        assert serving.stop() == 0
    (kept,) = cache.rglob("*.wasm")
    if how == "bytes":
        content = kept.read_bytes()
        kept.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        kept.chmod(kept.stat().st_mode | stat.S_IWOTH)
    lines = refused("serve", *usual(tmp_path), "--engine", "wasm", XDG_CACHE_HOME=cache, PORTCULLIS_OPA="/bin/false")
    assert len(lines) == 1
    assert "PORTCULLIS_OPA is /bin/false, which is not OPA" in lines[0]


def test_policies_that_opa_alone_can_evaluate_are_opas(copied: Path, tmp_path: Path) -> None:
    """The reason is in the log and in /readyz; once they can be evaluated in-process they are, and OPA goes."""
    rule = call(copied)
    with serve(tmp_path, *usual(tmp_path), "--policies", copied) as serving:
        until(lambda: serving.missing() == [])
        assert serving.ready["engine"] == engine(serving) == "opa"
        assert len(opas(serving)) == 1
        (note,) = notes(serving)
        assert note.startswith("engine: OPA decides, since the policies cannot be evaluated in-process: ")
        assert "crypto.sha256" in note
        told = event(serving.log, "policies not evaluated in-process")
        assert told
        assert "crypto.sha256" in told["reason"]
        assert serving.ask(MINE)["allowed"]
        assert serving.ask(THEIRS)["status"]["code"] == 403
        shutil.rmtree(rule.parent.parent)
        loaded = read_policies(copied).policies.revision
        until(lambda: serving.client.get("/readyz").json()["revision"] == loaded, seconds=60)
        assert serving.ask(THEIRS)["status"]["code"] == 403
        until(lambda: (engine(serving), notes(serving), opas(serving)) == ("wasm", [], []), seconds=20)
        call(copied)
        loaded = read_policies(copied).policies.revision
        until(lambda: serving.client.get("/readyz").json()["revision"] == loaded, seconds=60)
        assert serving.ask(THEIRS)["auditAnnotations"]["policy-revision"] == loaded
        until(lambda: (engine(serving), len(opas(serving))) == ("opa", 1), seconds=20)
        assert serving.stop() == 0


def test_in_process_or_not_at_all(copied: Path, tmp_path: Path) -> None:
    """With --engine wasm such policies are refused at start; at a reload the former decide on, and that is told."""
    rule = call(copied)
    lines = refused("serve", *usual(tmp_path), "--policies", copied, "--engine", "wasm")
    assert "crypto.sha256" in lines[0]
    shutil.rmtree(rule.parent.parent)
    with serve(tmp_path, *usual(tmp_path), "--policies", copied, PORTCULLIS_ENGINE="wasm") as serving:
        call(copied)
        (note,) = until(lambda: notes(serving), seconds=60)
        assert note.startswith(f"policies: what is in {copied} does not decide: ")
        assert "crypto.sha256" in note
        assert serving.ask(MINE)["auditAnnotations"]["policy-revision"] == serving.ready["revision"]
        assert opas(serving) == []


@pytest.mark.parametrize("whose", ["ours", "others'"])
def test_live_decisions_are_put_to_opa_too(opa_binary: Path, tmp_path: Path, whose: str) -> None:
    """To one of our own, or to that of --opa-url; while it is away answers come all the same, and a note says so."""
    with opa_of(opa_binary, "127.0.0.1:0") as other:
        asked = ["--opa-url", url_of(other)] if whose == "others'" else []
        with serve(tmp_path, *usual(tmp_path), "--cross-check", "1", *asked) as serving:
            assert serving.ready["engine"] == "wasm"
            if whose == "others'":
                assert opas(serving) == []
                assert serving.ask(MINE)["allowed"]
                assert serving.missing() == []
                # It has no policies.
                until(lambda: 'portcullis_cross_checks_total{outcome="undecided"} 1.0' in serving.metrics(), seconds=10)
                assert notes(serving) == ["cross-check: nothing is compared: OPA's decision is undefined"]
                return
            until(lambda: notes(serving) == [], seconds=30)
            assert serving.ask(MINE)["allowed"]
            assert serving.ask(THEIRS)["status"]["code"] == 403
            until(lambda: 'portcullis_cross_checks_total{outcome="same"} 2.0' in serving.metrics(), seconds=10)
            (opa,) = opas(serving)
            os.kill(opa.pid, 9)
            assert serving.ask(MINE)["allowed"]
            assert serving.missing() == []
            assert 'outcome="different"} 0.0' in serving.metrics()
            assert serving.stop() == 0
        assert not opa.is_running()


def test_a_request_that_breaks_the_engine_is_denied_alone(opa_binary: Path, bundle: Bundle, tree: Tree) -> None:
    """Whoever may write one object must not take the replica out of the Service: the next request has an answer."""
    module = compiled(opa_binary, bundle, cache=None)
    opa = WasmOpa.load(module, bundle.policies.revision, bounds=Bounds(memory=4 * 2**20))
    gate = Gate(Engine(opa, bundle.policies), lambda: tree, BREAK_GLASS_GROUPS, lambda _: None)

    async def main() -> None:
        large = policy("checkout-dev", name="x")
        large["metadata"]["annotations"] = {f"k{number}": "v" * 1000 for number in range(4000)}
        body = orjson.dumps(Asked(ADA, "CREATE", NETPOL, new=large).review())
        response = orjson.loads(await gate.validate(body, seconds=30))["response"]
        assert (response["allowed"], response["status"]["code"]) == (False, 500)
        await gate.probe(seconds=10)
        assert orjson.loads(await gate.validate(orjson.dumps(MINE.review()), seconds=30))["response"]["allowed"]

    asyncio.run(main())
    opa.close()
