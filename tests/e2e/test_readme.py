"""What the README tells an operator to run in a cluster, run: the install, the runbook, and the way out."""

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.plane import start_plane
from tests.e2e.guarded import FIRST, PEOPLE, PROGRAM, Guarded
from tests.e2e.manifests import OPEN, ROOT, ZERO_TRUST, documents, policy
from tests.e2e.reading import LEASE, MUTATING, SECRET, VALIDATING, until

README = (ROOT / "README.md").read_text()
DOWN = README.partition("## When the webhook is down\n")[2].partition("\n## Try it\n")[0]
HOME = "portcullis-system"


def blocks(mark: str, text: str = README) -> list[str]:
    """Return the blocks of shell that carry this mark."""
    found = re.findall(rf"^ *```sh{mark}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


@pytest.fixture
def newcomer(control_plane: Path, opa_binary: Path, tmp_path: Path) -> Iterator[Guarded]:
    """A cluster that nobody has done anything to yet. It has no node, so `serve` is started by hand."""
    with ExitStack() as held:
        plane = held.enter_context(start_plane(control_plane, tmp_path))
        kubeconfig = plane.folder / ".kube" / "config"
        kubeconfig.parent.mkdir()
        shutil.copy(plane.kubeconfig("root"), kubeconfig)
        yield Guarded(plane, opa_binary, tmp_path, held)


def run(newcomer: Guarded, block: str, *, check: bool = True) -> str:
    """Run a block of the README as an administrator, which has to end well."""
    home = newcomer.plane.folder
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env={"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def begin(newcomer: Guarded, install: str) -> None:
    """Install, as the README says, and start what no node would."""
    run(newcomer, install)
    users = [f"--user={each}" for each in PEOPLE]
    newcomer.kubectl("create", "clusterrolebinding", "people", "--clusterrole=cluster-admin", *users, user="root")
    newcomer.gate()
    newcomer.create("shop")


def test_every_block_of_the_runbook_is_run() -> None:
    """But for the look at pods, which wants a node: its three commands are understood, and no more."""
    assert len(blocks(" cluster")) == 11
    assert len(blocks(" cluster", DOWN)) == 10
    assert len(blocks("", DOWN)) == 1


def test_the_readme_installs_portcullis_and_gets_a_cluster_going_again(newcomer: Guarded) -> None:
    """Every block of the first hour does what the README says, in its order, with all that is shipped applied."""
    install, away, again, look, *_ = blocks(" cluster")
    begin(newcomer, install)
    wrong = {command: run(newcomer, command, check=False) for command in blocks("", DOWN)[0].splitlines()}
    assert len(wrong) == 3
    for command, said in wrong.items():
        expected = {
            "get pods": "No resources found",
            "logs": "no pods|timed out|waiting",
            "--raw": "no endpoints|not found",
        }
        (part,) = [each for each in expected if each in command]
        assert re.search(expected[part], said), (command, said)
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


def test_the_readme_helps_with_certificates_lost_parts_and_leaders(newcomer: Guarded) -> None:
    """One block after the other, in one cluster, which works after each."""
    install, _, _, _, damaged, anew, restarted, lost, stuck, *_ = blocks(" cluster")
    begin(newcomer, install)
    first = newcomer.reader.read(SECRET)
    run(newcomer, damaged)
    until(lambda: newcomer.reader.find(SECRET), 15)
    assert newcomer.reader.read(SECRET)["data"] == first["data"]
    assert newcomer.reader.read(SECRET)["metadata"]["uid"] != first["metadata"]["uid"]
    newcomer.create("damaged")

    start_over(newcomer, anew)
    assert newcomer.reader.read(SECRET)["data"] != first["data"]
    newcomer.create("anew")

    newcomer.plane.stop_api_server()
    newcomer.plane.stop_etcd()
    newcomer.plane.start_etcd()
    newcomer.plane.start_api_server()
    newcomer.await_gate()
    until(lambda: "portcullis-controller" in run(newcomer, restarted, check=False), 20)
    assert "ok" in run(newcomer, restarted)
    newcomer.create("restarted")

    newcomer.kubectl("delete", "namespace", HOME, user="root")
    start_over(newcomer, lost)
    newcomer.create("lost")

    until(lambda: newcomer.reader.read(LEASE)["spec"]["holderIdentity"], 15)
    assert newcomer.reader.read(LEASE)["spec"]["holderIdentity"] in run(newcomer, stuck)


def start_over(newcomer: Guarded, block: str) -> None:
    """Run a block while there is no replica, and start one as a new pod does: with an empty folder."""
    newcomer.stop()
    shutil.rmtree(newcomer.processes[FIRST].certs)
    run(newcomer, block)
    newcomer.start()
    newcomer.await_gate()


def test_the_readme_shows_the_way_out(newcomer: Guarded) -> None:
    """What is left keeps its default deny, until that is removed as well."""
    install, *_, out, rest = blocks(" cluster")
    begin(newcomer, install)
    newcomer.stop()
    assert "Nothing was changed." in run(newcomer, out)
    assert newcomer.reader.find(VALIDATING) is None
    assert newcomer.reader.specs("shop") == ZERO_TRUST
    newcomer.kubectl("create", "namespace", "free", user="stranger")
    run(newcomer, rest)
    assert newcomer.reader.specs("shop") == {}
    assert newcomer.reader.find("/apis/portcullis.dev/v1alpha1") is None
    until(lambda: newcomer.reader.namespace(HOME) is None, 20)
