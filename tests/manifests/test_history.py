"""The overlay that records: where the history is comes from a Secret, and the pods reach it and nothing more."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

from tests.manifests.built import Json, built, one

FOLDER = "overlays/history"


def container() -> Json:
    """Return the webhook's container."""
    (found,) = one(FOLDER, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_url_is_read_from_a_secret() -> None:
    """By the variable that our command reads; nobody who may read Deployments reads the password."""
    env = {each["name"]: each for each in container()["env"]}
    assert env["PORTCULLIS_HISTORY"]["valueFrom"] == {"secretKeyRef": {"name": "portcullis-history", "key": "url"}}
    command = [str(Path(sys.executable).with_name("portcullis")), "serve", "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env={"COLUMNS": "200"})
    assert [name for name in env if name.startswith("PORTCULLIS_") and name not in told.stdout] == []
    assert [each["metadata"]["name"] for each in built(FOLDER) if each["kind"] == "Secret"] == []


def test_the_database_is_reached_and_nothing_more() -> None:
    """One port more leads out of the pods, and nothing else differs from production but the variables."""
    own, production = [deepcopy(each) for each in built(FOLDER)], list(built("overlays/production"))
    for thing in own:
        if thing["kind"] == "Deployment":
            own_container = thing["spec"]["template"]["spec"]["containers"][0]
            own_container["env"] = [each for each in own_container["env"] if "HISTORY" not in each["name"]]
        if thing["kind"] == "NetworkPolicy" and thing["metadata"]["name"] == "portcullis":
            assert thing["spec"]["egress"][0]["ports"].pop() == {"protocol": "TCP", "port": 5432}
    assert own == production
