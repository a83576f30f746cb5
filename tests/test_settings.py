"""What the commands are told: what does not go together is refused with what to do."""

import dataclasses
import os
import re
import subprocess
import sys
from datetime import timedelta
from math import nan
from pathlib import Path
from typing import Any

import pytest

from webhook.decision.bundle import read_policies
from webhook.errors import SettingsError
from webhook.settings import (
    BREAK_GLASS_GROUPS,
    EVERY_ADDRESS,
    HistorySettings,
    ServeSettings,
    bundled_examples,
    bundled_policies,
    environment,
)
from webhook.tenancy.files import load_tree

GIVEN = ServeSettings(tenancy=Path("tree"), policies=Path("policies"), cert_dir=Path("certs"))

RIGHT: dict[str, dict[str, Any]] = {
    "nothing more": {},
    "plain HTTP on the own machine": {"tls": False, "host": "127.0.0.1"},
    "an OPA over HTTP": {"opa_url": "http://127.0.0.1:8181"},
    "an OPA over HTTPS": {"opa_url": "https://opa.example.com"},
    "an OPA on a socket": {"opa_url": "unix:///run/opa.sock"},
    "an engine": {"engine": "wasm"},
    "a share that OPA is asked for, too": {"cross_check": 0.01},
    "the same of an OPA that runs already": {"engine": "wasm", "cross_check": 1.0, "opa_url": "http://127.0.0.1:8181"},
    "a client CA": {"client_ca": Path(__file__)},
    "other groups": {"break_glass_groups": ("fire-brigade",)},
    "no group": {"break_glass_groups": ()},
    "the cluster of the pod": {"tenancy": None},
    "a cluster by kubeconfig": {"tenancy": None, "kubeconfig": Path(__file__)},
    "a webhook by URL": {"tenancy": None, "webhook_url": "https://10.0.0.5:8443"},
    "a webhook below a path": {"tenancy": None, "webhook_url": "https://example.com/portcullis/"},
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT.keys())
def test_what_can_be_followed_is_given_back(change: dict[str, Any]) -> None:
    """Settings that go together are themselves after the check."""
    settings = dataclasses.replace(GIVEN, **change)
    assert settings.check() is settings


@pytest.mark.parametrize(
    ("change", "decides"),
    [
        ({}, "auto"),
        ({"opa_url": "http://127.0.0.1:8181"}, "opa"),
        ({"opa_url": "http://127.0.0.1:8181", "cross_check": 0.1}, "auto"),
        ({"engine": "opa"}, "opa"),
    ],
)
def test_an_opa_that_is_named_decides_unless_it_is_there_to_compare(change: dict[str, Any], decides: str) -> None:
    """Who runs an OPA of their own wants it asked; with --cross-check it is what others are compared with."""
    assert dataclasses.replace(GIVEN, **change).check().decides == decides


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "plain HTTP for everybody": ({"tls": False, "host": EVERY_ADDRESS}, "leave --host out, or leave --no-tls out"),
    "plain HTTP on another address": ({"tls": False, "host": "10.0.0.1"}, "--no-tls listens on 127.0.0.1 alone"),
    "plain HTTP by name": ({"tls": False, "host": "localhost"}, "--no-tls listens on 127.0.0.1 alone"),
    "client certificates without TLS": (
        {"tls": False, "host": "127.0.0.1", "client_ca": Path(__file__)},
        "--client-ca needs TLS: leave --no-tls out",
    ),
    "no client CA": ({"client_ca": Path("/none/ca.crt")}, r"--client-ca /none/ca\.crt is no file: give the CA"),
    "a folder as client CA": ({"client_ca": Path("/")}, "--client-ca / is no file"),
    "an OPA without a scheme": ({"opa_url": "localhost:8181"}, "has to begin with http://, https:// or unix://"),
    "an OPA by another scheme": ({"opa_url": "file:///opa"}, "has to begin with http://, https:// or unix://"),
    "a share below none": ({"cross_check": -0.1}, "--cross-check -0.1 is a share, from 0 to 1"),
    "a share above all": ({"cross_check": 1.01}, "--cross-check 1.01 is a share, from 0 to 1"),
    "a share that is no number": ({"cross_check": nan}, "--cross-check nan is a share, from 0 to 1"),
    "OPA compared with OPA": ({"cross_check": 0.1, "engine": "opa"}, "--engine opa has decide: leave one of them out"),
    "an OPA that nobody asks": (
        {"engine": "wasm", "opa_url": "http://127.0.0.1:8181"},
        "--engine wasm asks no OPA: leave --opa-url out, or have it compared by --cross-check",
    ),
    "files and a cluster": ({"kubeconfig": Path(__file__)}, "contacts no cluster: leave --kubeconfig"),
    "files and a webhook URL": ({"webhook_url": "https://10.0.0.5"}, "contacts no cluster: leave --kubeconfig"),
    "no kubeconfig there": (
        {"tenancy": None, "kubeconfig": Path("/none/config")},
        "--kubeconfig /none/config is no file",
    ),
    "a cluster in plain HTTP": (
        {"tenancy": None, "tls": False, "host": "127.0.0.1"},
        "the API server calls webhooks over TLS alone",
    ),
    "a webhook in plain HTTP": (
        {"tenancy": None, "webhook_url": "http://10.0.0.5"},
        "has to be like https://HOST:PORT",
    ),
    "a webhook without a host": ({"tenancy": None, "webhook_url": "https://"}, "has to be like https://HOST:PORT"),
    "a webhook with a query": ({"tenancy": None, "webhook_url": "https://a/?b=c"}, "has to be like https://HOST:PORT"),
    "a webhook with a fragment": ({"tenancy": None, "webhook_url": "https://a/#b"}, "has to be like https://HOST:PORT"),
    "a webhook without a scheme": ({"tenancy": None, "webhook_url": "10.0.0.5:8443"}, "has to be like https://HOST"),
    "a webhook of half an address": ({"tenancy": None, "webhook_url": "https://[::1"}, "has to be like https://HOST"),
    "a webhook on a port that is none": (
        {"tenancy": None, "webhook_url": "https://a:x"},
        "has to be like https://HOST",
    ),
    "a webhook on a port that is too high": (
        {"tenancy": None, "webhook_url": "https://a:70000"},
        "has to be like https://HOST",
    ),
    "a webhook with a user": ({"tenancy": None, "webhook_url": "https://me:x@a"}, "has to be like https://HOST"),
    "a folder as kubeconfig": ({"tenancy": None, "kubeconfig": Path("/")}, "--kubeconfig / is no file"),
    "an empty group": ({"break_glass_groups": ("system:masters", "")}, "--break-glass-group is empty: name a group"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_followed_is_refused(change: dict[str, Any], reason: str) -> None:
    """The message names the flag and says what to do, in one line."""
    with pytest.raises(SettingsError, match=reason) as caught:
        dataclasses.replace(GIVEN, **change).check()
    assert "\n" not in str(caught.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    """Left alone it listens to everybody, over TLS, and break-glass is Kubernetes' own two groups."""
    assert (GIVEN.host, GIVEN.port, GIVEN.tls, GIVEN.opa_url, GIVEN.client_ca) == ("0.0.0.0", 8443, True, None, None)  # noqa: S104
    assert set(GIVEN.break_glass_groups) == {"system:masters", "kubeadm:cluster-admins"}
    assert GIVEN.break_glass_groups == BREAK_GLASS_GROUPS


def test_what_is_shipped_is_found() -> None:
    """The Rego and the example tree are where they are looked for, and are whole."""
    assert read_policies(bundled_policies()).policies.rules
    loading = load_tree(bundled_examples())
    assert (loading.errors, loading.warnings) == ((), ())


def default_cert_dir(**variables: str) -> str:
    """Return where certificates are kept for a process with these variables alone."""
    command = [sys.executable, "-c", "from webhook.settings import default_cert_dir; print(default_cert_dir())"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/state/portcullis/certs"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "/state"}, "/state/portcullis/certs"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": ""}, "/home/ada/.local/state/portcullis/certs"),
        ({"HOME": "/home/ada", "XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/portcullis/certs"),
    ],
    ids=["home", "state", "empty", "relative"],
)
def test_certificates_are_kept_in_the_users_state(variables: dict[str, str], folder: str) -> None:
    """By the XDG base directory specification: an empty or relative variable counts for nothing."""
    assert default_cert_dir(**variables) == folder


def test_the_environment_is_the_process_own() -> None:
    """Programs that are started find OPA by it."""
    assert environment() is os.environ


MEASURES: dict[str, tuple[str, str, timedelta, int]] = {
    "days and GiB": ("90d", "10GiB", timedelta(days=90), 10 * 2**30),
    "hours and MB": ("12h", "500MB", timedelta(hours=12), 500_000_000),
    "weeks and TiB": ("8w", "1TiB", timedelta(weeks=8), 2**40),
}


@pytest.mark.parametrize(("keep", "size", "age", "most"), MEASURES.values(), ids=MEASURES.keys())
def test_how_long_and_how_much_is_kept(keep: str, size: str, age: timedelta, most: int) -> None:
    """In the units that people write; without a URL nothing is recorded."""
    assert HistorySettings.of("sqlite:///a", keep, size) == HistorySettings("sqlite:///a", age, most)
    assert HistorySettings.of(None) is None
    assert HistorySettings.of("") is None


@pytest.mark.parametrize(
    ("keep", "size", "why"),
    [
        pytest.param("90", "10GiB", "--history-keep '90' is a number and one of s, m, h, d, w", id="no-unit"),
        pytest.param("0d", "10GiB", "--history-keep '0d' is a number", id="nothing"),
        pytest.param("-1d", "10GiB", "--history-keep '-1d' is a number", id="negative"),
        pytest.param("1y", "10GiB", "--history-keep '1y' is a number", id="years"),
        pytest.param("999999999w", "10GiB", "is longer than anything lasts", id="for-ever"),
        pytest.param("90d", "10G", "--history-size '10G' is a number and one of KB, MB", id="half-a-unit"),
        pytest.param("90d", "1.5GiB", "--history-size '1.5GiB' is a number", id="a-fraction"),
        pytest.param("90d", "", "--history-size '' is a number", id="no-size"),
    ],
)
def test_an_age_or_a_size_that_is_none_is_refused(keep: str, size: str, why: str) -> None:
    """With what would be one."""
    with pytest.raises(SettingsError, match=re.escape(why)):
        HistorySettings.of("sqlite:///a", keep, size)
