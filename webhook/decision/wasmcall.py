"""
The one call into WebAssembly that each decision makes, by wasmtime's C functions.

wasmtime's own `Func.__call__` looks up the function's type and wraps each argument and the trap at every call, which is
a sixth of a decision. `wasmtime_func_call_unchecked` with a prepared array of values does the same in
one step, but wasmtime's package keeps it, the pointer of a store's context and that of a function to itself. All use
of what is private there is in this file, and a test fails on a version that has it otherwise.
"""

import ctypes
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi


class Call:
    """
    A function of an instance that takes `count` numbers (i32) and returns one, ready to be called.

    Nothing checks the kinds of its values: whoever makes one has looked at the function's type.
    """

    def __init__(self, store: wasmtime.Store, function: wasmtime.Func, memory: wasmtime.Memory, count: int) -> None:
        self._kept = (store, function, memory)  # what the pointers below point into
        self._context = store._context()  # noqa: SLF001 - the reason for this file
        self._function = ctypes.byref(function._func)  # noqa: SLF001
        self._memory = ctypes.byref(memory._memory)  # noqa: SLF001
        self._values: Any = (ffi.wasmtime_val_raw_t * count)()
        self._count = count

    def base(self) -> int:
        """Return where the memory begins; it may be elsewhere after each call that lets it grow."""
        found = ffi.wasmtime_memory_data(self._context, self._memory)
        return ctypes.cast(found, ctypes.c_void_p).value or 0

    def size(self) -> int:
        """Return how many bytes the memory has."""
        return int(ffi.wasmtime_memory_data_size(self._context, self._memory))

    def __call__(self, ticks: int, *values: int) -> int:
        """Call, with a trap after that many ticks of the engine's epoch; raises `wasmtime.Trap`."""
        ffi.wasmtime_context_set_epoch_deadline(self._context, ticks)
        raw = self._values
        for index, value in enumerate(values):
            raw[index].i32 = value
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call_unchecked(self._context, self._function, raw, self._count, ctypes.byref(trap))
        if error:  # type: ignore[truthy-bool]  # a pointer of ctypes is false where it is null
            raise wasmtime.WasmtimeError._from_ptr(error)  # noqa: SLF001
        if trap:  # type: ignore[truthy-bool]  # as above
            raise wasmtime.Trap._from_ptr(trap)  # noqa: SLF001
        return int(raw[0].i32)
