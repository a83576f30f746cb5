"""What a worker has done by the process that watches: it has no connection to the cluster of its own."""

import asyncio

from webhook.errors import ClusterError, NoDecisionError
from webhook.mend import Copy, Gap, in_place
from webhook.model import Cover, Namespace
from webhook.workers.channel import Channel, unpacked


class Asking:
    """Asks over a channel; `copy` is the worker's own, and says whether anything has to be asked."""

    def __init__(self, channel: Channel, copy: Copy) -> None:
        self._channel = channel
        self._copy = copy

    async def look(self, namespace: str) -> Namespace | None:
        """Return a namespace that the tree does not know, None where there is none; raises `ClusterError`."""
        try:
            head, body = await self._channel.ask({"do": "look", "namespace": namespace})
        except ConnectionError as error:
            raise ClusterError(str(error)) from error
        if "error" in head:
            raise ClusterError(head["error"], status=head["status"], reason=head["reason"])
        found: Namespace | None = unpacked(body)
        return found

    async def cover(self, gap: Gap, *, seconds: float) -> Cover:
        """
        Return how far the baselines of a place are in place, see `Mender`: one for all workers brings what lacks.

        Raises `NoDecisionError` where it does not answer.
        """
        if found := in_place(gap, self._copy):
            return found
        known = gap.tree.namespaces.get(gap.place.namespace)
        asked = {"do": "cover", "place": gap.place, "known": known, "dry_run": gap.dry_run, "seconds": seconds}
        try:
            async with asyncio.timeout(seconds * 1.2):
                head, body = await self._channel.ask(asked)
        except (ConnectionError, TimeoutError) as error:
            raise NoDecisionError("whoever brings what lacks does not answer", retry=True) from error
        if "error" in head:
            raise NoDecisionError(head["error"], retry=True)
        cover: Cover = unpacked(body)
        return cover
