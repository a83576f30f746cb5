"""
Whether a selector of namespaces can match one of another project (contract, section 4, `guardrail/cross-project`).

By the names in it and by look-up alone, so it costs the same however many namespaces there are. Labels that anybody may
change bound nothing: who owns a namespace of another project could put them on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from webhook.model import ORGANIZATION_LABEL, PROJECT_LABEL, RESERVED, WORKSPACE_LABEL, Standing
from webhook.selector import NAME_LABEL, Requirement, Selector
from webhook.tenancy.tree import Tree


@dataclass(frozen=True, slots=True)
class Borders:
    """What is outside of `project`, which is empty for a namespace of no project."""

    tree: Tree
    project: str

    def crossed(self, selector: Selector) -> str:
        """
        Say how a selector leaves the project, empty where it matches the project and the platform alone.

        Whether a name is of another project or of nobody is not told: it is the name of a stranger.
        """
        names, workspaces = _named(selector, NAME_LABEL), _named(selector, WORKSPACE_LABEL)
        if names is not None:
            return _told("namespace", [name for name in names if self._outside(name, selector)])
        if workspaces is not None:
            return _told("workspace", [name for name in workspaces if self._foreign(name, selector)])
        elsewhere = (
            Requirement(WORKSPACE_LABEL, "Exists"),
            Requirement(PROJECT_LABEL, "Exists"),
            Requirement(PROJECT_LABEL, "NotIn", frozenset({self.project})),
            self._ours,
        )
        return "can match namespaces of other projects" if _possible(selector, elsewhere) else ""

    @property
    def _ours(self) -> Requirement:
        """What every namespace of a project carries."""
        return _is(ORGANIZATION_LABEL, self.tree.organization.name)

    def _outside(self, name: str, selector: Selector) -> bool:
        """Say whether a namespace is one of another project, or none at all, and the selector can match it."""
        if name in RESERVED:
            # Nobody's, whether or not we have seen it.
            return False
        place = self.tree.place_of(name)
        match place.standing:
            case Standing.UNOWNED:
                return False
            case Standing.OWNED if place.project == self.project:
                return False
            case Standing.OWNED:
                named = selector.joined(Selector(frozenset({_is(NAME_LABEL, name)})))
                return self._matches(named, place.workspace, place.project)
            case _:
                # Whoever creates or adopts it may be anybody.
                return True

    def _foreign(self, workspace: str, selector: Selector) -> bool:
        tenant = self.tree.tenants.get(f"Workspace/{workspace}")
        if tenant is None:
            return True
        return tenant.project != self.project and self._matches(selector, workspace, tenant.project)

    def _matches(self, selector: Selector, workspace: str, project: str) -> bool:
        """Say whether a selector can match a namespace of the workspace, whatever else it carries."""
        return _possible(selector, (_is(WORKSPACE_LABEL, workspace), _is(PROJECT_LABEL, project), self._ours))


def _named(selector: Selector, key: str) -> list[str] | None:
    """Return the values that a label can have, None where the selector names none."""
    named = [each.values for each in selector.requirements if each.key == key and each.operator == "In"]
    return sorted(frozenset.intersection(*named)) if named else None


def _is(key: str, value: str) -> Requirement:
    return Requirement(key, "In", frozenset({value}))


def _possible(selector: Selector, also: Iterable[Requirement]) -> bool:
    named = Requirement(NAME_LABEL, "Exists")
    return selector.joined(Selector(frozenset({named, *also}))).satisfiable()


def _told(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"names {what} {', '.join(names[:3])}{more}, of which the project and the platform have none"
