"""
What people write in the four kinds of `portcullis.dev/v1alpha1`, checked field by field, and the nouns made of it.

Unknown fields are refused: a misspelt `baselines` must not mean "none". Source: contract, sections 1 and 4.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from webhook.errors import UnreadableError
from webhook.model import (
    GATE_LABEL,
    Baseline,
    BaselinePolicy,
    Enforcement,
    Grant,
    Subject,
    SubjectKind,
    Tenant,
    TenantKind,
)
from webhook.selector import read_selector

_VARIABLE = re.compile(r"\$\(([^)]*)\)")
_CIDR = re.compile(r"[0-9a-fA-F.:]+/[0-9]{1,3}")
VARIABLES = frozenset({"namespace", "workspace", "project", "organization"})

ROLES: Mapping[TenantKind, frozenset[str]] = {
    "Organization": frozenset({"OrgAdmin", "InfraAdmin", "OrgReader", "SystemWriter"}),
    "Project": frozenset({"ProjectAdmin", "ProjectReader"}),
    "Workspace": frozenset({"WorkspaceAdmin", "WorkspaceReader"}),
}

# A tenant's name stands in labels, so it has to be a label value, too.
_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
Name = Annotated[StrictStr, Field(pattern=_NAME)]
Choice = Literal["Allow", "Deny"]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Subject(_Written):
    kind: SubjectKind
    name: Annotated[StrictStr, Field(min_length=1)]
    namespace: StrictStr = ""
    apiGroup: Literal["", "rbac.authorization.k8s.io"] = ""  # noqa: N815 - as Kubernetes spells it

    @model_validator(mode="after")
    def _identity(self) -> "_Subject":
        if self.kind == "ServiceAccount" and not self.namespace:
            raise ValueError("a ServiceAccount needs its namespace")
        if self.kind != "ServiceAccount" and self.namespace:
            raise ValueError(f"a {self.kind} has no namespace")
        if self.kind == "User" and self.name.startswith("system:serviceaccount:"):
            raise ValueError("write it as kind: ServiceAccount with name and namespace")
        if ":" in self.namespace or (self.kind == "ServiceAccount" and ":" in self.name):
            raise ValueError("neither a ServiceAccount's name nor its namespace has a colon")
        return self


class _Grant(_Written):
    role: StrictStr
    subjects: tuple[_Subject, ...] = ()

    def noun(self) -> Grant:
        return Grant(self.role, tuple(Subject(each.kind, each.name, each.namespace) for each in self.subjects))


def _cidr(text: str) -> str:
    try:
        # ip_network takes a bare address, a netmask and a zone, too.
        ip_network(text if _CIDR.fullmatch(text) else "")
    except ValueError as error:
        raise ValueError(f"{text!r} is not a CIDR such as 10.0.0.0/8") from error
    return text


class _Guardrails(_Written):
    fromAnywhere: Choice | None = None  # noqa: N815 - as the contract spells it, and those below
    toAnywhere: Choice | None = None  # noqa: N815
    allNamespaces: Choice | None = None  # noqa: N815
    protectedCIDRs: tuple[Annotated[StrictStr, AfterValidator(_cidr)], ...] | None = None  # noqa: N815
    crossProject: Choice | None = None  # noqa: N815
    hostNetwork: Choice | None = None  # noqa: N815
    notUnderstood: Choice | None = None  # noqa: N815


def _role_of(grant: _Grant, info: ValidationInfo) -> _Grant:
    kind: TenantKind = (info.context or {})["kind"]
    if grant.role not in ROLES[kind]:
        raise ValueError(f"{grant.role!r} is no role of a {kind}; it has {', '.join(sorted(ROLES[kind]))}")
    return grant


class _TenantSpec(_Written):
    roles: tuple[Annotated[_Grant, AfterValidator(_role_of)], ...] = ()
    baselines: tuple[Name, ...] = ()
    guardrails: _Guardrails = Field(default_factory=_Guardrails)


class _OrganizationSpec(_TenantSpec):
    enforcement: dict[Annotated[StrictStr, Field(pattern=r"^(\*|[a-z]+/(\*|[a-z]+(-[a-z]+)*))$")], Enforcement] = Field(
        default_factory=dict
    )


class _WorkspaceSpec(_TenantSpec):
    project: Name


_SELECTOR = frozenset({"matchLabels", "matchExpressions"})
_EXPRESSION = frozenset({"key", "operator", "values"})


class _PolicySpec(_Written):
    name: Name
    spec: dict[StrictStr, Any]


def _refuse_unknown(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    # Kubernetes drops an unknown field; a misspelt matchLabels would select every namespace.
    if unknown := set(fields) - known:
        raise ValueError(f"unknown field {min(unknown)!r}; there are {', '.join(sorted(known))}")


def _selector(raw: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(raw, _SELECTOR)
    expressions = raw.get("matchExpressions")
    for each in expressions if isinstance(expressions, list) else ():
        _refuse_unknown(each if isinstance(each, dict) else {}, _EXPRESSION)
    try:
        requirements = read_selector(raw).requirements
    except UnreadableError as error:
        raise ValueError(str(error)) from error
    if any(each.key == GATE_LABEL for each in requirements):
        raise ValueError(f"{GATE_LABEL} follows from the baselines, so it cannot select them")
    return raw


def _variables(spec: _PolicySpec) -> _PolicySpec:
    unknown = {name for text in _texts(spec.spec) for name in _VARIABLE.findall(text)} - VARIABLES
    if unknown:
        raise ValueError(f"$({min(unknown)}) is no variable; there are {', '.join(sorted(VARIABLES))}")
    return spec


def _texts(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case list():
            return [text for each in value for text in _texts(each)]
        case dict():
            return [text for key, each in value.items() for text in (key, *_texts(each))]
        case _:
            return []


class _BaselineSpec(_Written):
    namespaceSelector: Annotated[dict[str, Any], AfterValidator(_selector)] | None = None  # noqa: N815
    drift: Literal["Repair", "Report"] = "Repair"
    policies: tuple[Annotated[_PolicySpec, AfterValidator(_variables)], ...]

    @model_validator(mode="after")
    def _distinct(self) -> "_BaselineSpec":
        names = [each.name for each in self.policies]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two policies are named {min(twice)}")
        return self


_SPECS: Mapping[str, TypeAdapter[Any]] = {
    "Organization": TypeAdapter(_OrganizationSpec),
    "Project": TypeAdapter(_TenantSpec),
    "Workspace": TypeAdapter(_WorkspaceSpec),
    "NetworkBaseline": TypeAdapter(_BaselineSpec),
}
KINDS = frozenset(_SPECS)


def read_tenant(kind: TenantKind, name: str, spec: object) -> Tenant:
    """Return the tenant that a manifest describes; raises pydantic's `ValidationError` with paths under `spec`."""
    read = _SPECS[kind].validate_python({} if spec is None else spec, context={"kind": kind})
    return Tenant(
        kind=kind,
        name=name,
        project=getattr(read, "project", ""),
        roles=tuple(each.noun() for each in read.roles),
        baselines=read.baselines,
        guardrails=read.guardrails.model_dump(exclude_none=True),
        enforcement=getattr(read, "enforcement", {}),
    )


def read_baseline(name: str, spec: object) -> Baseline:
    """Return the baseline that a manifest describes; raises pydantic's `ValidationError` with paths under `spec`."""
    read = _SPECS["NetworkBaseline"].validate_python({} if spec is None else spec)
    policies = tuple(BaselinePolicy(each.name, each.spec) for each in read.policies)
    return Baseline(name, policies, read.namespaceSelector, read.drift)


def first_error(error: ValidationError) -> str:
    """Return the first thing that is wrong in a spec, in one line with its path."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in ('spec', *first['loc']))}: {first['msg'].removeprefix('Value error, ')}"


def readable_or_all(selector: object) -> Mapping[str, Any] | None:
    """Return the namespaceSelector of a baseline, one of all namespaces where it cannot be read, None for none."""
    if selector is None:
        return None
    try:
        return _selector(dict(selector)) if isinstance(selector, Mapping) else {}
    except ValueError:
        return {}


def is_name(text: str) -> bool:
    """Say whether `text` can be the name of a tenant or baseline."""
    return re.match(_NAME, text) is not None and "\n" not in text
