"""What we read is what kubectl reads: compared with the Go libraries that kubectl 1.36 reads with."""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.yaml.kubectl import Told, ask, find_reader
from tests.yaml.texts import Structures, jumble, texts
from webhook.errors import ManifestError
from webhook.tenancy.documents import Document
from webhook.tenancy.manifests import Value, read_values
from webhook.tenancy.pieces import Piece
from webhook.tenancy.plain import UNUSUAL, read_plain

# What we refuse although kubectl takes it, by what we say (a line feed and the text follow), and why.
DELIBERATE: Mapping[str, str] = {
    r"is already defined at line": "kubectl keeps the last of them: whoever reads the file may have seen the other",
    r"kubectl would ignore what follows": "it drops that in silence",
    r"^not valid YAML: .*\n(\s|#.*\n)*(\[\]|\{\}|\[\]\{\})": "it drops in silence what follows such a document",
    r"cannot be a key\n\[\]": "the same: what follows is dropped",
    r"does not fit 64 bits": "the API server would read another number, rounded",
    r"the character U\+\w+ is not allowed": "libyaml refuses what Go's reader lets pass in a comment and in JSON",
    r"not the same when read as JSON": "the two readings differ, and the first character decides which is taken",
    r"the tag !!timestamp is not supported": "Go checks the date and keeps the text: quotes say the same",
    r"not base64 of UTF-8 text": "Go writes U+FFFD for what is no text",
    r"invalid Unicode character escape code": "Go writes U+FFFD for half a pair in JSON",
    r"found unexpected ':', while scanning a plain scalar": "for Go the key of {a:} is `a:`, for nobody else",
    r"nested deeper than 100 levels": "Go stops at 10,000; no object of Kubernetes is that deep",
}
COUNT = 3000
SEED = 20261121
HERE = Path("here.yaml")


@pytest.fixture(scope="session")
def reader() -> Path:
    """The Go program; a missing one is built."""
    return find_reader(os.environ)


def ours(text: bytes) -> tuple[list[Any], list[str]]:
    """Return the documents that we read in a text, and what we complain of."""
    found: list[Value | ManifestError] = []
    try:
        found.extend(read_values(HERE, text))
    except ManifestError as error:
        found.append(error)
    errors = [each for each in found if isinstance(each, ManifestError)]
    assert all(each.line and each.column for each in errors), errors
    return [each.data for each in found if isinstance(each, Value)], [each.what for each in errors]


def outcome(told: Told, text: bytes) -> str:
    """Compare, and return `same`, `refused`, the pattern of a deliberate refusal, or what differs."""
    documents, errors = ours(text)
    if told.error:
        return "refused" if errors else f"we take what Go refuses: {told.error}"
    if not errors:
        return "same" if same(documents, list(told.documents)) else f"not the same: {documents} {told.documents}"
    known = [why for why in DELIBERATE if re.search(why, f"{errors[0]}\n{text.decode()}")]
    return known[0] if known else f"we refuse what Go takes: {errors[0]}"


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same to JSON, in which 1 and 1.0 are, and 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def compared(reader: Path, every: Sequence[str]) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Return how often each outcome came, and the texts about which we disagree."""
    encoded = [each.encode() for each in every]
    outcomes = [(outcome(told, text), text.decode()) for told, text in zip(ask(reader, encoded), encoded, strict=True)]
    agreed = {"same", "refused", *DELIBERATE}
    return Counter(what for what, _ in outcomes), [each for each in outcomes if each[0] not in agreed]


def test_every_text_of_the_tables_is_read_as_kubectl_reads_it(reader: Path) -> None:
    """The same value, or both refuse, or we refuse for a reason that stands above, and each of those comes up."""
    counted, different = compared(reader, list(texts()))
    assert not different
    assert counted["same"] > 2000
    assert counted["refused"] > 500
    assert counted.keys() - {"same", "refused"} >= DELIBERATE.keys()


@pytest.mark.parametrize(
    ("every", "least"),
    [
        pytest.param(lambda: list(jumble(SEED, COUNT)), 400, id="of-parts"),
        pytest.param(
            lambda: [structures.draw() for structures in [Structures(SEED)] for _ in range(COUNT)],
            400,
            id="of-structures",
        ),
    ],
)
def test_random_texts_are_read_as_kubectl_reads_them(reader: Path, every: Callable[[], list[str]], least: int) -> None:
    """Some thousands of texts that nobody wrote; enough of them mean something for both."""
    counted, different = compared(reader, every())
    assert not different
    assert counted["same"] > least


def test_the_quick_way_reads_what_the_careful_one_reads() -> None:
    """Nearly every manifest goes the quick way, and anything that it is not sure of goes the other."""
    counted: Counter[bool] = Counter()
    for text in (*texts(), *jumble(SEED + 1, COUNT)):
        value, place = read_plain(text)
        counted[value is UNUSUAL] += 1
        if value is UNUSUAL:
            continue
        careful, positions = Document(Piece(text, (0, 0))).read()
        assert same(value, careful), text
        assert value is None or positions[()] == (place[0] + 1, place[1] + 1)
    assert counted[False] > 2000
