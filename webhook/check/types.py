"""
The types of Kubernetes 1.36 that are decoded: their fields, and what is written where nothing is given.

Source: k8s.io/api/networking/v1, k8s.io/api/core/v1 and k8s.io/apimachinery/pkg/apis/meta/v1, `types.go`.
"""

from webhook.check.decoding import anything, flag, given_text, listed, port, struct, text, texts, time, whole

_OWNER = struct(
    {
        "apiVersion": text,
        "kind": text,
        "name": text,
        "uid": text,
        "controller": flag,
        "blockOwnerDeletion": flag,
    },
    apiVersion="",
    kind="",
    name="",
    uid="",
)
_MANAGED = struct({
    "manager": text,
    "operation": text,
    "apiVersion": text,
    "time": time,
    "fieldsType": text,
    "fieldsV1": anything,
    "subresource": text,
})  # fmt: skip
OBJECT_META = struct({
    "name": text,
    "generateName": text,
    "namespace": text,
    "selfLink": text,
    "uid": text,
    "resourceVersion": text,
    "generation": whole(64),
    "creationTimestamp": time,
    "deletionTimestamp": time,
    "deletionGracePeriodSeconds": whole(64),
    "labels": texts,
    "annotations": texts,
    "ownerReferences": listed(_OWNER, {}),
    "finalizers": listed(text, ""),
    "managedFields": listed(_MANAGED, {}),
})  # fmt: skip
_EXPRESSION = struct({"key": text, "operator": text, "values": listed(text, "")}, key="", operator="")
_SELECTOR = struct({"matchLabels": texts, "matchExpressions": listed(_EXPRESSION, {})})
_IP_BLOCK = struct({"cidr": text, "except": listed(text, "")}, cidr="")
_PEER = struct({"podSelector": _SELECTOR, "namespaceSelector": _SELECTOR, "ipBlock": _IP_BLOCK})
_PORT = struct({"protocol": given_text, "port": port, "endPort": whole(32)})
_INGRESS = struct({"ports": listed(_PORT, {}), "from": listed(_PEER, {})})
_EGRESS = struct({"ports": listed(_PORT, {}), "to": listed(_PEER, {})})
_POLICY_SPEC = struct(
    {
        "podSelector": _SELECTOR,
        "ingress": listed(_INGRESS, {}),
        "egress": listed(_EGRESS, {}),
        "policyTypes": listed(text, ""),
    },
    podSelector={},
)
NETWORK_POLICY = struct(
    {"apiVersion": text, "kind": text, "metadata": OBJECT_META, "spec": _POLICY_SPEC}, metadata={}, spec={}
)
_CONDITION = struct({
    "type": text,
    "status": text,
    "lastTransitionTime": time,
    "reason": text,
    "message": text,
})  # fmt: skip
NAMESPACE = struct(
    {
        "apiVersion": text,
        "kind": text,
        "metadata": OBJECT_META,
        "spec": struct({"finalizers": listed(text, "")}),
        "status": struct({"phase": text, "conditions": listed(_CONDITION, {})}),
    },
    metadata={},
    spec={},
)
