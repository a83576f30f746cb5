"""`portcullis serve --history`: what it answered is in the history, and no database keeps it from answering."""

import asyncio
import socket
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.cli.test_serve import MINE, PROGRAM, ROOT, THEIRS, own, serve, until, usual
from tests.history.made import listed
from webhook.history.rows import Recorded
from webhook.history.store import opened


def recorded(url: str) -> list[Recorded]:
    """Return what is in a history."""

    async def main() -> list[Recorded]:
        async with opened(url, migrate=False) as store:
            return [each for page in await listed(store.recorded()) for each in page]

    return asyncio.run(main())


def test_what_was_answered_is_recorded(tmp_path: Path) -> None:
    """The last one too, which was answered just before it was stopped; documents have their time back."""
    url = f"sqlite:///{tmp_path}/history.db"
    with serve(tmp_path, *usual(tmp_path), "--history", url) as serving:
        denial = serving.ask(THEIRS)
        until(lambda: 'portcullis_history_recorded_total{kind="decision"} 1.0' in serving.metrics())
        assert [note for note in serving.client.get("/readyz").json()["notes"] if "history" in note] == []
        admission = serving.ask(MINE)
        assert serving.stop() == 0
    found = recorded(url)
    assert [(each.decision_id, each.user, each.verdict) for each in found] == [
        (denial["auditAnnotations"]["decision-id"], "bo", "deny"),
        (admission["auditAnnotations"]["decision-id"], "ada", "allow"),
    ]
    assert {each.revision for each in found} == {serving.ready["revision"]}
    document = orjson.loads(found[0].document)
    assert (document["user"]["name"], document["object"]["kind"]) == ("bo", "NetworkPolicy")
    assert document["request"]["time"].endswith("Z")


def test_a_database_that_is_away_is_a_warning(tmp_path: Path) -> None:
    """It starts, is ready, answers, says what is wrong, and ends in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://ada:hidden@127.0.0.1:{silent.getsockname()[1]}/history"
        with serve(tmp_path, *usual(tmp_path), PORTCULLIS_HISTORY=url) as serving:
            assert serving.ask(MINE)["allowed"]
            assert serving.missing() == []
            until(lambda: any("history" in note for note in serving.client.get("/readyz").json()["notes"]))
            assert serving.stop() == 0
        log = serving.log.read_text()
    assert "hidden" not in log
    assert "1 decision (stopped)" in log


@pytest.mark.parametrize("url", ["mysql://a/b", "history.db", "sqlite://"])
def test_a_url_that_is_none_is_no_start(tmp_path: Path, url: str) -> None:
    """In one line, before anybody could rely on it."""
    command = [str(PROGRAM), "serve", *usual(tmp_path), "--history", url]
    done = subprocess.run(command, cwd=ROOT, env=own(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "sqlite:///PATH" in done.stderr.splitlines()[-1]
