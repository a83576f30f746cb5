"""
One instance of the policies as WebAssembly: bytes of JSON in, bytes of JSON out.

The calls are those of OPA's ABI 1.2. Source: https://www.openpolicyagent.org/docs/wasm
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import wasmtime

from webhook.decision.wasmcall import Call
from webhook.errors import PolicyError

PAGE = 65536
FOREVER = 2**62
"""More ticks than there will be: what is called before the policies are in use is not cut short."""


class AbortedError(Exception):
    """The policies ended themselves, as where no memory is left; the instance is not to be used again."""


class Instance:
    """
    What evaluates, on one document at a time; each starts on the memory as it was after loading.

    After any exception of `evaluate` but `ValueError` the instance is broken, and has to be replaced.
    """

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, data: bytes, *, memory: int) -> None:
        """Load the module with its `data` (JSON), to use `memory` bytes at most."""
        self._aborted: list[int] = []
        self._store = store = wasmtime.Store(engine)
        store.set_limits(memory_size=memory)
        store.set_epoch_deadline(FOREVER)
        self._memory = wasmtime.Memory(store, _memory_type(module))
        imports = [_import(store, each, self._memory, self._aborted.append) for each in module.imports]
        self._exports = wasmtime.Instance(store, module, imports).exports(store)
        self._parse, self._dump = self._call("opa_json_parse", 2), self._call("opa_json_dump", 1)
        self._eval = self._call("opa_eval", 7)
        self.entry_points: Mapping[str, int] = self._named("entrypoints")
        self.builtins: Mapping[str, int] = self._named("builtins")
        self._data = self._put(data)
        self._heap = -(-self._call("opa_heap_ptr_get", 0)(FOREVER) // 8) * 8

    def size(self) -> int:
        """Return how many bytes of memory it holds; it never gives any back."""
        return self._eval.size()

    def evaluate(self, entry_point: int, document: bytes, ticks: int) -> bytes:
        """
        Return what the entry point says on a `document` (JSON): `[{"result": …}]`, or `[]` where it is undefined.

        Raises `wasmtime.Trap`, as after so many `ticks` of the engine's epoch, and `AbortedError`.
        """
        end = self._heap + len(document)
        if end >= self._eval.size():
            self._grow(end)
        ctypes.memmove(self._eval.base() + self._heap, document, len(document))
        free = -(-end // 8) * 8
        try:
            found = self._eval(ticks, 0, entry_point, self._data, self._heap, len(document), free, 0)
        except wasmtime.Trap as trap:
            raise self._why(trap) from trap
        return self._text(found)

    def _why(self, trap: wasmtime.Trap) -> Exception:
        if not self._aborted:
            return trap
        return AbortedError(self._text(self._aborted[0]).decode(errors="replace"))

    def _grow(self, end: int) -> None:
        try:
            self._memory.grow(self._store, (end - self._eval.size()) // PAGE + 1)
        except wasmtime.WasmtimeError as error:
            raise AbortedError(f"there is no memory for it: {error}") from error

    def _call(self, name: str, count: int) -> Call:
        function = self._exports.get(name)
        if not isinstance(function, wasmtime.Func) or len(function.type(self._store).params) != count:
            raise PolicyError(f"the compiled policies have no {name} of OPA's ABI 1.2")
        return Call(self._store, function, self._memory, max(count, 1))

    def _named(self, name: str) -> dict[str, int]:
        found: dict[str, int] = orjson.loads(self._text(self._dump(FOREVER, self._call(name, 0)(FOREVER))))
        return found

    def _put(self, data: bytes) -> int:
        address = self._call("opa_malloc", 1)(FOREVER, len(data))
        ctypes.memmove(self._eval.base() + address, data, len(data))
        return self._parse(FOREVER, address, len(data))

    def _text(self, address: int) -> bytes:
        """Return the text at `address`, up to its closing zero."""
        if not 0 < address < self._eval.size():
            raise AbortedError("the answer is nowhere")
        return ctypes.string_at(self._eval.base() + address)


def _memory_type(module: wasmtime.Module) -> wasmtime.MemoryType:
    for each in module.imports:
        if isinstance(each.type, wasmtime.MemoryType):
            return wasmtime.MemoryType(wasmtime.Limits(each.type.limits.min, None))
    raise PolicyError("the compiled policies import no memory, so they are not of OPA's ABI 1.2")


def _import(
    store: wasmtime.Store, wanted: wasmtime.ImportType, memory: wasmtime.Memory, aborted: Callable[[int], None]
) -> Any:
    """Give what a module imports: the memory, the way to end itself, and nothing else that does anything."""
    if isinstance(wanted.type, wasmtime.MemoryType):
        return memory
    if not isinstance(wanted.type, wasmtime.FuncType):
        raise PolicyError(f"the compiled policies want {wanted.name}, which is not of OPA's ABI 1.2")
    if wanted.name == "opa_abort":
        return wasmtime.Func(store, wanted.type, aborted)
    # A builtin that the host would give, of which there is none: to call it is a mistake, and ends the evaluation.
    return wasmtime.Func(store, wanted.type, _ungiven)


def _ungiven(*_: int) -> int:
    raise PolicyError("the compiled policies called a builtin that is not there")
