"""The bare control plane with what comes before Portcullis: its kinds and its namespace."""

from collections.abc import Iterator

import pytest

from tests.controlplane.plane import Plane
from tests.manifests.built import MANIFESTS, Api, built


@pytest.fixture(scope="session")
def api(plane: Plane) -> Iterator[Api]:
    """The plane's API server, asked without kubectl."""
    api = Api(plane)
    yield api
    api.close()


@pytest.fixture(scope="session")
def kinds(plane: Plane) -> None:
    """The four kinds of portcullis.dev."""
    plane.kubectl("apply", "-k", str(MANIFESTS / "crds"))
    names = [f"crd/{each['metadata']['name']}" for each in built("crds")]
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture(scope="session")
def home(plane: Plane) -> None:
    """Our namespace and rights; a dry run of the rest needs the first, for nothing of it is stored."""
    plane.kubectl("apply", "-f", str(MANIFESTS / "base" / "namespace.yaml"))
    for name in ("rbac.yaml", "roles.yaml"):
        plane.kubectl("apply", "-f", str(MANIFESTS / "base" / name))
