"""
The METADATA above a rule's package, read without an OPA.

Source: https://www.openpolicyagent.org/docs/policy-language#annotations. Of ours are, under `custom`: `kinds` (what the
rule looks at, as kubectl names kinds, `NetworkPolicy.networking.k8s.io`; a rule that does not say so is run on all),
`severity`, `remediation`, `softened` (`never` or `partly`; else the Organization's enforcement setting softens all
that the rule refuses), and of a guardrail its key in `spec.guardrails` (`guardrail`) and what counts where nobody sets
it (`default`).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, StringConstraints, ValidationError

from webhook.errors import PolicyError

Softened = Literal["fully", "partly", "never"]

_PACKAGE = re.compile(r"^# METADATA\n(?P<metadata>(?:#.*\n)+)\s*package\s", re.MULTILINE)
_Kind = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Custom(_Model):
    """What is of ours in it."""

    kinds: Annotated[tuple[_Kind, ...], Field(min_length=1)] | None = None
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


class Metadata(_Model):
    """What a rule says of itself."""

    title: StrictStr = ""
    description: StrictStr = ""
    related_resources: tuple[Annotated[_Resource, BeforeValidator(_spelled_out)], ...] = ()
    custom: Custom = Field(default_factory=Custom)


def read_metadata(name: str, content: bytes) -> Metadata | None:
    """Return what file `name` says of its package, None where it says nothing; raises `PolicyError`."""
    block = _PACKAGE.search(content.decode(errors="replace").replace("\r\n", "\n"))
    if block is None:
        return None
    text = re.sub("^#", " ", block["metadata"], flags=re.MULTILINE)
    try:
        read: Mapping[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader) or {}
        return Metadata.model_validate(read)
    except yaml.YAMLError as error:
        raise PolicyError(f"{name}: the METADATA is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PolicyError(f"{name}: METADATA, {where}: {first['msg']}") from error
