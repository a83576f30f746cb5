"""Each engine on a real API server: what is refused and what is let in, in the same words."""

from collections.abc import Iterator

import pytest

from tests.e2e.guarded import Guarded


@pytest.fixture
def replaced(guarded: Guarded) -> Iterator[Guarded]:
    """The cluster, whose process a test may start again; afterwards it is as it was."""
    yield guarded
    guarded.stop()
    guarded.start()
    guarded.await_gate()


def test_every_engine_says_the_same(replaced: Guarded) -> None:
    """One tenant is let in, a stranger is told why not, by OPA as in-process; the metric says which of them it was."""
    said = {}
    for engine in ("opa", "wasm"):
        replaced.stop()
        process = replaced.start("first", f"--engine={engine}")
        replaced.await_gate()
        asked = ("create", "namespace", "by-each-engine", "--dry-run=server")
        assert "created" in replaced.kubectl(*asked, user="wanda")
        refused = replaced.plane.kubectl(*asked, user="stranger", check=False)
        assert refused.returncode != 0
        metrics = process.ask("/metrics")
        assert metrics
        assert f'portcullis_engine_info{{engine="{engine}"}} 1.0' in metrics.text
        said[engine] = refused.stderr.partition("[rbac/namespace]")[2].partition(" Decision ")[0]
    assert said["opa"]
    assert said["wasm"] == said["opa"]
