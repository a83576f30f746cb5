"""
Hands connections from the one port to workers: each to the one that has the fewest.

The port is the parent's alone. A queue that workers share is emptied by whoever wakes first, who then has them for as
long as they are kept alive (measured: of 24 connections' requests 52, 35, 9 and 4 per cent); and with SO_REUSEPORT what
waits for a worker that dies or hangs is lost with it.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

AT_ONCE = 16
"""So many are let in before others have their turn."""
AGAIN_SECONDS = 0.05
"""Between two looks for somebody who takes a connection, where nobody does: it waits, and does not fail."""


class Place:
    """One worker's end of the door; `near` stays here, `far` goes to the worker."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.near.setblocking(False)  # noqa: FBT003 - the socket's own
        self._given = 0
        self._has = 0
        self._took = 0

    @property
    def load(self) -> int:
        """How many connections the worker has, those on the way to it included."""
        return self._has + self._given - self._took

    def heard(self, has: int, took: int) -> None:
        """Hear how many it has, and how many it has taken so far."""
        self._has, self._took = has, took

    def give(self, connection: socket.socket) -> bool:
        """Hand a connection over, and say whether that was possible."""
        try:
            socket.send_fds(self.near, [b"."], [connection.fileno()])
        except OSError:
            return False
        self._given += 1
        return True

    def close(self) -> None:
        """Close our end."""
        self.near.close()


class Door:
    """Lets connections in from when it is opened until it is closed; `places` are those of whoever answers now."""

    def __init__(self, sockets: Sequence[socket.socket], places: Callable[[], Sequence[Place]]) -> None:
        self._sockets = sockets
        self._places = places
        self._turn = 0

    def open(self) -> None:
        """Begin."""
        for each in self._sockets:
            asyncio.get_running_loop().add_reader(each.fileno(), self._let_in, each)

    def close(self) -> None:
        """End: whoever comes now is refused."""
        loop = asyncio.get_running_loop()
        for each in self._sockets:
            if each.fileno() >= 0:
                loop.remove_reader(each.fileno())
            each.close()

    def _let_in(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if not self._places():
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                loop.call_later(AGAIN_SECONDS, self._again, listening)
                return
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                self._hand_over(connection)

    def _again(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._let_in, listening)

    def _hand_over(self, connection: socket.socket) -> None:
        """Give it to the first that takes it: who has the fewest, and of those with as many each in turn."""
        places = list(self._places())
        self._turn += 1
        turned = [*places[self._turn % len(places) :], *places[: self._turn % len(places)]]
        any(each.give(connection) for each in sorted(turned, key=lambda each: each.load))


class Entrance:
    """A worker's end: calls `take` with each connection that is handed to it; `took` counts them."""

    def __init__(self, far: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self.took = 0
        self._far = far
        self._take = take
        far.setblocking(False)  # noqa: FBT003 - the socket's own

    def open(self) -> None:
        """Begin."""
        asyncio.get_running_loop().add_reader(self._far.fileno(), self.take_all)

    def close(self) -> None:
        """End, with what was handed over by then taken."""
        self.take_all()
        asyncio.get_running_loop().remove_reader(self._far.fileno())

    def take_all(self) -> None:
        """Take what has been handed over."""
        with suppress(OSError):
            while True:
                message, fds, _, _ = socket.recv_fds(self._far, 1, 1)
                if not message:
                    # The other end is closed, and would be told to be so for ever.
                    asyncio.get_running_loop().remove_reader(self._far.fileno())
                    return
                self.took += 1
                for fd in fds:
                    self._take(socket.socket(fileno=fd))
