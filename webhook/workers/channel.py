"""
What goes between the watcher and a worker: frames over a pair of sockets that nobody else has.

A frame is two lengths, a head in JSON and a body. What the watcher says is believed, and bodies of it are pickled; a
worker reads what strangers send, so nothing that it says is more than JSON.
"""

import asyncio
import pickle
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import orjson

Head = Mapping[str, Any]

HIGH, LOW = 32 * 1024 * 1024, 1024 * 1024
"""Bytes that wait for the other end, above which it is slow, and below which it is not any more."""

DEEP = 10_000
"""Calls within calls of a pickle: an object is read with up to a thousand levels, each of which takes some."""

_LENGTHS = struct.Struct("!QQ")


def frame(head: Head, body: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    told = orjson.dumps(head)
    return _LENGTHS.pack(len(told), len(body)) + told + body


def packed(thing: Any) -> bytes:
    """Return what a worker is told, exactly as we have it."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEP)
    try:
        return pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
    finally:
        sys.setrecursionlimit(usual)


def unpacked(body: bytes) -> Any:
    """Return what the watcher told."""
    return pickle.loads(body)  # noqa: S301 - of the process that started us


class Channel(asyncio.Protocol):
    """
    One end; `hear` is called with each frame. What it raises, as what cannot be read, ends the channel.

    `gone` is done when the other end is, `slow` while it does not read what it is sent, and `resumed` is called when it
    does again.
    """

    def __init__(self, hear: Callable[[Head, bytes], None], resumed: Callable[[], None] = lambda: None) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.slow = False
        self._hear = hear
        self._resumed = resumed
        self._read = bytearray()
        self._asked = 0
        self._owed: dict[int, asyncio.Future[tuple[Head, bytes]]] = {}
        self._transport: asyncio.Transport | None = None

    @property
    def waiting(self) -> int:
        """How many bytes wait for the other end."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def send(self, head: Head, body: bytes = b"") -> None:
        """Send a frame; nobody is waited for."""
        self.pass_on(frame(head, body))

    def pass_on(self, sent: bytes) -> None:
        """Send what is a frame already."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(sent)

    async def ask(self, head: Head, body: bytes = b"") -> tuple[Head, bytes]:
        """Return the answer to a question; raises `ConnectionError` where the other end is gone."""
        if self.gone.done():
            raise ConnectionError("the other process is gone")
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[tuple[Head, bytes]] = asyncio.get_running_loop().create_future()
        self._owed[number] = answer
        try:
            self.send({**head, "ask": number}, body)
            return await answer
        finally:
            del self._owed[number]

    def close(self) -> None:
        """End it, once all is sent."""
        if self._transport:
            self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH, LOW)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        """Tell whoever waits that nobody answers any more."""
        if not self.gone.done():
            self.gone.set_result(None)
        for each in self._owed.values():
            if not each.done():
                each.set_exception(ConnectionError("the other process is gone"))

    def pause_writing(self) -> None:
        """Hear that the other end does not read."""
        self.slow = True

    def resume_writing(self) -> None:
        """Hear that it does again."""
        self.slow = False
        self._resumed()

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole."""
        self._read += data
        at, have = 0, len(self._read)
        while have - at >= _LENGTHS.size:
            of_head, of_body = _LENGTHS.unpack_from(self._read, at)
            begin = at + _LENGTHS.size
            end = begin + of_head + of_body
            if have < end:
                break
            with memoryview(self._read) as whole:
                head, body = orjson.loads(whole[begin : begin + of_head]), bytes(whole[begin + of_head : end])
            at = end
            self._take(head, body)
        del self._read[:at]

    def _take(self, head: Head, body: bytes) -> None:
        answered = head.get("answer")
        if answered is None:
            self._hear(head, body)
        elif (owed := self._owed.get(answered)) and not owed.done():
            owed.set_result((head, body))
