"""The flags that several commands take, each described once."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

Tenancy: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="File or folder of the tenant tree; no cluster is contacted then.",
        envvar="PORTCULLIS_TENANCY",
        show_default="the cluster's objects",
    ),
]
Kubeconfig: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="How to reach the cluster.",
        envvar="PORTCULLIS_KUBECONFIG",
        show_default="the cluster of the pod that we run in",
    ),
]
Policies: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder that holds portcullis/.", envvar="PORTCULLIS_POLICIES", show_default="bundled"),
]
BreakGlassGroup: TypeAlias = Annotated[
    list[str],
    typer.Option(help="Group that every rule lets pass; repeatable.", envvar="PORTCULLIS_BREAK_GLASS_GROUP"),
]
NoRbac: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--no-rbac",
        help="Keep no RoleBindings for the roles of the tree; those that stand are left.",
        envvar="PORTCULLIS_NO_RBAC",
    ),
]
OpaUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="An OPA that runs already with the bundle of `portcullis bundle` (http://, https://, unix://).",
        envvar="PORTCULLIS_OPA_URL",
        show_default="start one where one is needed",
    ),
]
EngineOption: TypeAlias = Annotated[
    Literal["auto", "opa", "wasm"],
    typer.Option(
        help="What evaluates the policies: in-process where they can be (auto) or have to be (wasm), or OPA.",
        envvar="PORTCULLIS_ENGINE",
    ),
]
Reports: TypeAlias = Annotated[
    Literal["openreports", "wgpolicyk8s", "none"],
    typer.Option(
        help="Reports that the scan beside the controller writes, of openreports.io or wgpolicyk8s.io; or none.",
        envvar="PORTCULLIS_REPORTS",
    ),
]
History: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Where decisions and what stood are recorded: sqlite:///PATH, postgresql://USER:PASSWORD@HOST/DATABASE.",
        envvar="PORTCULLIS_HISTORY",
        show_default="nowhere",
    ),
]
HistoryKeep: TypeAlias = Annotated[
    str,
    typer.Option(help="How long that is kept: 90d, 12h.", envvar="PORTCULLIS_HISTORY_KEEP"),
]
HistorySize: TypeAlias = Annotated[
    str,
    typer.Option(
        help="How large it may get before the oldest is let go: 10GiB, 500MB.", envvar="PORTCULLIS_HISTORY_SIZE"
    ),
]
