"""
What the rules say of themselves: the METADATA above each rule's package, read without an OPA.

Source: https://www.openpolicyagent.org/docs/policy-language#annotations. Of ours are, under `custom`: `severity`,
`remediation`, `softened` (`never` or `partly`; else the Organization's enforcement setting softens all that the rule
refuses), and of a guardrail its key in `spec.guardrails` (`guardrail`) and what counts where nobody sets it
(`default`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError

from webhook.decision.bundle import Bundle, rule_of
from webhook.errors import PolicyError

Softened = Literal["fully", "partly", "never"]

_PACKAGE = re.compile(r"^# METADATA\n(?P<metadata>(?:#.*\n)+)\s*package\s", re.MULTILINE)


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


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Custom(_Model):
    severity: StrictStr = "high"
    remediation: StrictStr = ""
    softened: Softened = "fully"
    guardrail: StrictStr = ""
    default: StrictStr | tuple[StrictStr, ...] = ()


class _Resource(_Model):
    ref: StrictStr


def _spelled_out(value: Any) -> Any:
    """Take a resource that is only its address for one with a `ref`, as OPA does."""
    return {"ref": value} if isinstance(value, str) else value


class _Metadata(_Model):
    title: StrictStr = ""
    description: StrictStr = ""
    related_resources: tuple[Annotated[_Resource, BeforeValidator(_spelled_out)], ...] = ()
    custom: _Custom = Field(default_factory=_Custom)


def read_catalogue(bundle: Bundle) -> tuple[RulePage, ...]:
    """Return the page of every rule, by id; raises `PolicyError` for METADATA that cannot be read."""
    found: dict[str, RulePage] = {}
    for name, content in bundle.files.items():
        rule = rule_of(name)
        # A rule may lie in several files of its folder, of which one describes it.
        if rule and (page := _page(rule, name, content)):
            found.setdefault(rule, page)
    undescribed = _Metadata()
    return tuple(found.get(rule) or _filled(rule, undescribed) for rule in sorted(bundle.policies.rules))


def _page(rule: str, name: str, content: bytes) -> RulePage | None:
    block = _PACKAGE.search(content.decode(errors="replace").replace("\r\n", "\n"))
    if block is None:
        return None
    text = re.sub("^#", " ", block["metadata"], flags=re.MULTILINE)
    try:
        read: Mapping[str, Any] = yaml.safe_load(text) or {}
        return _filled(rule, _Metadata.model_validate(read))
    except yaml.YAMLError as error:
        raise PolicyError(f"{name}: the METADATA is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PolicyError(f"{name}: METADATA, {where}: {first['msg']}") from error


def _filled(rule: str, metadata: _Metadata) -> RulePage:
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
