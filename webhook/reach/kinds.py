"""Which kinds of policies are read, and by whom."""

from collections.abc import Mapping

from webhook.reach.calico import read_calico_policy, read_calico_set, read_nothing
from webhook.reach.cilium import read_cilium_policy
from webhook.reach.networkpolicy import read_network_policy
from webhook.reach.policy import Reader

READERS: Mapping[str, Reader] = {
    "NetworkPolicy": read_network_policy,
    "CiliumNetworkPolicy": read_cilium_policy,
    "CiliumLocalRedirectPolicy": read_nothing,
    "NetworkPolicy.crd.projectcalico.org": read_calico_policy,
    "NetworkSet.crd.projectcalico.org": read_calico_set,
    "NetworkPolicy.projectcalico.org": read_calico_policy,
    "NetworkSet.projectcalico.org": read_calico_set,
}
"""By kind (`kind_of`): what a policy of it means."""

_OWN_NAMES = frozenset(
    {
        ("networking.k8s.io", "NetworkPolicy"),
        ("cilium.io", "CiliumNetworkPolicy"),
        ("cilium.io", "CiliumLocalRedirectPolicy"),
    }
)


def kind_of(group: str, kind: str) -> str:
    """Return how a kind is called here: with its group where others have the name, too."""
    return kind if (group, kind) in _OWN_NAMES else f"{kind}.{group}"
