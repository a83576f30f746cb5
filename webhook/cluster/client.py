"""
The calls that we make on an API server: one method a verb, our error for whatever goes wrong.

The only module that imports `kubernetes`: for what it knows of kubeconfig files, ServiceAccount tokens that rotate
and TLS. Its typed models are left alone (5 s of import, 187 MB): an object is a dict.
"""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml

if "kubernetes" not in sys.modules and (_found := find_spec("kubernetes")):
    # The package itself loads its other half, which is for threads, with requests, oauthlib and websocket: a quarter of
    # a second and 8 MB for what nobody calls. So what lies in it is loaded and the package is not run.
    sys.modules["kubernetes"] = module_from_spec(_found)

from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from webhook.cluster.reading import read_json
from webhook.cluster.resource import REVIEWS, Resource
from webhook.errors import ClusterError, SettingsError
from webhook.model import MANAGER

Object = dict[str, Any]

CALL_SECONDS = 15.0
SILENCE_SECONDS = 90.0
"""A watch hears a bookmark about once a minute; longer silence means that the connection is gone."""
CONNECTIONS = 64

_UNREADABLE = (config.ConfigException, yaml.YAMLError)
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_NONE: Mapping[str, str] = MappingProxyType({})


@asynccontextmanager
async def connected(kubeconfig: Path | None) -> AsyncIterator["Cluster"]:
    """
    Connect to the cluster of a kubeconfig file, or, without one, to that of the pod that we run in.

    Raises `SettingsError` for a file that cannot be followed and where there is no cluster around us.
    """
    settings = Configuration()
    settings.connection_pool_maxsize = CONNECTIONS
    settings.host = ""
    try:
        # What is wrong in a file shows as any of these, at the latest when its CA is loaded.
        if kubeconfig is not None:
            await config.load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(settings)  # type: ignore[no-untyped-call]
        if not settings.host:
            raise config.ConfigException("it names no server")
        # The session would look for a proxy and for a .netrc before each request, in two threads: a third of our work.
        settings.proxy = settings.proxy or _proxy(settings.host)
        settings.client_session_kwargs = {"trust_env": False}
        api = ApiClient(settings)
    except (*_UNREADABLE, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(_not_configured(kubeconfig, error)) from error
    async with api:
        yield Cluster(api)


def _proxy(server: str) -> str | None:
    """Return the proxy by which the environment has `server` reached (HTTPS_PROXY, NO_PROXY), None for none."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _not_configured(kubeconfig: Path | None, error: Exception) -> str:
    if kubeconfig is not None:
        return f"--kubeconfig {kubeconfig} cannot be followed: {' '.join(_said(error).split())}"
    return "this is no pod of a cluster: give --kubeconfig FILE, or --tenancy PATH to judge by files"


class Cluster:
    """An API server. Every method raises `ClusterError` for what it did not do."""

    def __init__(self, api: ApiClient, may_write: Callable[[], bool] = lambda: True) -> None:
        self._api = api
        self._may_write = may_write

    def only_while(self, may_write: Callable[[], bool]) -> "Cluster":
        """Return the same API server for one who sends a write only if `may_write` says so then: a leader, say."""
        return Cluster(self._api, may_write)

    @property
    def server(self) -> str:
        """Where it is, as the kubeconfig says it."""
        return str(self._api.configuration.host)

    async def user(self) -> str:
        """Return the name that the API server knows us by."""
        review = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind}
        answer = await self._call("POST", REVIEWS.path(), body=review)
        match answer:
            case {"status": {"userInfo": {"username": str(name)}}}:
                return name
            case _:
                raise ClusterError("the API server does not say whom it takes us for")

    async def read(self, resource: Resource, name: str, namespace: str = "") -> Object:
        """Return one object."""
        return await self._call("GET", resource.path(name, namespace))

    async def page(self, path: str, query: Mapping[str, str], accept: str) -> Object:
        """Return one page of a list."""
        return await self._call("GET", path, query=query, accept=accept)

    async def create(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        """Create an object and return it as it is stored, or, with `dry_run`, as it would be."""
        path = resource.path(namespace=thing["metadata"].get("namespace", ""))
        return await self._call("POST", path, query=_written(**_dry(dry_run)), body=thing)

    async def apply(self, resource: Resource, thing: Object) -> Object:
        """Apply an object server-side, taking over fields that others own, and return it as it is stored."""
        metadata = thing["metadata"]
        path = resource.path(metadata["name"], metadata.get("namespace", ""))
        return await self._call("PATCH", path, query=_written(force="true"), body=thing, content_type=_APPLY)

    async def replace(self, resource: Resource, thing: Object, *, dry_run: bool = False) -> Object:
        """Replace an object whole, in the version that its `resourceVersion` names, and return it like `create`."""
        metadata = thing["metadata"]
        path = resource.path(metadata["name"], metadata.get("namespace", ""))
        return await self._call("PUT", path, query=_written(**_dry(dry_run)), body=thing)

    async def patch(self, resource: Resource, name: str, body: Object, namespace: str = "") -> Object:
        """Merge `body` into an object (RFC 7386) and return it as it is stored."""
        path = resource.path(name, namespace)
        return await self._call("PATCH", path, query=_written(), body=body, content_type=_MERGE)

    async def patch_status(self, resource: Resource, name: str, body: Object) -> Object:
        """Merge `body` into an object of the whole cluster, of which its status alone changes, and return it."""
        path = f"{resource.path(name)}/status"
        return await self._call("PATCH", path, query=_written(), body=body, content_type=_MERGE)

    async def delete(self, resource: Resource, name: str, namespace: str = "", *, version: str) -> None:
        """Delete an object if it is still in `version`."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": version}}
        await self._call("DELETE", resource.path(name, namespace), body=options)

    async def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete an object in whatever version, and what it owns after it."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self._call("DELETE", resource.path(name, namespace), body=options)

    async def lines(self, path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        """Yield an empty line when the API server begins, then what a watch says, line by line, until it ends."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS, sock_read=SILENCE_SECONDS)
        response = await self._request("GET", path, timeout, query=query, accept=accept)
        try:
            yield b""
            async for line in _split(response):
                yield line
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise ClusterError(f"the watch of {path} was cut: {_said(error)}") from error
        finally:
            response.close()

    async def _call(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = _NONE,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        response = await self._request(
            method, path, timeout, query=query, body=body, content_type=content_type, accept=accept
        )
        try:
            answer = read_json(await response.read())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise ClusterError(f"{method} {path}: the answer cannot be read: {_said(error)}") from error
        if not isinstance(answer, dict):
            raise ClusterError(f"{method} {path}: the answer cannot be read: it is no object")
        return answer

    async def _request(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own, with its parts
        *,
        query: Mapping[str, str] = _NONE,
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> aiohttp.ClientResponse:
        """Return the answer to a request, its body not read yet."""
        if path.endswith(("/.", "/..")):
            # Nothing is called so, and in a path it means something else.
            raise ClusterError(f"{method} {path}: there is no such object", status=404, reason="NotFound")
        headers = {"Accept": accept, "Content-Type": content_type, "User-Agent": "portcullis"}
        try:
            # Asks for the token anew each time: a ServiceAccount's rotates.
            call = await self._api.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, auth_settings=["BearerToken"]
            )
            _, url, signed, _, _ = call
            if method != "GET" and not self._may_write():
                raise ClusterError(f"{method} {path}: not sent, we do not lead any more")
            rest: Any = self._api.rest_client
            answer = await rest.request(method, url, headers=signed | headers, body=body, _request_timeout=timeout)
        except (aiohttp.ClientError, OSError, TimeoutError, config.ConfigException) as error:
            raise ClusterError(f"{method} {path}: the API server does not answer: {_said(error)}") from error
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 400:
            raise await _refused(method, path, response)
        return response


def _written(**more: str) -> dict[str, str]:
    # Strict: a field that the API server would drop in silence is an error that somebody can see.
    return {"fieldManager": MANAGER, "fieldValidation": "Strict", **more}


def _dry(dry_run: bool) -> dict[str, str]:  # noqa: FBT001 - the word of those who call it
    return {"dryRun": "All"} if dry_run else {}


async def _refused(method: str, path: str, response: aiohttp.ClientResponse) -> ClusterError:
    """Return the error of an answer that is one, in the API server's own words."""
    try:
        status = read_json(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        status = {}
    finally:
        response.release()
    said = status if isinstance(status, dict) else {}
    message = said.get("message") or response.reason or "it does not say why"
    return ClusterError(f"{method} {path}: {message}", status=response.status, reason=str(said.get("reason") or ""))


async def _split(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the lines of a body; aiohttp's own reader of lines refuses long ones."""
    parts: list[bytes] = []
    async for chunk in response.content.iter_any():
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield b"".join([*parts, line])
            parts.clear()
        if rest:
            parts.append(rest)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
