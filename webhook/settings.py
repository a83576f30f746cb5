"""
What the commands are told: flags first, then `PORTCULLIS_*` variables, then defaults.

The one reader of the environment beside the command line's options, which name their variables for `--help`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from webhook.errors import SettingsError

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - a webhook is called from outside
EngineChoice = Literal["auto", "opa", "wasm"]
"""What evaluates the policies: in-process where that can be, otherwise OPA; OPA; in-process, or not at all."""
BREAK_GLASS_GROUPS = ("system:masters", "kubeadm:cluster-admins")

MOST_WORKERS = 64
"""Processes that answer; each takes some 80 MB, and more than there are cores gain nothing."""

KEEP, SIZE = "90d", "10GiB"
"""How long the history is kept, and how large it may get, unless told otherwise."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """Where decisions and states of objects are recorded, for how long, and up to how many bytes."""

    url: str
    keep: timedelta
    size: int

    @classmethod
    def of(cls, url: str | None, keep: str = KEEP, size: str = SIZE) -> "HistorySettings | None":
        """Return what flags say, None without a URL; raises `SettingsError` for an age or a size that is none."""
        return cls(url, read_age(keep), read_size(size)) if url else None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `portcullis serve` does; see `check` for what does not go together."""

    policies: Path
    """Folder that holds `portcullis/`, the Rego."""
    cert_dir: Path
    """Folder of tls.crt, tls.key and the CA; made where missing."""
    tenancy: Path | None = None
    """File or folder of the tenant tree; None for the cluster's objects."""
    kubeconfig: Path | None = None
    """How the cluster is reached; None for the one of the pod that we run in."""
    webhook_url: str = ""
    """Base of the URL that the API server calls instead of our Service."""
    controller: bool = True
    """Whether to bring baselines beside answering reviews; where there is a cluster."""
    pod_gate: bool = True
    """Whether the API server asks us about new pods."""
    rbac: bool = True
    """Whether the controller keeps the bindings of the tree's roles."""
    reports: str = "openreports"
    """The form of the reports that the scan beside the controller writes; `none` for none."""
    opa_url: str | None = None
    """An OPA that runs already; otherwise one is started where one is needed."""
    engine: EngineChoice = "auto"
    """What evaluates the policies; see `decides`."""
    cross_check: float = 0.0
    """The share of the decisions made in-process that is put to OPA, too, from 0 to 1."""
    host: str = EVERY_ADDRESS
    """Address to listen on."""
    port: int = 8443
    """Port to listen on; 0 for any."""
    tls: bool = True
    """False speaks plain HTTP, on 127.0.0.1 alone."""
    client_ca: Path | None = None
    """CA that callers have to show a certificate of."""
    workers: int = 1
    """How many processes answer on the one port; with 1 it is this one."""
    drain: float = 0.0
    """Seconds to go on answering after SIGTERM, told as not ready: until nobody sends us anything new."""
    break_glass_groups: tuple[str, ...] = BREAK_GLASS_GROUPS
    """Groups that every rule lets pass."""
    history: HistorySettings | None = None
    """Where it is recorded what was decided and what stood; None for nowhere."""

    def check(self) -> "ServeSettings":
        """Return itself; raises `SettingsError` for what cannot be followed."""
        self._check_cluster()
        if not self.tls and self.host != "127.0.0.1":
            raise SettingsError("--no-tls listens on 127.0.0.1 alone: leave --host out, or leave --no-tls out")
        if not self.tls and self.client_ca:
            raise SettingsError("--client-ca needs TLS: leave --no-tls out")
        if self.client_ca and not self.client_ca.is_file():
            raise SettingsError(
                f"--client-ca {self.client_ca} is no file: give the CA of the API server's client certificate"
            )
        _check_opa_url(self.opa_url)
        self._check_engine()
        if "" in self.break_glass_groups:
            raise SettingsError("--break-glass-group is empty: name a group")
        return self

    @property
    def decides(self) -> EngineChoice:
        """What evaluates, all flags considered: an OPA that somebody names is asked, unless it is there to compare."""
        return "opa" if self.opa_url and not self.cross_check and self.engine == "auto" else self.engine

    def _check_engine(self) -> None:
        # Written so that it refuses what is no number, too.
        if not 0 <= self.cross_check <= 1:
            raise SettingsError(f"--cross-check {self.cross_check:g} is a share, from 0 to 1: say 0.01")
        if self.cross_check and self.engine == "opa":
            raise SettingsError("--cross-check compares with OPA, which --engine opa has decide: leave one of them out")
        if self.opa_url and self.engine == "wasm" and not self.cross_check:
            raise SettingsError("--engine wasm asks no OPA: leave --opa-url out, or have it compared by --cross-check")

    def _check_cluster(self) -> None:
        if self.tenancy and (self.kubeconfig or self.webhook_url):
            raise SettingsError(
                "--tenancy judges by files and contacts no cluster: leave --kubeconfig, --webhook-url out"
            )
        _check_kubeconfig(self.kubeconfig)
        if not self.tenancy and not self.tls:
            raise SettingsError("the API server calls webhooks over TLS alone: leave --no-tls out, or give --tenancy")
        if self.webhook_url and not _callable(self.webhook_url):
            raise SettingsError(
                f"--webhook-url {self.webhook_url!r} has to be like https://HOST:PORT, without a user or a query"
            )


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What `portcullis controller` does."""

    policies: Path
    """The folder of the Rego that what stands is judged by."""
    kubeconfig: Path | None = None
    """How the cluster is reached; None for the one of the pod that we run in."""
    rbac: bool = True
    """Whether it keeps the bindings of the tree's roles."""
    reports: str = "openreports"
    """The form of the reports that the scan writes; `none` for none."""
    opa_url: str | None = None
    """An OPA that runs already; otherwise one is started for the scan where one is needed."""
    engine: EngineChoice = "auto"
    """What evaluates the policies, as in `ServeSettings`."""
    host: str = EVERY_ADDRESS
    """Address of /healthz, /readyz and /metrics."""
    port: int = 8080
    """Port of these; 0 for any."""
    history: HistorySettings | None = None
    """Where it is recorded what stood; None for nowhere."""

    def check(self) -> "ControllerSettings":
        """Return itself; raises `SettingsError` for what cannot be followed."""
        _check_kubeconfig(self.kubeconfig)
        _check_opa_url(self.opa_url)
        if self.opa_url and self.engine == "wasm":
            raise SettingsError("--engine wasm asks no OPA: leave --opa-url out")
        return self

    @property
    def decides(self) -> EngineChoice:
        """What evaluates, all flags considered."""
        return "opa" if self.opa_url and self.engine == "auto" else self.engine


def read_age(text: str) -> timedelta:
    """Return an age as written (`90d`, `12h`); raises `SettingsError`."""
    number, unit = _measured(text, _UNITS, "--history-keep", "90d, 12h or 8w")
    try:
        return timedelta(seconds=number * _UNITS[unit])
    except OverflowError as error:
        raise SettingsError(f"--history-keep {text!r} is longer than anything lasts: say 3650d") from error


def read_size(text: str) -> int:
    """Return a size as written (`10GiB`, `500MB`) in bytes; raises `SettingsError`."""
    number, unit = _measured(text, _SIZES, "--history-size", "10GiB or 500MB")
    return number * _SIZES[unit]


def _measured(text: str, units: Mapping[str, int], flag: str, like: str) -> tuple[int, str]:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([A-Za-z]+)", text)
    if not match or match[2] not in units:
        raise SettingsError(f"{flag} {text!r} is a number and one of {', '.join(units)}, like {like}")
    return int(match[1]), match[2]


def _check_kubeconfig(path: Path | None) -> None:
    if path and not path.is_file():
        raise SettingsError(f"--kubeconfig {path} is no file: give one that kubectl can use")


def _check_opa_url(url: str | None) -> None:
    if url and not url.startswith(("http://", "https://", "unix://")):
        raise SettingsError(f"--opa-url {url!r} has to begin with http://, https:// or unix://")


def _callable(url: str) -> bool:
    """Say whether the API server takes `url` as the base of a webhook's."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return whole and not (parts.query or parts.fragment or parts.username or parts.password)


def environment() -> Mapping[str, str]:
    """Return the environment, for those who start programs."""
    return os.environ


def bundled_policies() -> Path:
    """Return the folder of the Rego that is shipped: beside the package in a checkout, inside it once installed."""
    package = Path(__file__).parent
    installed = package / "policies_rego"
    return installed if installed.is_dir() else package.parent / "policies_rego"


def default_cert_dir() -> Path:
    """Return where certificates are kept unless told otherwise, by the XDG base directory specification."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The specification has a relative path ignored.
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError as error:
            raise SettingsError("there is no home folder to keep certificates in: give --cert-dir") from error
    return state / "portcullis" / "certs"


def bundled_examples() -> Path:
    """Return the folder of the example tree, found as `bundled_policies` is."""
    return _bundled_manifests() / "examples" / "acme"


def bundled_webhooks() -> Path:
    """Return the file of the webhook objects, found as `bundled_policies` is."""
    return _bundled_manifests() / "base" / "webhooks.yaml"


def _bundled_manifests() -> Path:
    package = Path(__file__).parent
    installed = package / "manifests"
    return installed if installed.is_dir() else package.parent / "manifests"
