"""`portcullis demo`: the real webhook with a real OPA on the example tree, asked what an API server would ask."""

import asyncio
import base64
import json
import signal
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import typer

from webhook.cli.scenes import SCENES, Scene
from webhook.decision.binary import find_opa
from webhook.errors import DemoError
from webhook.settings import bundled_examples, environment

if TYPE_CHECKING:
    from rich.console import Console

START_SECONDS = 60.0


def demo(
    *,
    history: Annotated[
        str,
        typer.Option(help="Where to record what is decided: sqlite:///PATH.", show_default="nowhere"),
    ] = "",
) -> None:
    """
    Start the webhook on the example tree, send it AdmissionReviews over TLS, and show each answer.

    Exits with 1 if an answer is not what the demo says. Example: portcullis demo

    Example, something to replay: portcullis demo --history sqlite:///demo.db
    """
    # A tenth of a second, which `serve` would spend as well.
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    # First of all, for it may have to be built, which takes minutes and is told as it goes.
    find_opa(environment(), say=lambda line: console.print(f"  {line}", style="dim"))
    with TemporaryDirectory(prefix="portcullis-demo-") as folder:
        wrong = asyncio.run(_show(console, Path(folder), history))
    if wrong:
        console.print(f"\n{wrong} of {len(SCENES)} answers are not what this demo says", style="bold red")
        raise typer.Exit(1)
    console.print(f"\n{len(SCENES)} answers, all as said. The webhook has ended; nothing is left running.")


async def _show(console: "Console", folder: Path, history: str) -> int:
    """Play every scene; return how many answers are not what the scene says."""
    begin = time.monotonic()
    async with _webhook(folder, history) as url, _client(folder) as client:
        seconds = time.monotonic() - begin
        console.print(f"The webhook answers on {url}, {seconds:.1f} s after its start.")
        console.print(f"Its tree is {_relative(bundled_examples())}:")
        console.print("acme > payments > checkout, refunds; acme > search > ranking.")
        stage = _Stage(console, client, url)
        return [await stage.play(number, scene) for number, scene in enumerate(SCENES, 1)].count(False)


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where scenes are played: a webhook that answers and a console that shows it."""

    console: "Console"
    client: aiohttp.ClientSession
    url: str

    async def play(self, number: int, scene: Scene) -> bool:
        """Show one scene; return whether the answer is the one that it says."""
        self.console.print(f"\n{number:2}. {scene.title}", style="bold")
        self.console.print(f"    {scene.caller.name} ({', '.join(scene.caller.groups)}): {scene.asks()}", style="dim")
        request, changed = scene.request(), list[str]()
        if scene.mutates:
            response = await self._ask("mutate", request)
            operations = json.loads(base64.b64decode(response.get("patch", "W10=")))
            changed = [f"{each['op']} {each['path']} {json.dumps(each.get('value', ''))}" for each in operations]
            request = scene.request(patched=operations)
        response = await self._ask("validate", request)
        verdict = "allowed" if response["allowed"] else "denied"
        self.console.print(f"    {verdict}", style="bold green" if response["allowed"] else "bold red")
        said = [*changed, *_said(response)]
        for line in said:
            self.console.print(f"      {line}", markup=False)
        right = verdict == scene.verdict and scene.proof in "\n".join(said)
        if not right:
            self.console.print(f"    but this demo says: {scene.verdict}, with {scene.proof!r} in it", style="bold red")
        return right

    async def _ask(self, route: str, request: dict[str, Any]) -> dict[str, Any]:
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": request | {"uid": str(uuid.uuid4())},
        }
        async with self.client.post(f"{self.url}/{route}?timeout=10s", json=review) as reply:
            if reply.status != 200:
                raise DemoError(f"the webhook answered with HTTP {reply.status}: {await reply.text()}")
            response: dict[str, Any] = (await reply.json())["response"]
            return response


def _said(response: dict[str, Any]) -> Iterator[str]:
    if not response["allowed"]:
        status = response["status"]
        yield f"{status['code']} {status['reason']}"
        yield from status["message"].splitlines()
    yield from (f"Warning: {warning}" for warning in response.get("warnings", ()))
    yield from (
        f"audit {key}: {value}" for key, value in response["auditAnnotations"].items() if key != "policy-revision"
    )


@asynccontextmanager
async def _client(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    trust = ssl.create_default_context(cafile=str(folder / "certs" / "ca.crt"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as client:
        yield client


@dataclass(frozen=True, slots=True)
class _Log:
    """The webhook's log as a file, so that no pipe fills up."""

    path: Path

    def ready(self) -> str | None:
        """Return the address from the line that says that it is ready."""
        for line in self.path.read_text().splitlines():
            if line.startswith("{") and (told := json.loads(line)).get("event") == "ready":
                return str(told["url"])
        return None


@asynccontextmanager
async def _webhook(folder: Path, history: str) -> AsyncIterator[str]:
    """Run `portcullis serve` as a process of its own until the end, and return its address."""
    command = [
        sys.executable,
        "-c",
        "from webhook.cli import main; main()",
        "serve",
        "--tenancy",
        str(bundled_examples()),
    ]
    command += ["--host", "127.0.0.1", "--port", "0", "--cert-dir", str(folder / "certs")]
    command += ["--history", history] if history else []
    log = _Log(folder / "log")
    # Settings of the shell must not change what the demo shows.
    own = {
        key: value
        for key, value in environment().items()
        if not key.startswith("PORTCULLIS_") or key == "PORTCULLIS_OPA"
    }
    with log.path.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=own)  # noqa: ASYNC220 - takes no time
    try:
        yield await _address(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise DemoError("the webhook did not end when it was asked to") from error


async def _address(process: "subprocess.Popen[bytes]", log: _Log) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"the webhook ended at once:\n{log.path.read_text()}")
        if url := log.ready():
            return url
        await asyncio.sleep(0.05)
    raise DemoError(f"the webhook was not ready within {START_SECONDS:.0f} s:\n{log.path.read_text()}")


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
