"""
Passes on what the watches tell: to every worker, numbered, before our own copy of the cluster is changed.

A worker that is new, or too slow to be told everything, is told all that stands instead.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from webhook.mirror import Cut
from webhook.tenancy.live import LiveTree
from webhook.tenancy.tree import Tree
from webhook.workers.channel import frame, packed
from webhook.workers.generation import Generation

Object = dict[str, Any]


class Follower(Protocol):
    """A worker, as it is told."""

    def tell(self, sent: bytes) -> None:
        """Pass a frame on, or remember that it was not."""
        ...


class Feed:
    """
    What is told; `held` is the copy that stands behind it, and of files the tree of them.

    `revision` is that of the policies which decide: that they are others now is told in the same row as all else.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.followers: list[Follower] = []
        self.held: LiveTree | Tree | None = None
        self.revision = ""
        self._cuts: dict[str, Cut] = {}
        self._state = b""

    def state(self) -> bytes:
        """Return the frame of all that stands."""
        if not self._state:
            head = {"do": "state", "number": self.generation.number, "revision": self.revision}
            self._state = frame(head, packed((self.held, self._cuts)))
        return self._state

    def reset(self, kind: str, things: Sequence[Object], version: str) -> None:
        """Pass on all of a kind that stand."""
        self._tell({"do": "reset", "kind": kind, "version": version}, things)

    def put(self, kind: str, thing: Object) -> None:
        """Pass on one that came or changed."""
        self._tell({"do": "put", "kind": kind}, thing)

    def drop(self, kind: str, thing: Object) -> None:
        """Pass on one that is gone."""
        self._tell({"do": "drop", "kind": kind}, thing)

    def absent(self, kind: str) -> None:
        """Pass on that a kind is not served."""
        self._tell({"do": "absent", "kind": kind}, None)

    def cut(self, kind: str, cut: Cut | None) -> None:
        """Pass on that a watch is cut or goes on again, None where there is none."""
        if cut is None:
            self._cuts.pop(kind, None)
        else:
            self._cuts[kind] = cut
        self._tell({"do": "cut", "kind": kind}, cut)

    def swap(self, revision: str) -> None:
        """Have every decision that begins from here on be by other policies, which all workers hold ready."""
        self.revision = revision
        self._tell({"do": "swap", "revision": revision}, None)

    def _tell(self, head: dict[str, Any], body: Any) -> None:
        # First of all: from here on nobody decides who has not heard.
        number = self.generation.raised()
        self._state = b""
        if self.followers:
            sent = frame({**head, "number": number}, packed(body))
            for each in self.followers:
                each.tell(sent)
