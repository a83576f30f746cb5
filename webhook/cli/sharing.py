"""What decides here, as workers are told of it."""

from webhook.cli.workers import Crew
from webhook.decision.opa import Engine, LocalOpa
from webhook.decision.wasm import WasmOpa
from webhook.errors import PolicyError
from webhook.workers.share import Share


class Sharing:
    """Has the workers decide by what decides here, see `Reloading`."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew

    async def follow(self, engine: Engine) -> None:
        """Have all of them decide by other policies."""
        await self._crew.decide_by(share_of(engine))

    async def leave(self, revision: str) -> None:
        """Return once none of them needs the former policies any more."""
        await self._crew.let_go(revision)


def share_of(engine: Engine) -> Share:
    """Return what workers decide with; raises `PolicyError` for what cannot be shared."""
    match engine.opa:
        case LocalOpa() as opa:
            return Share(engine.policies, opa=opa.address)
        case WasmOpa() as wasm:
            return Share(engine.policies, module=wasm.code)
        case other:
            raise PolicyError(f"what decides ({type(other).__name__}) cannot be shared by workers")
