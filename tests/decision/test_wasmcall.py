"""The one call that goes by what wasmtime keeps to itself: it breaks here first on a version that has it otherwise."""

import pytest
import wasmtime

from webhook.decision.wasmcall import Call

TEXT = """(module
  (memory (export "memory") 1 4)
  (func (export "minus") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "stop") (param i32) (result i32) unreachable)
  (func (export "forever") (param i32) (result i32) (loop $again (br $again)) unreachable))
"""
EXACT = [(7, 4), (0, 0), (4, 7), (2**31 - 1, -1), (-(2**31), 0), (2**31 + 5, 1)]


@pytest.fixture
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.epoch_interruption = True
    return wasmtime.Engine(config)


def call(engine: wasmtime.Engine, name: str, count: int) -> tuple[Call, wasmtime.Func, wasmtime.Store]:
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(10)
    exports = wasmtime.Instance(store, wasmtime.Module(engine, TEXT), []).exports(store)
    function, memory = exports[name], exports["memory"]
    assert isinstance(function, wasmtime.Func)
    assert isinstance(memory, wasmtime.Memory)
    return Call(store, function, memory, count), function, store


@pytest.mark.parametrize(("one", "other"), EXACT)
def test_it_says_what_wasmtimes_own_call_says(one: int, other: int, engine: wasmtime.Engine) -> None:
    """Number by number, at the bounds too."""
    ours, theirs, store = call(engine, "minus", 2)
    inside = one if one < 2**31 else one - 2**32
    assert ours(10, one, other) == theirs(store, inside, other)


def test_a_memory_that_grows_is_found_where_it_is(engine: wasmtime.Engine) -> None:
    """Its size is that of now."""
    grow, _, _ = call(engine, "grow", 1)
    assert grow.size() == 65536
    assert grow.base() > 0
    assert grow(10, 2) == 1
    assert grow.size() == 3 * 65536
    assert grow(10, 9) == -1


def test_a_trap_is_raised_with_its_code(engine: wasmtime.Engine) -> None:
    """And what is called after it is answered."""
    stop, _, _ = call(engine, "stop", 1)
    for _ in range(3):
        with pytest.raises(wasmtime.Trap) as trap:
            stop(10, 0)
        assert trap.value.trap_code is wasmtime.TrapCode.UNREACHABLE


def test_what_is_past_its_ticks_is_interrupted(engine: wasmtime.Engine) -> None:
    """Ticks count from the call on."""
    forever, _, _ = call(engine, "forever", 1)
    with pytest.raises(wasmtime.Trap) as trap:
        forever(0, 0)
    assert trap.value.trap_code is wasmtime.TrapCode.INTERRUPT
