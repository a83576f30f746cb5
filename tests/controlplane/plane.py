"""
A real control plane for tests: etcd, kube-apiserver and kube-controller-manager on 127.0.0.1.

It needs no network, no container and no right of root. There is no node: a pod is stored and stays Pending. A
namespace that is deleted is gone after 5 s at the earliest, a constant of the namespace controller.
"""

import csv
import http.client
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certs import issue_authority, issue_serving
from certs.pem import write_key
from tests.controlplane.child import Child, PlaneError
from tests.controlplane.flags import api_server_flags, controller_flags, etcd_flags

CONTROLLER = "system:kube-controller-manager"
SERVICEACCOUNTS = "system:serviceaccounts"

USERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "root": ("root", ("system:masters",)),
    "olga": ("olga", ("acme-admins",)),
    "ivan": ("ivan", ()),
    "paul": ("paul", ("payments-admins",)),
    "wanda": ("wanda", ("checkout-team",)),
    "rudi": ("rudi", ("refunds-team",)),
    "rita": ("rita", ()),
    "ruth": ("ruth", ("ranking-team",)),
    "stranger": ("stranger", ()),
    "argocd": ("system:serviceaccount:gitops:argocd", (SERVICEACCOUNTS, f"{SERVICEACCOUNTS}:gitops")),
    "portcullis": (
        "system:serviceaccount:portcullis-system:portcullis",
        (SERVICEACCOUNTS, f"{SERVICEACCOUNTS}:portcullis-system"),
    ),
    "controller": (CONTROLLER, ()),
}
"""Whom the API server knows by a token: short name to user name and groups. It adds system:authenticated itself."""


class Plane:
    """A control plane that runs, made by `start_plane`."""

    url: str
    """https://127.0.0.1:PORT; the port stays the same when the API server starts again."""
    ca: Path
    """PEM of the CA that the API server's certificate is of."""
    folder: Path
    """Everything of this plane: keys, tokens, kubeconfigs, and NAME.log of each program."""

    etcd: str
    """http://127.0.0.1:PORT of etcd, which speaks JSON there as well."""

    def __init__(self, programs: Path, folder: Path, held: ExitStack, api_flags: Sequence[str] = ()) -> None:
        """Lay everything ready in `folder`; `held` is left when the plane ends, whatever had begun by then."""
        self.folder = folder
        self.ca = folder / "ca.crt"
        etcd_port, port = held.enter_context(_reserved_port()), held.enter_context(_reserved_port())
        self.url = f"https://127.0.0.1:{port}"
        self._tokens = {name: secrets.token_hex(16) for name in USERS}
        self._write_keys()
        self._trust = ssl.create_default_context(cafile=str(self.ca))
        self._etcd_port = etcd_port
        self.etcd = f"http://127.0.0.1:{etcd_port}"
        spawner = held.enter_context(ThreadPoolExecutor(1))

        def child(name: str, *flags: str) -> Child:
            made = Child([str(programs / name), *flags], folder, spawner)
            held.callback(made.stop)  # the last one made is the first one stopped: an API server before its etcd
            return made

        self._etcd = child("etcd", *etcd_flags(etcd_port))
        self._api_server = child("kube-apiserver", *api_server_flags(port, etcd_port), *api_flags)
        self._controllers = child("kube-controller-manager", *controller_flags(self.kubeconfig("controller")))

    @property
    def pids(self) -> dict[str, int | None]:
        """The pid of each program by its name, None while it does not run."""
        return {each.name: each.pid for each in (self._etcd, self._api_server, self._controllers)}

    def kubeconfig(self, user: str) -> Path:
        """Return the kubeconfig of one of `USERS`."""
        path = self.folder / f"{user}.kubeconfig"
        if not path.exists():
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "plane", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}],
                "users": [{"name": user, "user": {"token": self._tokens[user]}}],
                "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": user}}],
                "current-context": "plane",
            }
            # Whole from the moment it is there: others may ask for it at the same time.
            made = self.folder / f"{user}.{secrets.token_hex(4)}"
            made.write_text(json.dumps(config))
            made.replace(path)
        return path

    def kubectl(
        self, *arguments: str, user: str = "root", stdin: str = "", check: bool = True, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as `user`; with `check` a failure is CalledProcessError, whose notes say what kubectl said."""
        ran = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig(user), *arguments],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                # A cache elsewhere would be keyed by address and port, and tell of a plane that is gone.
                "KUBECACHEDIR": str(self.folder / "kubecache"),
            },
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and ran.returncode != 0:
            error = subprocess.CalledProcessError(ran.returncode, ran.args, ran.stdout, ran.stderr)
            error.add_note(ran.stderr)
            raise error
        return ran

    def start_etcd(self) -> None:
        """Start etcd with the data it had; return when it is healthy."""
        self._etcd.start(lambda: _status(self._etcd_connection(), "/health", {}) == 200, within=30)

    def stop_etcd(self) -> None:
        """Stop etcd; an API server that runs keeps running and fails."""
        self._etcd.stop()

    def start_api_server(self) -> None:
        """Start the API server on its port and its etcd; return when it is ready."""
        self._api_server.start(self._answers("/readyz"), within=60)

    def stop_api_server(self) -> None:
        """Stop the API server; whoever asks it is refused the connection."""
        self._api_server.stop()

    def restart_api_server(self) -> None:
        """Stop the API server and start it again."""
        self.stop_api_server()
        self.start_api_server()

    def stop(self) -> None:
        """Stop all three, as when the machine goes down; what etcd has stored stays."""
        for each in (self._controllers, self._api_server, self._etcd):
            each.stop()

    def start(self) -> None:
        """Start all three; return when the API server is ready and the controllers have begun their work."""
        self.start_etcd()
        self.start_api_server()
        self._controllers.start(self._answers("/api/v1/namespaces/default/serviceaccounts/default"), within=60)
        for account in ("namespace-controller", "generic-garbage-collector"):
            path = f"/api/v1/namespaces/kube-system/serviceaccounts/{account}"
            self._controllers.wait(self._answers(path), within=30)

    def _answers(self, path: str) -> Callable[[], bool]:
        """Make a question: does the API server answer 200 on `path`."""
        headers = {"Authorization": f"Bearer {self._tokens['root']}"}
        return lambda: _status(self._api_connection(), path, headers) == 200

    def _api_connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection(self.url.removeprefix("https://"), timeout=5, context=self._trust)

    def _etcd_connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=5)

    def _write_keys(self) -> None:
        """Write the certificates, the key that ServiceAccounts' tokens are signed with, and everybody's token."""
        now = datetime.now(UTC)
        authority = issue_authority(now=now)
        serving = issue_serving(authority, ("127.0.0.1", "localhost"), now=now)
        accounts = generate_private_key(SECP256R1())
        self.folder.chmod(0o700)
        self.ca.write_bytes(authority.certificate)
        (self.folder / "serving.crt").write_bytes(serving.certificate)
        (self.folder / "serving.key").write_bytes(serving.key)
        (self.folder / "accounts.key").write_bytes(write_key(accounts))
        public = accounts.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "accounts.pub").write_bytes(public)
        with (self.folder / "tokens.csv").open("w", newline="") as tokens:
            for key, (name, groups) in USERS.items():
                # An empty fourth column would be a group without a name.
                csv.writer(tokens).writerow([self._tokens[key], name, key, *([",".join(groups)] if groups else [])])


@contextmanager
def start_plane(programs: Path, folder: Path, *api_flags: str) -> Iterator[Plane]:
    """
    Run a control plane with the three programs of the folder `programs` and all its files in `folder`.

    `api_flags` are more of the API server's, which runs in `folder`.
    When it is left, the controller manager, the API server and etcd end in this order, and etcd's data are removed;
    the logs stay. Raises PlaneError with the end of a log where a program does not start.
    """
    if shutil.which("kubectl") is None:
        raise PlaneError("there is no kubectl on PATH; install one of Kubernetes 1.32 or newer")
    with ExitStack() as held:
        held.callback(shutil.rmtree, folder / "etcd", ignore_errors=True)
        plane = Plane(programs, folder, held, api_flags)
        plane.start()
        yield plane


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Hold a free port of 127.0.0.1 for a server that shares it, so that nobody takes it while that server restarts."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port


def _status(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> int | None:
    """Return the HTTP status that `path` has, None where nobody answers."""
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
