"""What workers decide with: policies, and an OPA to ask or the module that they are compiled to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook.model import Policies


@dataclass(frozen=True, slots=True)
class Share:
    """
    The policies, and what decides by them: the OPA at an address, or the `module` (WebAssembly).

    `opa` has the arguments of a `LocalOpa`, None where there is a module.
    """

    policies: Policies
    opa: Mapping[str, Any] | None = None
    module: bytes = b""
