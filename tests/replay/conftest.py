"""What was recorded while the whole case table was decided."""

from dataclasses import replace

import orjson
import pytest

from tests.cases.table import CASES
from tests.conftest import Loop
from tests.replay.recorded import Kept, kept
from webhook.admission import Gate
from webhook.history.record import Record


@pytest.fixture(scope="session")
def history(gate: Gate, loop: Loop) -> tuple[Kept, ...]:
    """Return the record of each case, decided by the shipped rules."""
    records: list[Record] = []
    recording = replace(gate, record=records.append)

    async def ask() -> None:
        for case in CASES:
            await recording.validate(orjson.dumps(case.asked.review()), seconds=30)

    loop.run(ask())
    return tuple(map(kept, records))
