"""What a change cannot concern is not decided, and that changes nothing of what a replay finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from tests.conftest import GateOf, Loop
from tests.replay.recorded import LOOSENED, TIGHTENED, Kept, batches, side, silent
from webhook.decision.bundle import Bundle, read_policies
from webhook.decision.ground import grounds
from webhook.decision.opa import LocalOpa
from webhook.decision.process import OpaProcess
from webhook.errors import PolicyError
from webhook.replay.deciding import Side
from webhook.replay.replay import MisjudgedError, replayed
from webhook.replay.screen import Screen, screen_of
from webhook.replay.tally import Replay
from webhook.settings import bundled_policies

NAMESPACE_POLICY = "portcullis/rules/rbac/namespace_policy/namespace_policy.rego"
HOST_NETWORK = "portcullis/rules/guardrail/host_network/host_network.rego"
HELPER = "portcullis/secret/secret.rego"
NEW = b"""# METADATA
# custom:
#   kinds: [Pod]
package portcullis.rules.rbac.never

deny contains {"rule": "rbac/never", "message": "no"} if input.user.name == "bo"
"""

BundleOf = Callable[[Mapping[str, bytes | None]], Bundle]


@pytest.fixture
def bundle_of(bundle: Bundle, tmp_path: Path) -> BundleOf:
    """Make a bundle of the shipped files and others, None for one that goes."""

    def bundle_of(over: Mapping[str, bytes | None]) -> Bundle:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in {**bundle.files, **over}.items():
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        return read_policies(folder)

    return bundle_of


@pytest.fixture(scope="session")
def many(history: tuple[Kept, ...]) -> tuple[Kept, ...]:
    """Some records of the table, and some in which another one asks."""
    read = [orjson.loads(each.document) for each in history if each.document and not each.dry_run]
    crossed = []
    for number, (document, other) in enumerate(zip(read, (*read[37:], *read[:37]), strict=True)):
        asked = orjson.dumps({**document, "user": other["user"]})
        crossed.append(replace(history[number], decision_id=f"x{number}", dry_run=False, document=asked))
    return (*history[::4], *crossed[::4])


def appended(name: str, added: bytes) -> Callable[[Bundle], Mapping[str, bytes | None]]:
    """Return the change that adds something to a file."""
    return lambda bundle: {name: bundle.files[name] + added}


def replaced(name: str, old: bytes, new: bytes) -> Callable[[Bundle], Mapping[str, bytes | None]]:
    """Return the change of some words of a file."""

    def change(bundle: Bundle) -> Mapping[str, bytes | None]:
        assert old in bundle.files[name]
        return {name: bundle.files[name].replace(old, new)}

    return change


GUARDRAILS = {
    f"guardrail/{name}"
    for name in ("all-namespaces", "cross-project", "from-anywhere", "host-network", "malformed", "not-understood")
} | {"guardrail/protected-cidr", "guardrail/to-anywhere", "rbac/tenancy"}

CHANGES: dict[str, tuple[Callable[[Bundle], Mapping[str, bytes | None]], set[str] | None]] = {
    "loosened": (appended(NAMESPACE_POLICY, LOOSENED), {"rbac/namespace-policy"}),
    "tightened": (appended(NAMESPACE_POLICY, TIGHTENED), {"rbac/namespace-policy"}),
    "a-helper": (
        appended("portcullis/pods/pods.rego", b"\nnever := 1\n"),
        {"baseline/pod-gate", "guardrail/host-network"},
    ),
    "a-helper-of-helpers": (appended("portcullis/guardrails/guardrails.rego", b"\nnever := 1\n"), GUARDRAILS),
    "a-new-rule": (lambda _: {"portcullis/rules/rbac/never/never.rego": NEW}, {"rbac/never"}),
    "a-rule-that-goes": (lambda _: {HOST_NETWORK: None}, {"guardrail/host-network"}),
    "kinds": (replaced(HOST_NETWORK, b"[Pod]", b"[Secret]"), {"guardrail/host-network"}),
    "the-weighing": (
        replaced("portcullis/validate/validate.rego", b'\t"rbac/tenancy",\n', b'\t"rbac/namespace-policy",\n'),
        None,
    ),
    "break-glass": (appended("portcullis/roles/roles.rego", b"\nnever := 1\n"), None),
    "the-mask-alone": (appended("portcullis/mask/mask.rego", b"\nnever := 1\n"), set()),
}


@pytest.mark.parametrize(("change", "rules"), CHANGES.values(), ids=CHANGES)
def test_a_screen_changes_nothing_of_what_is_found(
    change: Callable[[Bundle], Mapping[str, bytes | None]],
    rules: set[str] | None,
    bundle: Bundle,
    bundle_of: BundleOf,
    opa_binary: Path,
    gate_of: GateOf,
    loop: Loop,
    many: tuple[Kept, ...],
) -> None:
    """The same flips with the same examples, and the same counts, as where everything is decided."""
    head = bundle_of(change(bundle))
    screen = screen_of(opa_binary, bundle, head, bundled_policies())
    assert (None if screen is None else screen.changed) == rules
    if screen is None:
        return

    async def both() -> tuple[Replay, Replay]:
        async with OpaProcess(opa_binary, head.signed(), log=lambda _: None) as process:
            await process.ready()
            async with LocalOpa(socket=process.socket) as opa:
                sides = side(gate_of, bundle), Side(opa, head.policies, reads_time=False)
                without = await replayed(batches(many), *sides, silent)
                return without, await replayed(batches(many), *sides, silent, screen=screen)

    without, within = loop.run(both())
    # What the base decides is known of what was decided as a whole.
    assert within.otherwise <= without.otherwise
    assert replace(within, otherwise=without.otherwise, untouched=0, screened=0, sampled=0) == without
    assert within.untouched + within.screened > within.distinct / 4


NAMED = {
    "by-its-name": "never if data.portcullis.secret.word",
    "through-an-alias": "import data.portcullis.secret as innocent\n\nnever if innocent.word",
    "in-words": 'never := $"{data.portcullis.secret.word}"',
    "by-a-variable": "never if {\n\tsome key\n\tdata.portcullis[key].word\n}",
    "all-there-is": "never if walk(data, [_, true])",
    "through-what-it-stands-in": "import data.portcullis as all\n\nnever if all.secret.word",
    "spelled-otherwise": 'never if data["portcullis"]["secret"].word',
    "in-a-comprehension": "never := {each | some each in data.portcullis.secret}",
    "in-an-else": "never if input.no else := data.portcullis.secret.word",
    "as-a-key": "never if input.x[data.portcullis.secret.word]",
    "with": "never if actors.word with actors.word as data.portcullis.secret.word",
    "in-every": "never if {\n\tevery each in data.portcullis.secret {\n\t\teach\n\t}\n}",
    "as-an-argument": "f(data.portcullis.secret.word) := 1\n\nnever := f(input.x)",
    "in-what-it-uses": "import data.portcullis.between\n\nnever if between.word",
    "the-revision": "import data.portcullis.shipped\n\nnever if shipped.revision",
    "the-revision-as-opa-has-it": "never if data.system.bundles",
}


@pytest.mark.parametrize("use", NAMED.values(), ids=NAMED)
def test_what_a_rule_rests_on_is_not_missed(use: str, bundle: Bundle, bundle_of: BundleOf, opa_binary: Path) -> None:
    """However it comes to it."""
    imports, _, rest = use.rpartition("\n\n") if use.startswith("import") else ("", "", use)
    rule = bundle.files[NAMESPACE_POLICY].replace(
        b"import data.portcullis.asked\n", f"import data.portcullis.asked\n{imports}\n".encode()
    )
    both = {
        NAMESPACE_POLICY: rule + f"\n{rest}\n".encode(),
        "portcullis/between/between.rego": b"package portcullis.between\n\nword := data.portcullis.secret.word\n",
    }
    base, head = (
        bundle_of({**both, HELPER: b"package portcullis.secret\n\nword := %b\n" % word}) for word in (b"true", b"false")
    )
    screen = screen_of(opa_binary, base, head, bundled_policies())
    assert screen
    assert screen.changed == {"rbac/namespace-policy"}


UNKNOWN: dict[str, dict[str, bytes]] = {
    "weighing-beside": {"portcullis/beside.rego": b"package portcullis.validate\n\npasses := true\n"},
    "weighing-from-above": {"portcullis/beside.rego": b"package portcullis\n\nvalidate.passes := true\n"},
    "a-revision-beside": {"portcullis/beside.rego": b"package portcullis.shipped\n\nnever := 1\n"},
    "an-index-beside": {"portcullis/beside.rego": b"package portcullis.index\n\nothers := []\n"},
    "a-batch-beside": {"portcullis/beside.rego": b"package portcullis.batch\n\nnever := 1\n"},
    "a-rule-beside": {"portcullis/beside.rego": b"package portcullis.rules.rbac.tenancy\n\nallowed := true\n"},
    "rules-from-above": {"portcullis/beside.rego": b"package portcullis.rules\n\nrbac.tenancy.allowed := true\n"},
    "a-rule-of-another-name": {
        "portcullis/rules/rbac/one/one.rego": b"package portcullis.rules.rbac.two\n\ndeny := 1\n"
    },
    "deeper": {"portcullis/rules/rbac/tenancy/x/x.rego": b"package portcullis.rules.rbac.tenancy.x\n\nnever := 1\n"},
    "no-rego": {"portcullis/beside.rego": b"package portcullis.beside\n\nnever if {\n"},
}


@pytest.mark.parametrize("beside", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_understood_is_not_screened(
    beside: dict[str, bytes], bundle: Bundle, bundle_of: BundleOf, opa_binary: Path
) -> None:
    """Whatever makes a decision in another way than we know, on either side or on both."""
    other = bundle_of(beside)
    for base, head in ((bundle, other), (other, bundle), (other, other)):
        assert screen_of(opa_binary, base, head, bundled_policies()) is None


def test_a_policy_that_says_nothing_of_kinds_is_screened(bundle: Bundle, bundle_of: BundleOf, opa_binary: Path) -> None:
    """Then all rules look at everything, and other than that on the other side."""
    bare = {
        name: content.replace(b"#   kinds:", b"#   kind:") if "/rules/" in name else content
        for name, content in bundle.files.items()
    }
    base, head = bundle_of(bare), bundle_of({**bare, HELPER: b"package portcullis.secret\n"})
    screen = screen_of(opa_binary, base, head, bundled_policies())
    assert screen
    assert not base.policies.kinds
    assert screen.of("", "Pod") == ()
    mixed = screen_of(opa_binary, base, bundle, bundled_policies())
    assert mixed
    assert mixed.of("", "Pod") is None


def test_without_an_opa_nothing_is_screened(bundle: Bundle, tmp_path: Path) -> None:
    """What cannot be read is not understood."""
    assert screen_of(tmp_path / "none", bundle, bundle, bundled_policies()) is None
    with pytest.raises(PolicyError, match="cannot be parsed"):
        grounds(tmp_path / "none", bundle.files)


def variants(record: Kept, count: int) -> Sequence[Kept]:
    """Return a record on so many documents, which differ by what no rule reads."""
    read = orjson.loads(record.document)
    return [
        replace(record, decision_id=str(each), document=orjson.dumps({**read, "later": each})) for each in range(count)
    ]


def test_a_screen_that_is_wrong_is_found_out(
    history: tuple[Kept, ...], bundle: Bundle, gate_of: GateOf, loop: Loop, bundle_of: BundleOf
) -> None:
    """Of what it leaves out some is decided all the same."""
    head = bundle_of({NAMESPACE_POLICY: bundle.files[NAMESPACE_POLICY] + LOOSENED})
    refused = next(each for each in history if each.user == "bo" and each.rules == ("rbac/namespace-policy",))
    wrong = Screen(bundle.policies, head.policies, frozenset())
    with pytest.raises(MisjudgedError):
        loop.run(
            replayed(batches(variants(refused, 1000)), side(gate_of, bundle), side(gate_of, head), silent, screen=wrong)
        )


def test_what_was_undecided_is_decided_again(
    history: tuple[Kept, ...], bundle: Bundle, gate_of: GateOf, loop: Loop, bundle_of: BundleOf
) -> None:
    """It is counted, whatever the change concerns."""
    head = bundle_of({"portcullis/mask/mask.rego": bundle.files["portcullis/mask/mask.rego"] + b"\nnever := 1\n"})
    some = [each for each in history if each.document and not each.dry_run][:20]
    unloaded = [
        replace(each, document=orjson.dumps({**orjson.loads(each.document), "tree": False})) for each in some[:10]
    ]
    failed = [replace(each, verdict="error") for each in some[10:]]
    screen = Screen(bundle.policies, head.policies, frozenset())
    replay: Replay = loop.run(
        replayed(batches([*unloaded, *failed]), side(gate_of, bundle), side(gate_of, head), silent, screen=screen)
    )
    assert (replay.untouched, replay.screened) == (0, 0)
    assert (replay.undecided, replay.otherwise) == (10, 20)
