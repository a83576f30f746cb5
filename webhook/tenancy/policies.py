"""The policies that stand in namespaces, and what is kept of each."""

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any

from webhook.model import MANAGER, Policy, PolicyKind, Writer

Object = Mapping[str, Any]

_ATTACHED = ("annotations", "finalizers", "ownerReferences")


class Policies(Mapping[str, tuple[Policy, ...]]):
    """
    The policies by namespace: a tuple that stays the same as long as none of them changes.

    It is made when somebody asks, so that ten thousand changes in one namespace cost no more than in as many.
    """

    def __init__(self) -> None:
        # Reviews are read in threads, too: none may keep a tuple that has just changed.
        self._lock = Lock()
        self._standing: dict[str, dict[tuple[str, str], Policy]] = {}
        self._tuples: dict[str, tuple[Policy, ...]] = {}

    def __getitem__(self, namespace: str) -> tuple[Policy, ...]:
        with self._lock:
            found = self._tuples.get(namespace)
            if found is None:
                found = self._tuples[namespace] = tuple(self._standing[namespace].values())
            return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._standing)

    def __len__(self) -> int:
        return len(self._standing)

    def __reduce__(self) -> tuple[Any, ...]:
        return policies_of, ([each for standing in self._standing.values() for each in standing.values()],)

    def put(self, policy: Policy) -> None:
        """Take a policy that came or changed."""
        with self._lock:
            self._standing.setdefault(policy.namespace, {})[policy.kind, policy.name] = policy
            self._tuples.pop(policy.namespace, None)

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """Let a policy go."""
        with self._lock:
            standing = self._standing.get(namespace, {})
            standing.pop((kind, name), None)
            self._tuples.pop(namespace, None)
            if not standing:
                self._standing.pop(namespace, None)

    def without(self, kind: str) -> "Policies":
        """Return those of other kinds, apart from these."""
        other = Policies()
        for policies in self._standing.values():
            for policy in policies.values():
                if policy.kind != kind:
                    other.put(policy)
        return other


def policies_of(every: Iterable[Policy]) -> Policies:
    """Return the policies that stand."""
    found = Policies()
    for each in every:
        found.put(each)
    return found


def read_policy(kind: PolicyKind, thing: Object) -> Policy:
    """Return the Policy of an object of the API server."""
    metadata = thing["metadata"]
    return Policy(
        # None where somebody defined the kind as cluster-scoped; then it selects nothing.
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        spec=thing.get("spec") if kind == "NetworkPolicy" else _without_history(thing),
        kind=kind,
        attached=tuple(each for each in _ATTACHED if metadata.get(each)),
        version=metadata.get("resourceVersion", ""),
        writers=_writers(metadata) if kind == "NetworkPolicy" and "." in metadata["name"] else (),
    )


def _writers(metadata: Object) -> tuple[Writer, ...]:
    """Return who wrote to an object beside us, the last one first; of most there is nobody."""
    entries = [each for each in metadata.get("managedFields") or () if each.get("manager") != MANAGER]
    found = [
        Writer(each.get("manager", ""), each.get("operation", ""), each.get("time", ""))
        for each in entries
        if not each.get("subresource")
    ]
    return tuple(sorted(found, key=lambda each: (each.time, each.manager), reverse=True)) if found else ()


def _without_history(thing: Object) -> Object:
    """Return the object without what nobody reads and what is often larger than the rest."""
    metadata = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
    return {**thing, "metadata": metadata}
