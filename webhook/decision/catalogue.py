"""The page of each rule, by what it says of itself in its METADATA."""

from dataclasses import dataclass

from webhook.decision.bundle import Bundle, rule_of
from webhook.decision.metadata import Metadata, Softened, read_metadata


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A key of `spec.guardrails` and its value where no level sets it."""

    key: str
    default: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RulePage:
    """One rule: `softened` is how far `spec.enforcement` softens it, `related_resources` are where to read on."""

    id: str
    title: str
    description: str
    severity: str
    remediation: str
    softened: Softened
    related_resources: tuple[str, ...]
    guardrail: Guardrail | None


def read_catalogue(bundle: Bundle) -> tuple[RulePage, ...]:
    """Return the page of every rule, by id; raises `PolicyError` for METADATA that cannot be read."""
    found: dict[str, RulePage] = {}
    for name, content in bundle.files.items():
        rule = rule_of(name)
        # A rule may lie in several files of its folder, of which one describes it.
        if rule and (metadata := read_metadata(name, content)):
            found.setdefault(rule, _filled(rule, metadata))
    undescribed = Metadata()
    return tuple(found.get(rule) or _filled(rule, undescribed) for rule in sorted(bundle.policies.rules))


def _filled(rule: str, metadata: Metadata) -> RulePage:
    custom = metadata.custom
    return RulePage(
        id=rule,
        title=metadata.title,
        description=metadata.description,
        severity=custom.severity,
        remediation=custom.remediation,
        softened=custom.softened,
        related_resources=tuple(each.ref for each in metadata.related_resources),
        guardrail=Guardrail(custom.guardrail, custom.default) if custom.guardrail else None,
    )
