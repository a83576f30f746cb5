"""How each program of a control plane is started; a path is one of the plane's folder, where they run."""

from pathlib import Path

# Those without which a cluster is none for us: namespaces end, owned objects are collected, each namespace has its
# ServiceAccount, ClusterRoles of ours aggregate, and an admission policy's status says whether its CEL type-checks.
CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
    "validatingadmissionpolicy-status-controller",
)


def etcd_flags(port: int) -> list[str]:
    """Give those of etcd for clients on `port`; its data go to the folder etcd."""
    url = f"http://127.0.0.1:{port}"
    return [
        "--data-dir=etcd",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        "--listen-peer-urls=http://127.0.0.1:0",  # it has no peer; any port will do
        "--socket-reuse-port=true",
        "--unsafe-no-fsync=true",  # the data are to outlive a restart of the API server, not of the machine
        "--snapshot-count=1000",
        "--log-level=warn",
    ]


def api_server_flags(port: int, etcd_port: int) -> list[str]:
    """Give those of the API server on `port`, on the etcd of `etcd_port`."""
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        # Without it the address of a default route is looked for, which a machine without network lacks.
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        "--permit-port-sharing=true",
        "--tls-cert-file=serving.crt",
        "--tls-private-key-file=serving.key",
        "--token-auth-file=tokens.csv",
        "--authorization-mode=RBAC",
        # A pod would be refused until its namespace has a ServiceAccount, and mount a token that nobody reads.
        "--disable-admission-plugins=ServiceAccount",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=accounts.pub",
        "--service-account-signing-key-file=accounts.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
        # Without it the server waits for watches that nobody ends, a minute long.
        "--shutdown-watch-termination-grace-period=2s",
        "--profiling=false",
    ]


def controller_flags(kubeconfig: Path) -> list[str]:
    """Give those of the controller manager that works by `kubeconfig`."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        # Each controller is its ServiceAccount, as in a cluster: webhooks see the user they see there.
        "--use-service-account-credentials=true",
        "--service-account-private-key-file=accounts.key",
        "--root-ca-file=ca.crt",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]
