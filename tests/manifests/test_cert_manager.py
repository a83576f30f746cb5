"""The overlay with cert-manager's certificate: production, of which Portcullis may not write the Secret."""

import pytest

from tests.manifests.built import Json, built, one
from webhook.model import HOME
from webhook.registration.hooks import SERVICE
from webhook.registration.stored import NAME

FOLDER = "overlays/cert-manager"
GROUP = "cert-manager.io"


def kept(kind: str, name: str) -> Json:
    """Return the spec of an object of cert-manager's."""
    thing = one(FOLDER, kind, name)
    assert (thing["apiVersion"], thing["metadata"]["namespace"]) == (f"{GROUP}/v1", HOME)
    return dict(thing["spec"])


def test_the_rest_is_production() -> None:
    """Nothing else differs than the right to write the Secret."""
    here = [each for each in built(FOLDER) if not each["apiVersion"].startswith(GROUP)]
    there = list(built("overlays/production"))
    differing = [each for each in here if each not in there]
    assert len(here) == len(there)
    assert [(each["kind"], each["metadata"]["name"]) for each in differing] == [("Role", "portcullis")]


def test_the_secret_is_read_and_never_written() -> None:
    """By its name; no other right is lost."""
    rules = one(FOLDER, "Role")["rules"]
    (secrets,) = (each for each in rules if "secrets" in each["resources"])
    assert (secrets["resourceNames"], secrets["verbs"]) == ([NAME], ["get", "list", "watch"])
    others = [each for each in one("base", "Role")["rules"] if "secrets" not in each["resources"]]
    assert [each for each in rules if each != secrets] == others


def test_the_certificate_is_for_our_service_for_ninety_days() -> None:
    """In the Secret that is followed, by the names that the API server calls, renewed at two thirds with a new key."""
    spec = kept("Certificate", "portcullis")
    assert spec["secretName"] == NAME
    assert spec["dnsNames"] == [f"{SERVICE}.{HOME}.svc", f"{SERVICE}.{HOME}.svc.cluster.local"]
    assert (spec["duration"], spec["renewBefore"]) == ("2160h", "720h")
    assert "server auth" in spec["usages"]
    assert spec["issuerRef"] == {"group": GROUP, "kind": "Issuer", "name": "portcullis-ca"}


@pytest.mark.parametrize("name", ["portcullis", "portcullis-ca"])
def test_keys_are_small_and_new_each_time(name: str) -> None:
    """As those that Portcullis makes."""
    assert kept("Certificate", name)["privateKey"] == {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"}


def test_the_chain_of_issuers_begins_with_itself() -> None:
    """A self-signed Issuer signs the CA, whose Secret is the Issuer of the certificate."""
    ca = kept("Certificate", "portcullis-ca")
    assert ca["isCA"] is True
    assert ca["commonName"]
    assert ca["issuerRef"]["name"] == "portcullis-selfsigned"
    assert kept("Issuer", "portcullis-selfsigned") == {"selfSigned": {}}
    assert kept("Issuer", "portcullis-ca") == {"ca": {"secretName": ca["secretName"]}}
    assert ca["secretName"] != NAME


def test_the_hooks_are_left_to_serve() -> None:
    """No cainjector is asked for, which would fight with what puts both CAs in."""
    assert not [each for each in built(FOLDER) if "Webhook" in each["kind"]]
    assert "inject-ca-from" not in str(built(FOLDER))
