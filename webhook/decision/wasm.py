"""
The policies evaluated in this process, as WebAssembly that OPA compiles them to.

Behind the same Protocol as an OPA that is asked over a socket, and with the same answers; what is less than a whole
answer raises `NoDecisionError`. A decision is one call on the caller's thread. Threads do not outlive a fork, so
whoever forks loads afterwards.
"""

import asyncio
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import orjson
import wasmtime

from webhook.decision.wasmbuild import compiled
from webhook.decision.wasmbuiltins import WAY_OUT, builtin_of
from webhook.decision.wasmcache import cache_folder
from webhook.decision.wasminstance import AbortedError, Instance
from webhook.decision.wasmstrict import strict
from webhook.errors import NoDecisionError, PolicyError

__all__ = ["Bounds", "WasmOpa", "cache_folder", "compiled"]

TICK = 0.1
"""Seconds of a tick of the engine's epoch, by which evaluations are cut short."""
BATCHES = frozenset({"portcullis/batch/decisions", "portcullis/batch/denials"})
"""What is asked about many documents, of which each is evaluated for itself."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    What one evaluation may take.

    `seconds` where the caller waits, `large_seconds` in a thread, where documents of more than `large` bytes are
    evaluated; and `memory` in bytes. An instance whose memory has grown beyond `kept` bytes is replaced.

    OPA's maps find a key by a hash that anybody can foresee, so whoever chooses the keys can have all of them collide:
    then a map takes the square of its size. Documents whose maps come to more than `crowd`, as the sum of these
    squares, are evaluated in a thread of their own, for `seconds`: there they keep nobody waiting but their like. In
    `small` bytes there is no room for so many keys.
    """

    seconds: float = 2
    large_seconds: float = 10
    small: int = 4 * 2**10
    large: int = 128 * 2**10
    crowd: int = 250_000
    memory: int = 256 * 2**20
    kept: int = 16 * 2**20


class WasmOpa:
    """Policies as WebAssembly, behind the Protocol `Opa`; made by `load`, of what is its `code`."""

    code: bytes

    def __init__(self, loaded: "_Loaded") -> None:
        """Make the first instance; raises like `load`."""
        first, bounds = loaded.instance(), loaded.bounds
        self._bounds = bounds
        self._entry_points = first.entry_points
        self._near = _Seat(loaded, bounds.seconds, first)
        self._far = _Beside(_Seat(loaded, bounds.large_seconds), "large documents")
        self._apart = _Beside(_Seat(loaded, bounds.seconds), "crowded documents")
        stop = threading.Event()
        threading.Thread(target=_tick, args=(loaded.engine, stop), name="policies' epoch", daemon=True).start()
        self._end = weakref.finalize(self, _end, stop, (self._far.thread, self._apart.thread))

    @classmethod
    def load(cls, module: bytes, revision: str, *, bounds: Bounds | None = None) -> Self:
        """
        Load what `compiled` returned; about a quarter of a second, blocking.

        Raises `PolicyError` for what is no such module, or calls a builtin that this engine does not have.
        """
        bounds = bounds or Bounds()
        config = wasmtime.Config()
        config.epoch_interruption = True
        try:
            engine = wasmtime.Engine(config)
            loaded = _Loaded(engine, wasmtime.Module(engine, strict(module)), _data(revision), bounds, len(module))
            opa = cls(loaded)
        except (wasmtime.WasmtimeError, wasmtime.Trap, AbortedError, ValueError) as error:
            raise PolicyError(f"the compiled policies cannot be loaded: {error}") from error
        opa.code = module
        return opa

    def close(self) -> None:
        """End what evaluates beside; what is asked after that, or still waits, has no decision."""
        self._end()

    async def query_rule(
        self,
        input_data: Any,
        package_path: str,
        rule_name: str,
        query_params: dict[str, bool],  # noqa: ARG002 - a builtin that fails is always an error here
        /,
    ) -> Any:
        """Answer, see `Opa`; raises `NoDecisionError`."""
        path = f"{package_path.replace('.', '/')}/{rule_name}"
        if path in BATCHES and isinstance(input_data, Mapping):
            return await self._each(path, input_data)
        return await self._one(path, input_data)

    async def _one(self, path: str, asked: Any) -> dict[str, Any]:
        entry_point = self._entry_points.get(path)
        if entry_point is None:
            return {}
        document = orjson.dumps(asked)
        bounds, size = self._bounds, len(document)
        if size <= bounds.small:
            return self._near.evaluate(entry_point, document)
        if size <= bounds.large:
            crowded = _crowded(document, bounds.crowd)
        else:
            crowded = await asyncio.to_thread(_crowded, document, bounds.crowd)
        if crowded:
            return await self._apart.evaluate(entry_point, document)
        if size > bounds.large:
            return await self._far.evaluate(entry_point, document)
        return self._near.evaluate(entry_point, document)

    async def _each(self, path: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Ask about one document after the other, as if it were the only one, with a turn for others between."""
        found: dict[str, Any] = {}
        answer: dict[str, Any] = {}
        documents = asked.get("documents", ())
        for index in range(max(1, len(documents)) if isinstance(documents, Sequence) else 1):
            one = {key: value[index : index + 1] for key, value in asked.items()}
            answer = await self._one(path, one)
            if "result" not in answer:
                return {}
            found |= {str(index): each for each in _found(answer["result"]).values()}
            await asyncio.sleep(0)
        if "found" in answer["result"]:
            return {"result": answer["result"] | {"found": found}}
        return {"result": found}


def _crowded(document: bytes, most: int) -> bool:
    """Say whether the squares of the sizes of its maps come to more than `most`; also of what is no JSON."""
    try:
        left: list[Any] = [orjson.loads(document)]
    except ValueError:
        return True
    weight = 0
    while left:
        value = left.pop()
        if type(value) is dict:
            weight += len(value) ** 2
            left.extend(value.values())
        elif type(value) is list:
            left.extend(value)
    return weight > most


def _found(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a batch says by the places of its documents."""
    found: dict[str, Any] = result.get("found", result)
    return found


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What instances are made of."""

    engine: wasmtime.Engine
    module: wasmtime.Module
    data: bytes
    bounds: Bounds
    spare: int
    """Bytes of memory that it may need at once beyond those it asks for."""

    def instance(self) -> Instance:
        made = Instance(self.engine, self.module, self.data, memory=self.bounds.memory, spare=self.spare)
        if made.builtins:
            raise PolicyError(
                f"the policies call {', '.join(sorted(made.builtins))}, which only OPA itself evaluates; {WAY_OUT}"
            )
        return made


class _Seat:
    """An instance in use, made anew where it broke or grew too large."""

    def __init__(self, loaded: _Loaded, seconds: float, first: Instance | None = None) -> None:
        self._loaded = loaded
        self._seconds = seconds
        self._instance = first

    def evaluate(self, entry_point: int, document: bytes) -> dict[str, Any]:
        """Return the answer as OPA gives it; raises `NoDecisionError`."""
        # Taken out until it has answered, so that what broke is used by nobody.
        instance, self._instance = self._instance, None
        try:
            instance = instance or self._loaded.instance()
            answer = instance.evaluate(entry_point, document, int(self._seconds / TICK) + 2)
            found = orjson.loads(answer)
        except wasmtime.Trap as trap:
            raise self._no_decision(trap) from trap
        except (AbortedError, PolicyError, wasmtime.WasmtimeError, ValueError) as error:
            raise NoDecisionError(f"the policies failed: {error}", retry=False, cause="failed") from error
        if instance.size() <= self._loaded.bounds.kept:
            self._instance = instance
        match found:
            case []:
                return {}
            case [{"result": result}]:
                return {"result": result}
            case _:
                raise NoDecisionError("the policies gave more than one answer", retry=False, cause="failed")

    def _no_decision(self, trap: wasmtime.Trap) -> NoDecisionError:
        if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
            what = f"the policies did not end within {self._seconds:.1f} s"
            # Asked again it would take as long again.
            return NoDecisionError(what, retry=False, cause="late")
        frames = trap.frames
        builtin = builtin_of(frames[0].func_name or "") if frames else None
        what = f"the builtin {builtin} failed" if builtin else f"they ended: {_first_line(trap.message)}"
        return NoDecisionError(f"the policies failed: {what}", retry=False, cause="failed")


class _Beside:
    """A seat with a thread: those who go there wait for one another, and never for more memory than one takes."""

    def __init__(self, seat: _Seat, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, name)
        self._seat = seat

    async def evaluate(self, entry_point: int, document: bytes) -> dict[str, Any]:
        """Return the answer, see `_Seat`; raises `NoDecisionError`, also once it is closed."""
        try:
            asked = asyncio.get_running_loop().run_in_executor(self.thread, self._seat.evaluate, entry_point, document)
        except RuntimeError as error:  # it was closed
            raise NoDecisionError("other policies are being loaded", retry=True, cause="unreachable") from error
        return await asked


def _first_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip() or "no reason is known"


def _data(revision: str) -> bytes:
    """Return what the policies find below `data`: what OPA says of the bundle that it loaded."""
    manifest = {"revision": revision, "roots": ["portcullis"]}
    return orjson.dumps({"system": {"bundles": {"portcullis": {"manifest": manifest}}}})


def _tick(engine: wasmtime.Engine, stop: threading.Event) -> None:
    while not stop.wait(TICK):
        engine.increment_epoch()


def _end(stop: threading.Event, threads: Sequence[ThreadPoolExecutor]) -> None:
    stop.set()
    for thread in threads:
        with suppress(RuntimeError):  # from the thread itself, which may be the last to know the engine
            thread.shutdown(wait=False, cancel_futures=True)
