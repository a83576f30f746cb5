"""
`portcullis check` on thousands of policies, beside `opa exec` by the same rules on the same objects, in the same run.

`opa exec` gets the documents, as JSON: it neither reads YAML nor gathers a fact.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from bench.figures import Figure
from webhook.check.arriving import stood
from webhook.check.asking import Deed
from webhook.check.judge import Judge
from webhook.check.opening import Given, opened
from webhook.check.reading import every_written
from webhook.check.written import Sources, parted
from webhook.decision.binary import find_opa
from webhook.decision.bundle import read_policies
from webhook.decision.opa import LocalOpa
from webhook.settings import bundled_policies

PROGRAM = Path(sys.executable).parent / "portcullis"
IN_A_FILE = 10
BOUND = 0.5
"""Milliseconds for an object: 2,000 of them a second."""
GROWTH = 16.0
"""Megabytes that ten times as many objects may take more."""
EXECUTED = 1000
"""So many documents `opa exec` is given: it takes the same time for each."""

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-{number}
  namespace: team-{file}
  labels:
    app.kubernetes.io/name: app-{number}
spec:
  podSelector:
    matchLabels:
      app: app-{number}
  policyTypes:
    - Ingress
    - Egress
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: web
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: team-1
      ports:
        - protocol: TCP
          port: 8080
  egress:
    - to:
        - ipBlock:
            cidr: 10.{block}.{number}.0/24
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A run: seconds by the clock, seconds of processors, megabytes of the command itself at its largest."""

    wall: float
    cpu: float
    memory: float


def measure_check(*, objects: int) -> list[Figure]:
    """Return the figures of so many objects, and of a tenth of them."""
    with TemporaryDirectory() as name:
        many, few, documents = (Path(name, each) for each in ("many", "few", "documents"))
        write(many, objects)
        write(few, objects // 10)
        small, large = run(few), run(many)
        executed = execute(few, documents)
    # What it takes to start is in both.
    each = (large.wall - small.wall) / (objects * 0.9) * 1000
    cpu = (large.cpu - small.cpu) / (objects * 0.9) * 1000
    how = f"{objects} NetworkPolicies in {objects // IN_A_FILE} files"
    return [
        Figure("check, an object", round(each, 3), "ms", BOUND, f"{how}, {cpu:.2f} ms of processors each"),
        Figure("check, all of it", round(large.wall, 1), "s", None, f"{how}, from its start to its end"),
        Figure("opa exec, a document", round(executed, 3), "ms", None, "the same rules, without YAML and facts"),
        Figure("check, memory at a tenth", round(small.memory, 1), "MB", None, f"{objects // 10} objects"),
        Figure("check, more memory for all", round(large.memory - small.memory, 1), "MB", GROWTH, how),
    ]


def write(folder: Path, objects: int) -> None:
    """Write policies, ten in a file and a namespace."""
    folder.mkdir()
    for file in range(objects // IN_A_FILE):
        every = (POLICY.format(number=n, file=file, block=file % 256) for n in range(IN_A_FILE))
        (folder / f"team-{file:05}.yaml").write_text("---\n".join(every))


def run(folder: Path) -> Run:
    """Check a folder by the command; everything in it is fine."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [PROGRAM, "check", folder, "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout
    answer = orjson.loads(process.stdout.read())
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (process.returncode, answer["findings"]) == (0, [])
    return Run(time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def execute(folder: Path, documents: Path) -> float:
    """Return how many milliseconds `opa exec` takes for a document, its start taken off."""
    documents.mkdir()
    sources = Sources((folder,))
    written, _ = parted(every_written(sources))
    bundle = read_policies(bundled_policies())
    judge = Judge(LocalOpa(), bundle.policies, {}, datetime.now(UTC))
    ground = opened(Given(sources, written)).ground
    for number, each in enumerate(written[:EXECUTED]):
        ground.expect(each.thing.namespace)
        document = judge.document(Deed(each.thing, stood(each.read()), None), ground.tree)
        (documents / f"{number}.json").write_bytes(orjson.dumps(document))
    one = documents / "0.json"
    return (_executed(documents) - _executed(one)) / (min(EXECUTED, len(written)) - 1) * 1000


def _executed(path: Path) -> float:
    opa = find_opa(os.environ, say=lambda _: None)
    decision = ["--decision", "portcullis/validate/decision"]
    command: list[str | Path] = [opa, "exec", "--bundle", bundled_policies(), *decision, path]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


if __name__ == "__main__":
    for figure in measure_check(objects=int(os.environ.get("BENCH_CHECK", "10000"))):
        sys.stdout.write(f"{figure.name}: {figure.value} {figure.unit} {figure.verdict} ({figure.how})\n")
