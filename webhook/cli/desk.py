"""What workers have done where the watches are: pages, look-ups, baselines; and where their decisions are told."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import TypeAdapter

from webhook.app import Pages
from webhook.cli.tenants import Tenants
from webhook.errors import ClusterError, NoDecisionError
from webhook.history.record import Record
from webhook.mend import Gap
from webhook.model import Namespace, Place
from webhook.workers.channel import Channel, Head, packed
from webhook.workers.telling import record_of

_PLACE = TypeAdapter(Place)
_NAMESPACE = TypeAdapter(Namespace | None)


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers workers; `take` and `refused` are told of what they did."""

    pages: Pages
    tenants: Tenants
    take: Callable[[Record], None]
    refused: Callable[[int], None]
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def hear(self, channel: Channel, head: Head, body: bytes) -> None:
        """Take what a worker says; raises `ValueError`, `TypeError` or `KeyError` for what it cannot have meant."""
        match head["do"]:
            case "record":
                self.take(record_of(head, body))
            case "refused":
                self.refused(head["status"])
            case "page":
                self._begin(self._page(channel, head))
            case "look":
                self._begin(self._look(channel, head))
            case "cover":
                self._begin(self._cover(channel, head))
            case other:
                raise ValueError(f"a worker said {other!r}")

    async def _page(self, channel: Channel, head: Head) -> None:
        page = await self.pages.page(head["path"])
        told = {"answer": head["ask"], "status": page.status_code, "type": page.headers["content-type"]}
        channel.send(told, bytes(page.body))

    async def _look(self, channel: Channel, head: Head) -> None:
        answer = {"answer": head["ask"]}
        try:
            found = await self.tenants.look(head["namespace"])
        except ClusterError as error:
            channel.send({**answer, "error": str(error), "status": error.status, "reason": error.reason})
        else:
            channel.send(answer, packed(found))

    async def _cover(self, channel: Channel, head: Head) -> None:
        answer, tree, mender = {"answer": head["ask"]}, self.tenants.tree(), self.tenants.mender
        place, known = _PLACE.validate_python(head["place"]), _NAMESPACE.validate_python(head["known"])
        if tree is None or mender is None:
            channel.send({**answer, "error": "there is no tree any more"})
            return
        if known and known.name not in tree.namespaces:
            tree = tree.knowing(known)
        try:
            cover = await mender.cover(Gap(place, tree, head["dry_run"]), seconds=head["seconds"])
        except NoDecisionError as error:
            channel.send({**answer, "error": str(error)})
        else:
            channel.send(answer, packed(cover))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # The worker waits in vain, and denies.
            structlog.get_logger().error("a worker was not answered", exc_info=error)
