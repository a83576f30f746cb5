"""
A bare ASGI app that gives back what it is sent, by the webhook's own server: what uvicorn and TLS cost alone.

    python -m bench.echo CERTIFICATES
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from webhook.cli.beside import listening
from webhook.server import Server, Tls

Message = dict[str, Any]


async def echo(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer any request with its body."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def run(certificates: Path) -> None:
    """Serve until SIGTERM; the first line of the output is the URL."""
    tls = Tls(certificates / "tls.crt", certificates / "tls.key")
    server = Server.of(echo, "127.0.0.1", 0, tls=tls)  # type: ignore[arg-type]  # of the messages that it knows
    serving = asyncio.create_task(server.serve())
    await listening(server, serving)
    sys.stdout.write("https://{}:{}\n".format(*server.address()))
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(Path(sys.argv[1])))
