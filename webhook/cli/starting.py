"""
What evaluates the policies, started: an OPA of our own, OPA's WASM in this process, or an OPA that others run.

All three give the same verdicts (docs/engines.md). Whoever asks need not know which of them it is.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import structlog

from webhook.cli.child import own_opa, scratch
from webhook.decision.binary import find_opa
from webhook.decision.bundle import Bundle, check_policies
from webhook.decision.document import check_schema
from webhook.decision.opa import LocalOpa, Opa, probe
from webhook.decision.process import End
from webhook.decision.wasm import WasmOpa, cache_folder, compiled
from webhook.decision.wasmbuild import kept
from webhook.errors import NoDecisionError, PolicyError, SettingsError
from webhook.settings import EngineChoice, environment

EngineName = Literal["opa", "wasm"]

PROBE_SECONDS = 2.0


class Watched(Protocol):
    """How it goes with what evaluates."""

    @property
    def trouble(self) -> str:
        """What is wrong with it, empty where nothing is known of it."""
        ...

    async def ready(self, within: float) -> None:
        """Return once it answers; raises `OpaError` after `within` seconds."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """What evaluates the policies of one bundle; `why` says why not in-process, where that was tried."""

    opa: Opa
    engine: EngineName
    watched: Watched
    why: str = ""


Start = Callable[[Bundle], AbstractAsyncContextManager[Running]]
"""Runs what evaluates a bundle, for the length of the context; raises `OpaError` or `PolicyError`."""


class Binary:
    """The program OPA, looked for when it is needed first: where compiled policies are kept it may never be."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._environment = variables
        self._found: Path | None = None

    def path(self) -> Path:
        """Return it, which may take minutes where it has to be built; raises `OpaError`."""
        log = structlog.get_logger()
        self._found = self._found or find_opa(self._environment, say=lambda line: log.info("opa", progress=line))
        return self._found


class Unwatched:
    """Nothing is known of an OPA that others run, which `/readyz` waits for; what is in-process is there at once."""

    trouble = ""

    async def ready(self, within: float) -> None:
        """Return at once."""


@asynccontextmanager
async def in_child(binary: Binary, bundle: Bundle, *, ended: Callable[[End], None]) -> AsyncIterator[Running]:
    """Run an OPA of our own, which may not answer yet."""
    log = structlog.get_logger()
    path = await asyncio.to_thread(binary.path)
    async with own_opa(path, bundle, lambda line: log.warning("opa", line=line), ended=ended) as (opa, process):
        yield Running(opa, "opa", process)


@asynccontextmanager
async def in_process(binary: Binary, bundle: Bundle, *, cache: Path | None) -> AsyncIterator[Running]:
    """Evaluate here what has been compiled, loaded, and has decided once."""
    opa = await asyncio.to_thread(_loaded, binary, bundle, cache)
    try:
        await probe(opa, bundle.policies, seconds=PROBE_SECONDS)
    except NoDecisionError as error:
        raise PolicyError(f"the policies, evaluated in-process, decide nothing: {error}") from error
    yield Running(opa, "wasm", Unwatched())


def _loaded(binary: Binary, bundle: Bundle, cache: Path | None) -> WasmOpa:
    folder = _of_checked(cache) if cache else None
    module = kept(bundle, folder) if folder else None
    if module is None:
        with scratch() as empty:
            check_policies(binary.path(), bundle, empty)
        module = compiled(binary.path(), bundle, cache=folder)
    return WasmOpa.load(module, bundle.policies.revision)


def _of_checked(cache: Path) -> Path:
    """Return the folder of policies that have passed their checks, which are by the document as it is by now."""
    return cache / f"checked-{hashlib.sha256(check_schema()).hexdigest()[:16]}"


@asynccontextmanager
async def elsewhere(url: str, _: Bundle) -> AsyncIterator[Running]:
    """Ask an OPA that others run, whatever its policies are: each of its answers says that."""
    async with remote(url) as opa:
        yield Running(opa, "opa", Unwatched())


@asynccontextmanager
async def either(first: Start, second: Start, bundle: Bundle) -> AsyncIterator[Running]:
    """Run the `second` where the `first` cannot be by these policies, and say why."""
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(first(bundle))
        except PolicyError as error:
            # What the policies lack for both is the second's to say.
            running = replace(await stack.enter_async_context(second(bundle)), why=str(error))
            structlog.get_logger().warning("policies not evaluated in-process", reason=running.why)
        yield running


def start_of(choice: EngineChoice, url: str | None, *, ended: Callable[[End], None] = lambda _: None) -> Start:
    """Return how to start what `choice` says; `url` is that of an OPA that runs already, if there is one."""
    binary = Binary(environment())
    opa = start_of_opa(url, binary, ended=ended)
    here = partial(in_process, binary, cache=cache_folder(environment()))
    match choice:
        case "opa":
            return opa
        case "wasm":
            return here
        case "auto":
            return partial(either, here, opa)


def start_of_opa(
    url: str | None, binary: Binary | None = None, *, ended: Callable[[End], None] = lambda _: None
) -> Start:
    """Return how to have an OPA: one of our own, or the one at `url`; raises `SettingsError` for a URL that is none."""
    if url:
        remote(url)
        return partial(elsewhere, url)
    return partial(in_child, binary or Binary(environment()), ended=ended)


def remote(url: str) -> LocalOpa:
    """Return the client of an OPA that others run; raises `SettingsError` for a URL that names none."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if parts.netloc or not parts.path:
            raise SettingsError(f"--opa-url {url!r} names no socket: give its whole path, unix:///run/opa.sock")
        return LocalOpa(socket=Path(parts.path))
    try:
        port = parts.port or (443 if parts.scheme == "https" else 8181)
    except ValueError as error:
        raise SettingsError(f"--opa-url {url!r} has no port that can be: {error}") from error
    return LocalOpa(host=parts.hostname or "localhost", port=port, ssl=parts.scheme == "https")
