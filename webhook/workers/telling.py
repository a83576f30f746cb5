"""What a worker tells of its decisions, and what is made of that where metrics and history are kept."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
from pydantic import TypeAdapter

from webhook.decision.document import Document, Kind, Request
from webhook.history.record import Record
from webhook.workers.channel import Channel, Head, frame

MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may wait until they are read; what comes then is lost, and counted."""

_RECORD = TypeAdapter(Record)


class Telling:
    """
    Tells of decisions, without keeping anybody waiting.

    `documents` says whether what was decided on is wanted: it is for the history alone.
    """

    def __init__(self, channel: Channel, *, documents: bool) -> None:
        self._channel = channel
        self._documents = documents
        self._lost = 0

    def decided(self, record: Record) -> None:
        """Tell of a decision."""
        document = b""
        if self._documents and record.document is not None:
            # What is nested too deeply to be written was denied; of that, too, something is told.
            with suppress(TypeError):
                document = orjson.dumps(record.document)
        self._tell(frame({"do": "record", "record": replace(record, document=None)}, document))

    def refused(self, status: int) -> None:
        """Tell of a request that was refused before there was anything to decide."""
        self._tell(frame({"do": "refused", "status": status}))

    def _tell(self, sent: bytes) -> None:
        if self._channel.waiting + len(sent) > MOST_WAITING:
            self._lost += 1
            return
        if self._lost:
            self._channel.send({"do": "lost", "count": self._lost})
            self._lost = 0
        self._channel.pass_on(sent)


def record_of(head: Head, document: bytes) -> Record:
    """Return the decision that a worker tells of; raises `ValueError` or `TypeError` for what is none."""
    record = _RECORD.validate_python(head["record"])
    return replace(record, document=_document(orjson.loads(document))) if document else record


def _document(said: dict[str, Any]) -> Document:
    """Return a document with all below its request as JSON, which is how it is kept."""
    request = said.pop("request")
    kind = Kind(**request.pop("kind"))
    return Document(request=Request(kind=kind, **request), **said)
