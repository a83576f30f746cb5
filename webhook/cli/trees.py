"""The tenant tree of now: from files, or read from a cluster once."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from webhook.errors import ClusterError
from webhook.tenancy.files import load_tree
from webhook.tenancy.manifests import Manifest
from webhook.tenancy.tree import Tree

READ_SECONDS = 60.0
"""For reading a whole tree from a cluster."""


Places = Mapping[tuple[str, str, str], Manifest]
"""Where things stand in files, by kind, namespace and name."""


def tree_of_files(path: Path, warn: Callable[[str], None]) -> Tree:
    """Return the tree of a file or folder; raises `ManifestError`, the last of several: the others are told before."""
    return places_in_files(path, warn)[0]


def places_in_files(path: Path, warn: Callable[[str], None]) -> tuple[Tree, Places]:
    """Return the tree of a file or folder, and where in it each thing stands; raises like `tree_of_files`."""
    loading = load_tree(path)
    for warning in loading.warnings:
        warn(warning)
    if loading.tree is None:
        # All of them at once: one line each, the last of them by whoever reports our errors.
        for error in loading.errors[:-1]:
            sys.stderr.write(f"portcullis: {error}\n")
        raise loading.errors[-1]
    return loading.tree, loading.places


async def tree_of_cluster(kubeconfig: Path | None, namespace: str, warn: Callable[[str], None]) -> Tree:
    """
    Return the tree of a cluster, with the policies of one namespace, or of all where none is named.

    Raises `SettingsError` for what cannot be followed, `ClusterError` for what cannot be read, or not in time.
    """
    # Kubernetes' client costs a third of a second, which who reads files need not pay.
    from webhook.cluster.client import connected  # noqa: PLC0415
    from webhook.mirror import read_once  # noqa: PLC0415

    async with connected(kubeconfig) as cluster:
        try:
            async with asyncio.timeout(READ_SECONDS):
                live = await read_once(cluster, namespace)
        except TimeoutError as error:
            what = f"the cluster could not be read within {READ_SECONDS:.0f} s: try again, or read files by --tenancy"
            raise ClusterError(what) from error
        except ClusterError as error:
            raise ClusterError(f"{error}; {_way_out(error)}", status=error.status, reason=error.reason) from error
    for line in live.unreadable():
        warn(line)
    if live.tree is None:
        raise ClusterError(f"there is no tenant tree in the cluster: {live.lacks()}")
    return live.tree


def _way_out(error: ClusterError) -> str:
    match error.status:
        case 401:
            return "give a kubeconfig with a token or certificate that the API server knows"
        case 403:
            return "you have to be allowed to list the tenant tree, namespaces and network policies"
        case _:
            return "see that the API server of --kubeconfig answers, or read files by --tenancy"
