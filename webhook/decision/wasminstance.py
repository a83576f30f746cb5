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
_UNGIVEN = 0
"""Stands for the message of policies that called what nobody gives."""


class AbortedError(Exception):
    """The policies ended themselves, as where no memory is left."""


class Instance:
    """
    What evaluates, one document at a time; each starts on the memory as it was after loading.

    After an exception of `evaluate` the instance is not to be used again. Where none is made there is `wasmtime.Trap`,
    `wasmtime.WasmtimeError`, `AbortedError` or `PolicyError`.
    """

    def __init__(  # noqa: PLR0913 - two of them are bounds
        self, engine: wasmtime.Engine, module: wasmtime.Module, data: bytes, *, memory: int, spare: int = 0
    ) -> None:
        """Load the module and its `data` (JSON) into `memory` bytes at most, `spare` more than it asks for at once."""
        self._aborted: list[int] = []
        self._store = store = wasmtime.Store(engine)
        store.set_limits(memory_size=memory)
        store.set_epoch_deadline(FOREVER)
        self._memory = wasmtime.Memory(store, _memory_type(module, spare))
        imports = [_import(store, each, self._memory, self._aborted.append) for each in module.imports]
        self._exports = wasmtime.Instance(store, module, imports).exports(store)
        self._demand_abi()
        self._eval, self._dump = self._call("opa_eval", 7), self._call("opa_json_dump", 1)
        self.entry_points: Mapping[str, int] = self._named("entrypoints")
        self.builtins: Mapping[str, int] = self._named("builtins")
        self._data = self._put(data)
        self._heap = _aligned(self._call("opa_heap_ptr_get", 0)(FOREVER))

    def size(self) -> int:
        """Return how many bytes of memory it holds; it never gives any back."""
        return self._eval.size()

    def evaluate(self, entry_point: int, document: bytes, ticks: int) -> bytes:
        """
        Return what the entry point says on a `document` (JSON): `[{"result": …}]`, or `[]` where it is undefined.

        Raises `wasmtime.Trap`, as after so many `ticks` of the engine's epoch or where a builtin failed, and
        `AbortedError`.
        """
        end = self._heap + len(document)
        if end >= self._eval.size():
            self._grow(end)
        ctypes.memmove(self._eval.base() + self._heap, document, len(document))
        try:
            found = self._eval(ticks, 0, entry_point, self._data, self._heap, len(document), _aligned(end), 0)
        except wasmtime.Trap:
            if self._aborted:
                raise self._why() from None
            raise
        if self._aborted:
            raise self._why()
        return self._text(found)

    def _why(self) -> AbortedError:
        message = self._aborted[0]
        return AbortedError(
            "a builtin that is not there was called"
            if message == _UNGIVEN
            else self._text(message).decode(errors="replace")
        )

    def _grow(self, end: int) -> None:
        try:
            self._memory.grow(self._store, (end - self._eval.size()) // PAGE + 1)
        except wasmtime.WasmtimeError as error:
            raise AbortedError(f"there is no memory for it: {error}") from error

    def _demand_abi(self) -> None:
        major, minor = map(self._global, ("opa_wasm_abi_version", "opa_wasm_abi_minor_version"))
        if major != 1 or minor < 2:
            raise PolicyError(f"the compiled policies are of OPA's ABI {major}.{minor}; 1.2 or a later 1 is known here")

    def _global(self, name: str) -> int:
        found = self._exports.get(name)
        return int(found.value(self._store)) if isinstance(found, wasmtime.Global) else 0

    def _call(self, name: str, count: int) -> Call:
        function = self._exports.get(name)
        if not isinstance(function, wasmtime.Func):
            raise PolicyError(f"the compiled policies have no {name} of OPA's ABI 1.2")
        kind = function.type(self._store)
        if [str(each) for each in kind.params] != ["i32"] * count or [str(each) for each in kind.results] != ["i32"]:
            raise PolicyError(f"{name} of the compiled policies is not that of OPA's ABI 1.2")
        return Call(self._store, function, self._memory, max(count, 1))

    def _named(self, name: str) -> dict[str, int]:
        found: dict[str, int] = orjson.loads(self._text(self._dump(FOREVER, self._call(name, 0)(FOREVER))))
        return found

    def _put(self, data: bytes) -> int:
        address = self._call("opa_malloc", 1)(FOREVER, len(data))
        ctypes.memmove(self._eval.base() + address, data, len(data))
        return self._call("opa_json_parse", 2)(FOREVER, address, len(data))

    def _text(self, address: int) -> bytes:
        """Return the text at `address`, up to its closing zero."""
        if not 0 < address < self._eval.size():
            raise AbortedError("there is no answer")
        base = self._eval.base()
        # The stack ends at 0. Below that is a trap, but OPA's code also reads what stands there, and expects nothing.
        if ctypes.string_at(base, 8) != bytes(8):
            raise AbortedError("the stack is used up")
        return ctypes.string_at(base + address)


def _aligned(address: int) -> int:
    return -(-address // 8) * 8


def _memory_type(module: wasmtime.Module, spare: int) -> wasmtime.MemoryType:
    for each in module.imports:
        if isinstance(each.type, wasmtime.MemoryType):
            # OPA 1.22 counts what a module needs before it adds the names of the rules, which of some hundred of them
            # lie beyond it. They are in the module, so they are no larger.
            return wasmtime.MemoryType(wasmtime.Limits(each.type.limits.min + spare // PAGE + 1, None))
    raise PolicyError("the compiled policies import no memory, so they are not of OPA's ABI 1.2")


def _import(
    store: wasmtime.Store, wanted: wasmtime.ImportType, memory: wasmtime.Memory, aborted: Callable[[int], None]
) -> Any:
    """
    Give what a module imports: the memory, and the way to end itself.

    No function given here raises: wasmtime would keep the exception and raise it from the next call of anything. After
    `opa_abort` OPA's code stops by itself.
    """
    if isinstance(wanted.type, wasmtime.MemoryType):
        return memory
    if not isinstance(wanted.type, wasmtime.FuncType):
        raise PolicyError(f"the compiled policies want {wanted.name}, which is not of OPA's ABI 1.2")
    if wanted.name == "opa_abort":
        return wasmtime.Func(store, wanted.type, aborted)

    def ungiven(*_: int) -> int:
        aborted(_UNGIVEN)
        return 0

    return wasmtime.Func(store, wanted.type, ungiven)
