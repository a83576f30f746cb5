"""The OPA client as we use it; apart, for what it loads is a burden to whoever asks no OPA."""

from pathlib import Path
from typing import Any

import aiohttp
import orjson
from opa_client.opa_async import AsyncOpaClient  # type: ignore[import-untyped]  # it ships no types


class Client(AsyncOpaClient):  # type: ignore[misc]  # the client ships no types
    """A client over a Unix socket or TCP that asks once."""

    def __init__(self, *, socket: Path | None, host: str, port: int, ssl: bool) -> None:
        super().__init__(host=host, port=port, ssl=ssl, retries=0, timeout=30)
        self._socket = socket

    async def _init_session(self) -> None:
        connector = (
            aiohttp.UnixConnector(path=str(self._socket), limit=0) if self._socket else aiohttp.TCPConnector(limit=0)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            json_serialize=_json,
        )


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
