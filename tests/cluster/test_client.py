"""The calls on a real API server, and what comes of it when it refuses, is not there, or is none."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cases.reviews import Json
from tests.controlplane.plane import Plane
from webhook.cluster import client
from webhook.cluster.client import Cluster, connected
from webhook.cluster.resource import BASELINES, NAMESPACES, NETWORK_POLICIES, SECRETS, Resource
from webhook.errors import ClusterError, SettingsError

CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
Work = Callable[[Cluster], Awaitable[Any]]


def on(plane: Plane, work: Work, user: str = "root") -> Any:
    """Return what comes of `work` on the plane as `user`."""
    return doing(plane.kubeconfig(user), work)


def doing(kubeconfig: Path | None, work: Work) -> Any:
    async def main() -> Any:
        async with connected(kubeconfig) as cluster:
            return await work(cluster)

    return asyncio.run(main())


def refused(kubeconfig: Path, work: Work) -> ClusterError:
    """Return the error that `work` has to end with."""
    with pytest.raises(ClusterError) as caught:
        doing(kubeconfig, work)
    return caught.value


def configmap(name: str, data: Json | None = None, **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "data": data or {},
    }


@pytest.fixture
def name(plane: Plane) -> Iterator[str]:
    """Give a name of this test's own, and take away what was called so."""
    name = f"client-{uuid.uuid4().hex[:8]}"
    yield name
    plane.kubectl("delete", "configmap", name, "--ignore-not-found")


def test_a_dry_run_is_answered_and_not_stored(plane: Plane, name: str) -> None:
    """As it would be stored, created or replaced."""

    async def work(cluster: Cluster) -> tuple[Json, Json, Json]:
        made = await cluster.create(CONFIGMAPS, configmap(name, {"a": "b"}), dry_run=True)
        stored = await cluster.create(CONFIGMAPS, configmap(name, {"a": "b"}))
        version = stored["metadata"]["resourceVersion"]
        changed = configmap(name, {"a": "c"}, resourceVersion=version)
        return (
            made,
            await cluster.replace(CONFIGMAPS, changed, dry_run=True),
            await cluster.read(CONFIGMAPS, name, "default"),
        )

    made, replaced, stored = on(plane, work)
    assert (made["data"], replaced["data"], stored["data"]) == ({"a": "b"}, {"a": "c"}, {"a": "b"})


# Settings that cannot be followed.

SERVER = "https://127.0.0.1:1"
KUBECONFIGS: dict[str, Any] = {
    "empty": "",
    "no YAML": "a: [b\n: {",
    "a tab": "apiVersion: v1\n\tclusters: []\n",
    "binary": b"\x00\xff\xfe\x80",
    "a list": [],
    "a text": "hello",
    "an empty object": {},
    "no cluster": {"contexts": [], "current-context": "x"},
    "a context that is not there": {"clusters": [], "contexts": [], "users": [], "current-context": "x"},
    "no current context": {"clusters": [], "contexts": [], "users": []},
    "a cluster that is not there": {
        "clusters": [],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [],
        "current-context": "x",
    },
    "no server": {
        "clusters": [{"name": "y", "cluster": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "current-context": "x",
    },
    "a CA that is not there": {
        "clusters": [{"name": "y", "cluster": {"server": SERVER, "certificate-authority": "/none/ca.crt"}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "current-context": "x",
    },
    "a CA that is none": {
        "clusters": [{"name": "y", "cluster": {"server": SERVER, "certificate-authority-data": "aGVsbG8="}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "current-context": "x",
    },
    "a CA that is no base64": {
        "clusters": [{"name": "y", "cluster": {"server": SERVER, "certificate-authority-data": "%%%"}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "current-context": "x",
    },
}


@pytest.mark.parametrize("content", KUBECONFIGS.values(), ids=KUBECONFIGS.keys())
def test_a_kubeconfig_that_cannot_be_followed_is_refused(content: Any, tmp_path: Path) -> None:
    """In one line that names the file."""
    path = tmp_path / "config"
    raw = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content))
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    with pytest.raises(SettingsError) as caught:
        doing(path, Cluster.user)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["none", "."])
def test_a_kubeconfig_that_is_not_there_is_refused(where: str, tmp_path: Path) -> None:
    """Also when it is a folder."""
    with pytest.raises(SettingsError, match=r"^--kubeconfig /"):
        doing(tmp_path / where, Cluster.user)


def test_outside_of_a_cluster_a_kubeconfig_is_needed() -> None:
    """Without one we would be a pod; the message says what to give."""

    async def main() -> None:
        async with connected(None):
            pytest.fail("there is no cluster around us")

    with pytest.raises(SettingsError, match="give --kubeconfig FILE, or --tenancy PATH"):
        asyncio.run(main())


# What the API server refuses.


def test_an_unknown_token_is_401(plane: Plane, tmp_path: Path) -> None:
    """It is told apart from an API server that does not answer: waiting would not help."""
    config = json.loads(plane.kubeconfig("root").read_text())
    config["users"][0]["user"]["token"] = "nobody's"  # noqa: S105 - it is none
    path = tmp_path / "config"
    path.write_text(json.dumps(config))
    error = refused(path, Cluster.user)
    assert (error.status, error.reason) == (401, "Unauthorized")


REFUSED: dict[str, tuple[int, str, Work]] = {
    "reading what is not there": (404, "NotFound", lambda it: it.read(CONFIGMAPS, "none", "default")),
    "reading in a namespace that is not there": (404, "NotFound", lambda it: it.read(CONFIGMAPS, "none", "none")),
    "reading a kind that is not served": (404, "", lambda it: it.read(BASELINES, "zero-trust")),
    "replacing what is not there": (404, "NotFound", lambda it: it.replace(CONFIGMAPS, configmap("none", uid="x"))),
    "patching what is not there": (404, "NotFound", lambda it: it.patch(CONFIGMAPS, "none", {}, "default")),
    "deleting what is not there": (404, "NotFound", lambda it: it.delete(CONFIGMAPS, "none", "default", version="1")),
    "creating without a namespace": (
        404,
        "NotFound",
        lambda it: it.create(CONFIGMAPS, {**configmap("x"), "metadata": {"name": "x", "namespace": "none"}}),
    ),
    "a field that is unknown, created": (400, "BadRequest", lambda it: it.create(CONFIGMAPS, odd("x"))),
    "a field that is unknown, applied": (500, "", lambda it: it.apply(CONFIGMAPS, odd("x"))),
    "a policy that is none": (
        422,
        "Invalid",
        lambda it: it.apply(
            NETWORK_POLICIES,
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "x", "namespace": "default"},
                "spec": {"podSelector": {}, "policyTypes": ["Sideways"]},
            },
        ),
    ),
}


def odd(name: str) -> Json:
    return {**configmap(name), "dato": {"a": "b"}}


@pytest.mark.parametrize(("status", "reason", "work"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refusal_has_the_api_servers_status_and_reason(status: int, reason: str, work: Work, plane: Plane) -> None:
    """And its own words, after what was asked for."""
    error = refused(plane.kubeconfig("root"), work)
    assert error.status == status, error
    assert error.reason == (reason or error.reason)
    assert "/api" in str(error)


def test_who_may_not_is_403(plane: Plane) -> None:
    """The message names whom the API server knows us by."""
    error = refused(plane.kubeconfig("stranger"), lambda it: it.read(SECRETS, "x", "default"))
    assert (error.status, error.reason) == (403, "Forbidden")
    assert 'User "stranger" cannot get resource "secrets"' in str(error)


def test_creating_what_is_there_is_409(plane: Plane, name: str) -> None:
    """Already exists is not a conflict, but a 409 like one."""

    async def work(cluster: Cluster) -> None:
        await cluster.create(CONFIGMAPS, configmap(name))
        await cluster.create(CONFIGMAPS, configmap(name))

    error = refused(plane.kubeconfig("root"), work)
    assert (error.status, error.reason) == (409, "AlreadyExists")


@pytest.mark.parametrize("verb", ["replace", "patch", "delete"])
def test_an_old_version_is_409_and_nothing_is_written(verb: str, plane: Plane, name: str) -> None:
    """Whoever read before somebody else wrote reads again."""

    async def old(cluster: Cluster) -> None:
        first = await cluster.create(CONFIGMAPS, configmap(name))
        await cluster.patch(CONFIGMAPS, name, {"data": {"other": "wrote"}}, "default")
        version = first["metadata"]["resourceVersion"]
        match verb:
            case "replace":
                await cluster.replace(CONFIGMAPS, {**first, "data": {"mine": "x"}})
            case "patch":
                body = {"metadata": {"resourceVersion": version}, "data": {"mine": "x"}}
                await cluster.patch(CONFIGMAPS, name, body, "default")
            case _:
                await cluster.delete(CONFIGMAPS, name, "default", version=version)

    error = refused(plane.kubeconfig("root"), old)
    assert (error.status, error.reason) == (409, "Conflict")
    assert on(plane, lambda it: it.read(CONFIGMAPS, name, "default"))["data"] == {"other": "wrote"}


@pytest.mark.parametrize("namespace", ["..", ".", "../..", "..%2F.."])
def test_a_name_that_is_none_reads_nothing_else(namespace: str, plane: Plane) -> None:
    """A namespace comes from a request, and whatever it is called it is a namespace or none."""
    error = refused(plane.kubeconfig("root"), lambda it: it.read(NAMESPACES, namespace))
    assert error.status in {400, 404}


# What the API server stores.


def test_we_are_who_the_api_server_says(plane: Plane) -> None:
    """The whole user name of a ServiceAccount."""
    assert on(plane, Cluster.user, "portcullis") == "system:serviceaccount:portcullis-system:portcullis"
    assert on(plane, Cluster.user, "stranger") == "stranger"


def test_every_write_answers_with_what_is_stored(plane: Plane, name: str) -> None:
    """Created, applied over, replaced and patched by the manager portcullis, read as told, and deleted."""

    async def work(cluster: Cluster) -> None:
        created = await cluster.create(CONFIGMAPS, configmap(name, {"a": "1"}))
        applied = await cluster.apply(CONFIGMAPS, configmap(name, {"b": "2"}))
        assert (created["data"], applied["data"]) == ({"a": "1"}, {"a": "1", "b": "2"})
        replaced = await cluster.replace(CONFIGMAPS, {**applied, "data": {"c": "3"}})
        patched = await cluster.patch(CONFIGMAPS, name, {"data": {"d": "4", "c": None}}, "default")
        assert (replaced["data"], patched["data"]) == ({"c": "3"}, {"d": "4"})
        assert {each["manager"] for each in patched["metadata"]["managedFields"]} == {"portcullis"}
        assert await cluster.read(CONFIGMAPS, name, "default") == patched
        await cluster.delete(CONFIGMAPS, name, "default", version=patched["metadata"]["resourceVersion"])
        with pytest.raises(ClusterError, match="not found"):
            await cluster.read(CONFIGMAPS, name, "default")

    on(plane, work)


def test_what_is_applied_is_taken_over_from_others(plane: Plane, name: str) -> None:
    """A field that kubectl owns becomes ours without a conflict."""
    manifest = configmap(name, {"a": "theirs", "b": "theirs"})
    plane.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(manifest))
    applied = on(plane, lambda it: it.apply(CONFIGMAPS, configmap(name, {"a": "ours"})))
    assert applied["data"] == {"a": "ours", "b": "theirs"}


def test_a_list_comes_in_pages(plane: Plane) -> None:
    """With the parameters that are asked for."""

    async def work(cluster: Cluster) -> tuple[Json, Json]:
        first = await cluster.page(NAMESPACES.path(), {"limit": "1"}, "application/json")
        more = {"limit": "500", "continue": first["metadata"]["continue"]}
        return first, await cluster.page(NAMESPACES.path(), more, "application/json")

    first, second = on(plane, work)
    found = {each["metadata"]["name"] for page in (first, second) for each in page["items"]}
    assert len(first["items"]) == 1
    assert {"default", "kube-system"} <= found


def test_in_a_pod_we_are_its_service_account(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet tells by variables where the API server is, and by files who we are and whom to trust."""
    token = json.loads(plane.kubeconfig("portcullis").read_text())["users"][0]["user"]["token"]
    (tmp_path / "token").write_text(token)
    # Where they lie in a pod is a constant of Kubernetes' client.
    where = "kubernetes.aio.config.incluster_config.SERVICE"
    monkeypatch.setattr(f"{where}_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{where}_CERT_FILENAME", str(plane.ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", plane.url.rsplit(":", 1)[-1])
    assert doing(None, Cluster.user) == "system:serviceaccount:portcullis-system:portcullis"


# What the environment says.


def test_a_netrc_says_nothing_to_an_api_server(plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """We are whom the kubeconfig says; the password of a default entry is not sent, nor in the way of our token."""
    (tmp_path / "netrc").write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert on(plane, Cluster.user, "stranger") == "stranger"


@pytest.mark.parametrize(
    ("passed", "reached"), [("", False), ("127.0.0.1", True), ("*", True)], ids=["a proxy", "not for this", "for none"]
)
def test_the_proxy_of_the_environment_is_followed(
    passed: str, plane: Plane, monkeypatch: pytest.MonkeyPatch, *, reached: bool
) -> None:
    """HTTPS_PROXY as NO_PROXY leaves it; here nobody listens at it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", passed)
    if reached:
        assert on(plane, Cluster.user) == "root"
    else:
        assert "does not answer" in str(refused(plane.kubeconfig("root"), Cluster.user))


# What is no API server.


@pytest.fixture
def stub(tmp_path: Path) -> Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]], Work], Any]:
    """Do something with a server that answers as it is told."""

    def run(answer: Callable[[web.Request], Awaitable[web.StreamResponse]], work: Work) -> Any:
        async def main() -> Any:
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", answer)
            runner = web.AppRunner(app)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                (address,) = runner.addresses
                async with connected(kubeconfig(tmp_path, f"http://127.0.0.1:{address[1]}")) as cluster:
                    return await work(cluster)
            finally:
                await runner.cleanup()

        return asyncio.run(main())

    return run


def kubeconfig(folder: Path, server: str) -> Path:
    config = {
        "clusters": [{"name": "y", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "y", "user": "z"}}],
        "users": [{"name": "z", "user": {"token": "t"}}],
        "current-context": "x",
    }
    path = folder / "stub.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_nobody_who_listens_is_status_0(tmp_path: Path) -> None:
    """No answer at all: the same call may succeed later."""
    error = refused(kubeconfig(tmp_path, "http://127.0.0.1:1"), Cluster.user)
    assert (error.status, error.reason) == (0, "")
    assert "the API server does not answer" in str(error)


def test_a_server_of_another_ca_is_status_0(plane: Plane, tmp_path: Path) -> None:
    """It is not told our token."""
    error = refused(kubeconfig(tmp_path, plane.url), Cluster.user)
    assert error.status == 0
    assert "certificate" in str(error).lower()


ANSWERS: dict[str, tuple[int, str]] = {
    "nothing": (200, ""),
    "HTML": (200, "<html>login</html>"),
    "cut JSON": (200, '{"status": '),
    "a list": (200, "[1]"),
    "a list of pairs": (200, '[["metadata", 1]]'),
    "a text": (200, '"x"'),
    "null": (200, "null"),
    "a number": (200, "7"),
}


@pytest.mark.parametrize(("status", "body"), ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_no_object_is_an_error_of_ours(status: int, body: str, stub: Any) -> None:
    """A proxy in between says what it likes; no other error leaves the room."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    with pytest.raises(ClusterError, match="the answer cannot be read"):
        stub(answer, lambda it: it.read(NAMESPACES, "dev"))


@pytest.mark.parametrize("body", ["{}", '{"status": {}}', '{"status": {"userInfo": null}}'])
def test_a_review_of_ourselves_that_says_nothing_is_an_error_of_ours(body: str, stub: Any) -> None:
    """Whom the API server knows us by is not guessed."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    with pytest.raises(ClusterError):
        stub(answer, Cluster.user)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (503, "<html>", "Service Unavailable"),
        (500, "[]", "Internal Server Error"),
        (429, '{"message": "too many", "reason": "TooManyRequests"}', "too many"),
        (409, '{"message": null, "reason": null}', "Conflict"),
    ],
)
def test_a_refusal_that_is_no_status_has_its_http_status(status: int, body: str, told: str, stub: Any) -> None:
    """What cannot be read does not hide that it was refused."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body)

    with pytest.raises(ClusterError, match=told) as caught:
        stub(answer, lambda it: it.read(NAMESPACES, "dev"))
    assert caught.value.status == status
    assert caught.value.reason == ("TooManyRequests" if status == 429 else "")


def test_an_answer_that_is_cut_is_status_0(stub: Any) -> None:
    """Half of a body is no answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"a": 1')
        assert request.transport
        request.transport.abort()
        return response

    with pytest.raises(ClusterError) as caught:
        stub(answer, lambda it: it.read(NAMESPACES, "dev"))
    assert caught.value.status == 0


def test_lines_are_whole_however_they_come(stub: Any) -> None:
    """Chunks end anywhere; a line that was not ended when the answer did is none."""
    sent = [b'{"a"', b': 1}\n{"b": 2}\n{"c"', b": 3", b"}", b"\n", b"\n", b'{"cut": ']

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for each in sent:
            await response.write(each)
            await asyncio.sleep(0.002)
        return response

    async def work(cluster: Cluster) -> list[bytes]:
        return [line async for line in cluster.lines("/x", {}, "application/json")]

    assert stub(answer, work) == [b"", b'{"a": 1}', b'{"b": 2}', b'{"c": 3}', b""]


def test_a_watch_that_is_cut_is_an_error_of_ours(stub: Any) -> None:
    """After what was whole."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\ntw")
        await asyncio.sleep(0.01)
        assert request.transport
        request.transport.abort()
        return response

    async def work(cluster: Cluster) -> list[bytes]:
        lines = cluster.lines("/x", {}, "application/json")
        found = [await anext(lines), await anext(lines)]
        with pytest.raises(ClusterError, match="the watch of /x was cut"):
            await anext(lines)
        return found

    assert stub(answer, work) == [b"", b"one"]


def test_nobody_who_answers_in_time_is_status_0(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has an end, and so has a watch that says nothing for too long."""
    monkeypatch.setattr(client, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.05)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(0.2)
        return response

    async def watch(cluster: Cluster) -> None:
        async for _ in cluster.lines("/x", {}, "application/json"):
            pass

    def read(cluster: Cluster) -> Awaitable[Json]:
        return cluster.read(NAMESPACES, "dev")

    for work in (watch, read):
        with pytest.raises(ClusterError) as caught:
            stub(answer, work)
        assert caught.value.status == 0


# Who may write for a while only.


def test_who_may_write_no_more_sends_nothing(plane: Plane, name: str) -> None:
    """Each kind of write is stopped before it is sent; reading goes on."""
    held = [True]

    async def work(cluster: Cluster) -> list[str]:
        leading = cluster.only_while(lambda: held[0])
        standing = await leading.create(CONFIGMAPS, configmap(name))
        held[0] = False
        version = standing["metadata"]["resourceVersion"]
        writes = (
            leading.create(CONFIGMAPS, configmap(f"{name}-more")),
            leading.apply(CONFIGMAPS, configmap(name, {"a": "b"})),
            leading.replace(CONFIGMAPS, standing),
            leading.patch(CONFIGMAPS, name, {"data": {"a": "b"}}, "default"),
            leading.delete(CONFIGMAPS, name, "default", version=version),
        )
        said = [str(each) for each in await asyncio.gather(*writes, return_exceptions=True)]
        assert (await leading.read(CONFIGMAPS, name, "default"))["metadata"]["resourceVersion"] == version
        return said

    said = on(plane, work)
    assert len(said) == 5
    assert all(each.endswith("not sent, we do not lead any more") for each in said), said
