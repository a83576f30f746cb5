"""What the README tells an operator to run in a cluster, run: the install, and the runbook for when we are down."""

import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.plane import start_plane
from tests.e2e.guarded import PEOPLE, Guarded
from tests.e2e.manifests import OPEN, ROOT, documents, policy
from tests.e2e.reading import MUTATING, VALIDATING

README = (ROOT / "README.md").read_text()
BLOCKS = [
    textwrap.dedent(block) for block in re.findall(r"^ *```sh cluster\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
]


@pytest.fixture
def newcomer(control_plane: Path, opa_binary: Path, tmp_path: Path) -> Iterator[Guarded]:
    """A cluster that nobody has done anything to yet. It has no node, so `serve` is started by hand."""
    with ExitStack() as held:
        plane = held.enter_context(start_plane(control_plane, tmp_path))
        yield Guarded(plane, opa_binary, tmp_path, held)


def run(newcomer: Guarded, block: str) -> str:
    """Run a block of the README as an administrator, which has to end well."""
    plane = newcomer.plane
    environment = {"PATH": os.environ["PATH"], "HOME": str(plane.folder), "KUBECONFIG": str(plane.kubeconfig("root"))}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_installs_portcullis_and_gets_a_cluster_going_again(newcomer: Guarded) -> None:
    """Every block marked `cluster` does what the README says, in its order, with all that is shipped applied."""
    install, away, again, look = BLOCKS
    run(newcomer, install)
    users = [f"--user={each}" for each in PEOPLE]
    newcomer.kubectl("create", "clusterrolebinding", "people", "--clusterrole=cluster-admin", *users, user="root")
    newcomer.gate()
    newcomer.create("shop")
    # The Deployment has no node to run on: what scaling it does is done to the process.
    newcomer.stop()
    mine = ("create", "namespace", "later")
    assert "failed calling webhook" in newcomer.refused(*mine, user="wanda")
    run(newcomer, away)
    assert newcomer.reader.find(MUTATING) is None
    assert newcomer.reader.find(VALIDATING) is None
    # The backstop holds alone: nobody stamps it, and nobody but break-glass gets around that.
    opened = policy("shop", "zero-trust.open", OPEN)
    refusal = newcomer.refused("create", "--filename=-", user="rudi", stdin=documents(opened))
    assert "backstop" in refusal
    run(newcomer, again)
    newcomer.start()
    newcomer.await_gate()
    newcomer.create("later")
    assert "zero-trust.default-deny" in run(newcomer, look)
