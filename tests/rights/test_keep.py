"""The bindings follow the tree, whatever becomes of them; nobody else's is touched, and what is right costs no call."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from tests.cases.reviews import Json
from tests.cluster.memory import Call, until
from tests.cluster.world import World, live_namespace, quiet, thing, with_metadata
from webhook import course
from webhook.cluster.resource import (
    CLUSTER_ROLE_BINDINGS,
    NAMESPACES,
    NETWORK_POLICIES,
    ORGANIZATIONS,
    PROJECTS,
    ROLE_BINDINGS,
    WORKSPACES,
)
from webhook.errors import ClusterError
from webhook.model import MANAGED_BY_LABEL, RESERVED, WORKSPACE_LABEL
from webhook.rights import creators as creators_module
from webhook.rights.bindings import content, trimmed
from webhook.rights.keep import Rights
from webhook.rights.wanted import CREATOR, GROUP, LABELS, NAMES, role_ref

ADMIN, READER = "portcullis:workspace-admin", "portcullis:workspace-reader"
REFUSED = ClusterError('rolebindings "x" cannot be written: no', status=403)


def roles(**named: str) -> list[Json]:
    """Return grants; of each role to a list of users, which a space parts."""
    return [
        {"role": role, "subjects": [{"kind": "User", "name": name} for name in names.split()]}
        for role, names in named.items()
    ]


def workspace(*, name: str = "checkout", project: str = "payments", **named: str) -> Json:
    return thing(name, {"project": project, "roles": roles(**named)})


def binding(name: str = ADMIN, namespace: str = "dev", users: str = "wanda", **more: Json) -> Json:
    subjects = [{"apiGroup": GROUP, "kind": "User", "name": each} for each in users.split()]
    metadata: Json = {"name": name, "namespace": namespace, "labels": dict(LABELS)}
    whole: Json = {"metadata": metadata, "roleRef": role_ref(name), "subjects": subjects}
    return {**whole, **more}


def world(*namespaces: Json, creator: bool = True) -> World:
    """Return a cluster with workspace checkout, of wanda and rita, in project payments, of paul; olga is above them."""
    made = World(
        Organization=[thing("acme", {"roles": roles(OrgAdmin="olga")})],
        Project=[thing("payments", {"roles": roles(ProjectAdmin="paul")})],
        Workspace=[workspace(WorkspaceAdmin="wanda", WorkspaceReader="rita")],
        NetworkBaseline=[],
        Namespace=list(namespaces or [live_namespace()]),
    )
    if creator:
        made.memory.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": CREATOR}, "roleRef": role_ref(CREATOR)})
    return made


@asynccontextmanager
async def keeping(world: World) -> AsyncIterator[Rights]:
    """Keep the bindings, which must not end by itself."""
    rights = Rights(world.memory, world.live)
    task = asyncio.create_task(rights.run())
    try:
        yield rights
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def doing(world: World, script: Callable[[Rights], Awaitable[None]]) -> World:
    """Do something while the bindings are kept."""

    async def main() -> None:
        async with keeping(world) as rights:
            await script(rights)

    asyncio.run(main())
    return world


def kept(world: World) -> World:
    """Keep the bindings until there is nothing left to do."""

    async def script(_: Rights) -> None:
        await quiet(world)

    return doing(world, script)


def standing(world: World) -> dict[str, dict[str, list[str]]]:
    """Return who is bound: by namespace and name of the binding."""
    found: dict[str, dict[str, list[str]]] = {}
    for (plural, namespace, name), each in world.memory.stored.items():
        if plural == ROLE_BINDINGS.plural:
            found.setdefault(namespace, {})[name] = [one["name"] for one in each["subjects"]]
    return found


def allowed(world: World) -> list[str]:
    """Return who may create namespaces."""
    found = world.memory.find(CLUSTER_ROLE_BINDINGS, CREATOR)
    assert found
    return [each["name"] for each in found.get("subjects") or ()]


def calls(world: World) -> Counter[str]:
    return Counter(f"{each.verb} {each.name}" for each in world.memory.calls)


CHECKOUT = {
    ADMIN: ["wanda"],
    READER: ["rita"],
    "portcullis:project-admin": ["paul"],
    "portcullis:org-admin": ["olga"],
}


def test_each_owned_namespace_has_its_bindings_and_no_other_has_any() -> None:
    """And the tree's admins may create namespaces."""
    ending = live_namespace("ending", deletionTimestamp="2026-11-21T00:00:00Z")
    reserved = [live_namespace(name) for name in sorted(RESERVED)]
    orphaned = live_namespace("orphaned", {WORKSPACE_LABEL: "ghost"})
    found = kept(world(live_namespace(), live_namespace("free", {}), orphaned, ending, *reserved))
    assert standing(found) == {"dev": CHECKOUT}
    assert allowed(found) == ["olga", "paul", "wanda"]
    made = found.memory.find(ROLE_BINDINGS, ADMIN, "dev")
    assert made
    assert made["roleRef"] == role_ref(ADMIN)
    assert made["metadata"]["labels"] == {MANAGED_BY_LABEL: "portcullis"}


def test_what_is_right_takes_no_call() -> None:
    """Neither again nor of the next leader, and whatever others rightly put beside it stays."""
    found = kept(world())
    made = found.memory.find(ROLE_BINDINGS, ADMIN, "dev")
    assert made
    labels = {**LABELS, "team": "x"}
    found.memory.put(ROLE_BINDINGS, with_metadata(made, labels=labels, annotations={"note": "x"}))
    found.memory.calls.clear()
    assert not kept(found).memory.calls


CHANGES: dict[str, tuple[Callable[[World], object], dict[str, list[str]], list[str]]] = {
    "a subject is revoked": (
        lambda at: at.memory.put(WORKSPACES, workspace(WorkspaceReader="rita")),
        {key: each for key, each in CHECKOUT.items() if key != ADMIN},
        ["olga", "paul"],
    ),
    "a subject is added": (
        lambda at: at.memory.put(WORKSPACES, workspace(WorkspaceAdmin="wanda bo", WorkspaceReader="rita")),
        {**CHECKOUT, ADMIN: ["bo", "wanda"]},
        ["bo", "olga", "paul", "wanda"],
    ),
    "an admin becomes a reader": (
        lambda at: at.memory.put(WORKSPACES, workspace(WorkspaceReader="rita wanda")),
        {READER: ["rita", "wanda"], "portcullis:project-admin": ["paul"], "portcullis:org-admin": ["olga"]},
        ["olga", "paul"],
    ),
    "the project has another admin": (
        lambda at: at.memory.put(PROJECTS, thing("payments", {"roles": roles(ProjectAdmin="pam")})),
        {**CHECKOUT, "portcullis:project-admin": ["pam"]},
        ["olga", "pam", "wanda"],
    ),
    "the workspace goes": (lambda at: at.memory.remove(WORKSPACES, "checkout"), {}, ["olga", "paul"]),
    "the project goes": (lambda at: at.memory.remove(PROJECTS, "payments"), {}, ["olga", "wanda"]),
    "the namespace is released": (
        lambda at: at.memory.put(NAMESPACES, live_namespace(labels={})),
        {},
        ["olga", "paul", "wanda"],
    ),
    "the workspace cannot be read": (
        lambda at: at.memory.put(WORKSPACES, thing("checkout", {"project": "payments", "rolls": []})),
        {},
        ["olga", "paul"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_bindings_follow(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, by what the tree says now; what one had by a role that is gone is gone."""
    monkeypatch.setattr(creators_module, "AGAIN_SECONDS", 0.01)
    act, wanted, creators = CHANGES[change]
    at = world()

    async def script(_: Rights) -> None:
        await until(lambda: standing(at) == {"dev": CHECKOUT} and len(allowed(at)) == 3)
        act(at)
        await until(lambda: standing(at).get("dev", {}) == wanted and allowed(at) == creators)
        await quiet(at)

    doing(at, script)
    assert standing(at).get("dev", {}) == wanted


def test_a_namespace_that_moves_is_its_new_owners_alone() -> None:
    """Nobody of the former workspace is left in any binding."""
    at = kept(world())
    at.memory.put(PROJECTS, thing("search", {}))
    at.memory.put(WORKSPACES, workspace(name="ranking", project="search", WorkspaceAdmin="ruth"))
    at.memory.put(NAMESPACES, live_namespace(labels={WORKSPACE_LABEL: "ranking"}))
    assert standing(kept(at)) == {"dev": {ADMIN: ["ruth"], "portcullis:org-admin": ["olga"]}}


def test_without_a_tree_all_is_left_as_it_is() -> None:
    """A cluster of two Organizations, or none, denies; it does not take the bindings away to give them again."""
    at = kept(world())
    at.memory.calls.clear()
    at.memory.put(ORGANIZATIONS, thing("initech", {}))
    assert not kept(at).memory.calls
    at.memory.remove(ORGANIZATIONS, "initech")
    assert not kept(at).memory.calls


WRONG: dict[str, tuple[Json, list[str]]] = {
    "others hold it": (binding(users="mallory"), ["patch"]),
    "somebody more holds it": (binding(users="mallory wanda"), ["patch"]),
    "nobody holds it": (binding(users=""), ["patch"]),
    "no subjects": ({key: each for key, each in binding().items() if key != "subjects"}, ["patch"]),
    "a user becomes a group": (
        binding(subjects=[{"apiGroup": GROUP, "kind": "Group", "name": "wanda"}]),  # type: ignore[arg-type]
        ["patch"],
    ),
    "without our label": (with_metadata(binding(), labels={}), ["patch"]),
    "another's label": (with_metadata(binding(), labels={MANAGED_BY_LABEL: "helm"}), ["patch"]),
    "a finalizer": (with_metadata(binding(), finalizers=["example.com/x"]), ["patch"]),
    "an owner": (with_metadata(binding(), ownerReferences=[{"name": "x"}]), ["patch"]),
    "another role": (binding(roleRef=role_ref("admin")), ["delete", "create"]),
    "a role of the namespace": (binding(roleRef={**role_ref(ADMIN), "kind": "Role"}), ["delete", "create"]),
    "another role, by a finalizer": (
        with_metadata(binding(roleRef=role_ref("admin")), finalizers=["example.com/x"]),
        ["patch", "delete", "create"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_binding_of_our_name_is_put_right(wrong: str) -> None:
    """Whoever made it so, before us or after; and the others are not written for it."""
    at = kept(world())
    right = at.memory.find(ROLE_BINDINGS, ADMIN, "dev")
    at.memory.calls.clear()
    stored, verbs = WRONG[wrong]
    at.memory.put(ROLE_BINDINGS, stored)
    kept(at)
    assert [(each.verb, each.name) for each in at.memory.calls] == [(verb, ADMIN) for verb in verbs]
    found = at.memory.find(ROLE_BINDINGS, ADMIN, "dev")
    assert found
    assert right
    assert content(found) == content(right)
    assert not {"finalizers", "ownerReferences"} & found["metadata"].keys()


@pytest.mark.parametrize("wrong", WRONG)
def test_none_of_our_name_stands_where_nobody_owns(wrong: str) -> None:
    """Whatever label it has, and without a finalizer by which it would stand on, deleted and in force."""
    at = world(live_namespace(labels={}))
    stored, _ = WRONG[wrong]
    at.memory.put(ROLE_BINDINGS, stored)
    kept(at)
    assert standing(at) == {}
    held = bool(stored["metadata"].get("finalizers"))
    assert [each.verb for each in at.memory.calls if each.name == ADMIN] == (["patch"] * held + ["delete"])


def test_a_binding_that_is_deleted_comes_again() -> None:
    """By the watch's word alone."""
    at = kept(world())
    at.memory.remove(ROLE_BINDINGS, ADMIN, "dev")
    assert standing(kept(at)) == {"dev": CHECKOUT}


def test_bindings_of_others_and_of_the_system_are_left_alone() -> None:
    """Of any other name, wherever; and of our names in a namespace that nobody owns by definition, or that ends."""
    ending = live_namespace("ending", deletionTimestamp="2026-11-21T00:00:00Z")
    at = world(live_namespace(), live_namespace("kube-system"), ending)
    others = [
        binding("portcullis:mine"),
        binding("team"),
        binding(namespace="kube-system"),
        binding(namespace="ending", users="mallory"),
    ]
    for each in others:
        at.memory.put(ROLE_BINDINGS, each)
    kept(at)
    assert {(each.namespace, each.name) for each in at.memory.calls} == {("dev", name) for name in CHECKOUT} | {
        ("", CREATOR)
    }


# Failures.


@pytest.mark.parametrize(
    "error",
    [
        ClusterError("it was modified", status=409, reason="Conflict"),
        ClusterError("unable to create new content in namespace dev because it is being terminated", status=403),
    ],
    ids=["conflict", "ending"],
)
def test_what_is_overtaken_waits_for_the_watch(error: ClusterError) -> None:
    """One call a binding, and no second one until the watch has told of something."""
    at = world()

    async def fail(call: Call) -> None:
        if call.plural == ROLE_BINDINGS.plural:
            raise error

    at.memory.before = fail
    kept(at)
    assert calls(at) == {**{f"create {name}": 1 for name in CHECKOUT}, f"patch {CREATOR}": 1}


def test_what_is_refused_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself; the other bindings and namespaces are not held up."""
    monkeypatch.setattr(course, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(course, "LONGEST_WAIT", 0.1)
    monkeypatch.setattr(creators_module, "REFUSED_SECONDS", 0.01)
    at = world(live_namespace(), live_namespace("other"))
    refused = {("dev", ADMIN), ("", CREATOR)}

    async def fail(call: Call) -> None:
        if (call.namespace, call.name) in refused:
            raise REFUSED

    async def script(rights: Rights) -> None:
        at.memory.before = fail
        await until(lambda: calls(at)[f"create {ADMIN}"] >= 4 and calls(at)[f"patch {CREATOR}"] >= 3)
        assert rights.trouble == f"ClusterRoleBinding {CREATOR} cannot be written: {REFUSED}"
        assert standing(at) == {
            "dev": {name: names for name, names in CHECKOUT.items() if name != ADMIN},
            "other": CHECKOUT,
        }
        refused.clear()
        await until(lambda: standing(at)["dev"] == CHECKOUT and len(allowed(at)) == 3 and not rights.trouble)

    doing(at, script)


def test_who_undoes_bindings_holds_up_no_baseline() -> None:
    """The bindings rest after so many rounds; they are another controller's than the policies."""
    at = world()

    async def undo(call: Call) -> None:
        if call.verb == "create" and call.name == ADMIN:
            asyncio.get_running_loop().call_soon(at.memory.remove, ROLE_BINDINGS, ADMIN, "dev")

    async def script(_: Rights) -> None:
        at.memory.after = undo
        await until(lambda: calls(at)[f"create {ADMIN}"] > course.PATIENT_ROUNDS)
        await asyncio.sleep(0.1)
        assert calls(at)[f"create {ADMIN}"] <= course.PATIENT_ROUNDS + 2

    doing(at, script)


def test_a_cut_watch_loses_nothing_and_is_told_of() -> None:
    """What happened meanwhile is found; as long as it is cut, that is the trouble."""
    at = world()

    async def script(rights: Rights) -> None:
        await until(lambda: standing(at) == {"dev": CHECKOUT})
        at.memory.cut()
        await until(lambda: f"the watch of {ADMIN} is cut" in rights.trouble)
        at.memory.put(ROLE_BINDINGS, binding(users="mallory"))
        await until(lambda: standing(at) == {"dev": CHECKOUT} and not rights.trouble)

    doing(at, script)


def test_nothing_is_written_until_every_name_was_told() -> None:
    """Or a new leader would create what stands, and take for right what it has not seen."""
    at = world()
    told, lines = asyncio.Event(), at.memory.lines

    async def slow(path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        if query.get("fieldSelector") == f"metadata.name={NAMES[-1]}":
            await told.wait()
        async for line in lines(path, query, accept):
            yield line

    at.memory.lines = slow  # type: ignore[method-assign]  # to hold back one of them

    async def script(_: Rights) -> None:
        await quiet(at)
        assert standing(at) == {}
        told.set()
        await until(lambda: standing(at) == {"dev": CHECKOUT})

    doing(at, script)


def test_a_copy_that_lags_is_not_written_against() -> None:
    """A policy that changes meanwhile wakes nobody to write the same again."""
    at = world()
    hold, lines = asyncio.Event(), at.memory.lines

    async def slow(path: str, query: Mapping[str, str], accept: str) -> AsyncIterator[bytes]:
        async for line in lines(path, query, accept):
            yield line
            if b"BOOKMARK" in line and "metadata.name=portcullis:w" in query["fieldSelector"]:
                await hold.wait()

    at.memory.lines = slow  # type: ignore[method-assign]  # to hold back what they tell

    async def script(_: Rights) -> None:
        await until(lambda: standing(at) == {"dev": CHECKOUT})
        for index in range(5):
            at.memory.put(NETWORK_POLICIES, thing(f"p{index}", {}, namespace="dev"))
            at.memory.put(WORKSPACES, workspace(WorkspaceAdmin="wanda", WorkspaceReader="rita"))
            await asyncio.sleep(0.01)
        assert calls(at)[f"create {ADMIN}"] == 1
        hold.set()
        await quiet(at)

    doing(at, script)
    assert calls(at)[f"create {ADMIN}"] == 1


# The one ClusterRoleBinding.


def test_of_the_cluster_role_binding_nothing_but_the_subjects_is_ours() -> None:
    """What kubectl notes on it stays, so that it can be applied again."""
    at = world(creator=False)
    noted = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}, "labels": {"a": "b"}}
    at.memory.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": CREATOR, **noted}, "roleRef": role_ref(CREATOR)})
    kept(at)
    found = at.memory.find(CLUSTER_ROLE_BINDINGS, CREATOR)
    assert found
    assert found["metadata"]["annotations"] == noted["annotations"]
    assert found["metadata"]["labels"] == {"a": "b", **LABELS}
    assert allowed(at) == ["olga", "paul", "wanda"]


def test_subjects_that_others_change_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, once in a while."""
    monkeypatch.setattr(creators_module, "AGAIN_SECONDS", 0.01)
    at = world()

    async def script(_: Rights) -> None:
        for _again in range(3):
            await until(lambda: allowed(at) == ["olga", "paul", "wanda"])
            stored = at.memory.find(CLUSTER_ROLE_BINDINGS, CREATOR)
            assert stored
            at.memory.put(CLUSTER_ROLE_BINDINGS, {**stored, "subjects": binding(users="mallory")["subjects"]})
        await until(lambda: allowed(at) == ["olga", "paul", "wanda"])

    doing(at, script)


@pytest.mark.parametrize("state", ["missing", "another role"])
def test_one_that_is_not_ours_to_make_is_asked_for(state: str) -> None:
    """It is told what to do, and the rest is done; once it is there it is kept."""
    at = world(creator=state != "missing")
    if state != "missing":
        at.memory.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": CREATOR}, "roleRef": role_ref("cluster-admin")})

    async def script(rights: Rights) -> None:
        await until(lambda: standing(at) == {"dev": CHECKOUT})
        await until(lambda: "kubectl apply -k manifests/base brings it" in rights.trouble)
        assert not calls(at)[f"patch {CREATOR}"]
        at.memory.put(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": CREATOR}, "roleRef": role_ref(CREATOR)})
        await until(lambda: allowed(at) == ["olga", "paul", "wanda"] and not rights.trouble)
        at.memory.remove(CLUSTER_ROLE_BINDINGS, CREATOR)
        await until(lambda: "is missing" in rights.trouble)

    doing(at, script)


def test_who_is_left_out_for_want_of_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others' rights follow the tree all the same."""
    monkeypatch.setattr("webhook.rights.wanted.MOST_BYTES", 1000)
    at = world()
    many = " ".join(f"user-{index}" for index in range(50))
    at.memory.put(WORKSPACES, workspace(name="greedy", WorkspaceAdmin=many))

    async def script(rights: Rights) -> None:
        await until(lambda: allowed(at) == ["olga", "paul", "wanda"])
        await until(lambda: "no room for the admins of 1 tenants" in rights.trouble)

    doing(at, script)


# What is kept of a binding.


def test_little_is_kept_of_a_binding() -> None:
    """No subject, no annotation: there may be tens of thousands."""
    many = binding(users=" ".join(f"user-{index}" for index in range(1000)))
    stored = with_metadata(many, resourceVersion="7", managedFields=[{}], annotations={"a": "b" * 1000})
    kept = trimmed(stored)
    assert kept["metadata"] == {"name": ADMIN, "namespace": "dev", "resourceVersion": "7"}
    assert len(str(kept)) < 300
    assert trimmed(with_metadata(stored, resourceVersion="8"))["content"] == kept["content"]


def test_a_namespace_of_the_tree_takes_no_room_once_it_is_gone() -> None:
    """Its bindings end with it, and nothing is written for it."""
    at = kept(world(live_namespace(), live_namespace("gone")))
    at.memory.calls.clear()

    async def script(_: Rights) -> None:
        at.memory.remove(NAMESPACES, "gone")
        for name in CHECKOUT:
            at.memory.remove(ROLE_BINDINGS, name, "gone")
        await quiet(at)

    doing(at, script)
    assert not at.memory.calls
