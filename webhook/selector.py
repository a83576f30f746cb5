"""
Label selectors as sets of labels: what they match, whether two can match a common object, whether one implies another.

Exact, because every requirement speaks of one key and keys are independent of each other.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictStr, ValidationError

from webhook.errors import UnreadableError

MOST_CONDITIONS = 500
"""Labels and values in one selector; comparing two costs their product, and nobody may keep the gate busy."""

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label with its name that the API server puts on every Namespace; nobody changes it."""

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]
OPPOSITE: Mapping[Operator, Operator] = {
    "In": "NotIn",
    "NotIn": "In",
    "Exists": "DoesNotExist",
    "DoesNotExist": "Exists",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; NotIn and DoesNotExist also match where the label is absent."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def negated(self) -> "Requirement":
        """Match exactly the labels that this one does not."""
        return Requirement(self.key, OPPOSITE[self.operator], self.values)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether `labels` meet the condition."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """All of its requirements have to hold; without any it matches everything."""

    requirements: frozenset[Requirement] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether an object with `labels` is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def joined(self, other: "Selector") -> "Selector":
        """Select what both select."""
        return Selector(self.requirements | other.requirements)

    def satisfiable(self) -> bool:
        """Say whether any labels at all are selected."""
        return all(_key_satisfiable(same_key) for same_key in _by_key(self.requirements).values())

    def implies(self, other: "Selector") -> bool:
        """Say whether everything selected by this one is selected by `other` too."""
        if not self.satisfiable():
            return True
        by_key = _by_key(self.requirements)
        return not any(_key_satisfiable([*by_key.get(each.key, ()), each.negated()]) for each in other.requirements)


def _by_key(requirements: Iterable[Requirement]) -> dict[str, list[Requirement]]:
    by_key: dict[str, list[Requirement]] = {}
    for requirement in requirements:
        by_key.setdefault(requirement.key, []).append(requirement)
    return by_key


def _key_satisfiable(requirements: list[Requirement]) -> bool:
    if len(requirements) == 1:
        return requirements[0].operator != "In" or bool(requirements[0].values)
    operators = {requirement.operator for requirement in requirements}
    wanted = [requirement.values for requirement in requirements if requirement.operator == "In"]
    if "DoesNotExist" in operators:
        return not operators & {"In", "Exists"}
    if not wanted:
        return True  # there are more label values than anybody can exclude one by one
    excluded = frozenset[str]().union(*(each.values for each in requirements if each.operator == "NotIn"))
    return bool(frozenset.intersection(*wanted) - excluded)


def _dropped_null(value: Any) -> Any:
    return () if value is None else value


class _Expression(BaseModel):
    model_config = ConfigDict(extra="ignore")
    key: StrictStr
    operator: Operator
    values: Annotated[tuple[StrictStr, ...], BeforeValidator(_dropped_null)] = ()

    def requirement(self) -> Requirement:
        takes_values = self.operator in {"In", "NotIn"}
        if takes_values != bool(self.values):
            raise UnreadableError(f"{self.operator} on {self.key} {'needs' if takes_values else 'takes no'} values")
        return Requirement(self.key, self.operator, frozenset(self.values))


class _LabelSelector(BaseModel):
    model_config = ConfigDict(extra="ignore")
    matchLabels: dict[StrictStr, StrictStr] | None = None  # noqa: N815 - as Kubernetes spells it
    matchExpressions: tuple[_Expression, ...] | None = None  # noqa: N815 - as Kubernetes spells it


def read_selector(raw: object) -> Selector:
    """
    Read a LabelSelector as Kubernetes stores it; `None` counts as `{}`.

    Raises `UnreadableError` for anything that the API server would refuse.
    """
    if type(raw) is dict and (plain := _plain(raw)) is not None:
        return within_bounds(plain)
    try:
        selector = _LabelSelector.model_validate({} if raw is None else raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableError(f"selector cannot be read at {where or 'its top'}: {first['msg']}") from error
    labels = (Requirement(key, "In", frozenset({value})) for key, value in (selector.matchLabels or {}).items())
    expressions = (each.requirement() for each in selector.matchExpressions or ())
    return within_bounds(Selector(frozenset([*labels, *expressions])))


def _plain(raw: dict[Any, Any]) -> Selector | None:
    """Read a selector of labels alone, which nearly all are, at a fraction of the cost; None where it is another."""
    labels = raw.get("matchLabels", {})
    if not raw.keys() <= {"matchLabels"} or type(labels) is not dict:
        return None
    for key, value in labels.items():
        # Letters beyond ASCII may be halves of a character, which are no text.
        if type(key) is not str or type(value) is not str or not (key.isascii() and value.isascii()):
            return None
    return Selector(frozenset([Requirement(key, "In", frozenset((value,))) for key, value in labels.items()]))


def within_bounds(selector: Selector) -> Selector:
    """Return the selector; raises `UnreadableError` for one that is too large to be compared with others."""
    if sum(1 + len(each.values) for each in selector.requirements) > MOST_CONDITIONS:
        raise UnreadableError(f"a selector of more than {MOST_CONDITIONS} labels and values is not judged")
    return selector
