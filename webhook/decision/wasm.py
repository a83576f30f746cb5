"""
The policies evaluated in this process, as WebAssembly that OPA compiles them to.

Behind the same Protocol as an OPA that is asked over a socket, and with the same answers; what is less than a whole
answer raises `NoDecisionError`.
"""

import asyncio
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import orjson
import wasmtime

from webhook.decision.wasmbuild import compiled
from webhook.decision.wasminstance import AbortedError, Instance
from webhook.errors import NoDecisionError, PolicyError

__all__ = ["Bounds", "WasmOpa", "compiled"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    What one evaluation may take: `seconds` at once, `large_seconds` in a thread, and bytes of `memory`.

    A document of more bytes than `large` is evaluated in a thread, and an instance of more memory than `kept` is
    replaced, which gives the memory back.
    """

    seconds: float = 2
    large_seconds: float = 10
    memory: int = 1024 * 2**20
    kept: int = 16 * 2**20
    large: int = 64 * 2**10


TICK = 0.1
"""Seconds of a tick of the engine's epoch, by which evaluations are cut short."""


class WasmOpa:
    """Policies as WebAssembly, behind the Protocol `Opa`; made by `load`, of what is its `code`."""

    code: bytes

    def __init__(self, module: wasmtime.Module, engine: wasmtime.Engine, data: bytes, bounds: Bounds) -> None:
        self._module, self._engine, self._data, self._bounds = module, engine, data, bounds
        self._near: Instance | None = self._instance()
        self._far: Instance | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.entry_points = self._near.entry_points if self._near else {}
        self._ticking()

    @classmethod
    def load(cls, module: bytes, revision: str, *, bounds: Bounds | None = None) -> Self:
        """Load what `compiled` returned; raises `PolicyError` for what is no such module, or needs what nobody gives."""
        config = wasmtime.Config()
        config.epoch_interruption = True
        try:
            engine = wasmtime.Engine(config)
            opa = cls(wasmtime.Module(engine, module), engine, _data(revision), bounds or Bounds())
            opa.code = module
        except (wasmtime.WasmtimeError, wasmtime.Trap, AbortedError, ValueError) as error:
            raise PolicyError(f"the compiled policies cannot be loaded: {error}") from error
        return opa

    async def query_rule(
        self, input_data: Any, package_path: str, rule_name: str, query_params: dict[str, bool], /
    ) -> Any:
        """Answer, see `Opa`; builtins that fail are not called at all, so they are errors whatever `query_params` say."""
        entry_point = self.entry_points.get(f"{package_path.replace('.', '/')}/{rule_name}")
        if entry_point is None:
            return {}
        document = orjson.dumps(input_data)
        if len(document) > self._bounds.large:
            return await self._evaluate_beside(entry_point, document)
        return self._evaluate(entry_point, document)

    def _evaluate(self, entry_point: int, document: bytes) -> Any:
        instance, self._near = self._near or self._instance(), None
        answer = _evaluated(instance, entry_point, document, self._bounds.seconds)
        if instance.size() <= self._bounds.kept:
            self._near = instance
        return answer

    async def _evaluate_beside(self, entry_point: int, document: bytes) -> Any:
        """Evaluate in a thread, one after the other: meanwhile small ones are answered."""
        self._thread = self._thread or ThreadPoolExecutor(1, "policies")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._evaluate_far, entry_point, document)

    def _evaluate_far(self, entry_point: int, document: bytes) -> Any:
        instance, self._far = self._far or self._instance(), None
        answer = _evaluated(instance, entry_point, document, self._bounds.large_seconds)
        if instance.size() <= self._bounds.kept:
            self._far = instance
        return answer

    def _instance(self) -> Instance:
        return Instance(self._engine, self._module, self._data, memory=self._bounds.memory)

    def _ticking(self) -> None:
        stop = threading.Event()
        weakref.finalize(self, stop.set)
        threading.Thread(target=_tick, args=(self._engine, stop), name="policies' epoch", daemon=True).start()


def _tick(engine: wasmtime.Engine, stop: threading.Event) -> None:
    while not stop.wait(TICK):
        engine.increment_epoch()


def _data(revision: str) -> bytes:
    """Return what the policies find below `data`: the same as OPA says of the bundle that it loaded."""
    manifest = {"revision": revision, "roots": ["portcullis"]}
    return orjson.dumps({"system": {"bundles": {"portcullis": {"manifest": manifest}}}})


def _evaluated(instance: Instance, entry_point: int, document: bytes, seconds: float) -> Any:
    try:
        answer = orjson.loads(instance.evaluate(entry_point, document, int(seconds / TICK) + 2))
    except wasmtime.Trap as trap:
        if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
            raise NoDecisionError(
                f"the policies did not end within {seconds:.1f} s", retry=True, cause="late"
            ) from trap
        raise NoDecisionError(f"the policies failed: {trap.trap_code}", retry=False, cause="failed") from trap
    except (AbortedError, ValueError) as error:
        raise NoDecisionError(f"the policies failed: {error}", retry=False, cause="failed") from error
    match answer:
        case []:
            return {}
        case [{"result": result}]:
            return {"result": result}
        case _:
            raise NoDecisionError("the policies gave several answers", retry=False, cause="failed")
