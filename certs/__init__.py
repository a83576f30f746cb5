"""
The certificates a webhook serves with: issued, kept in a directory and renewed, or the operator's own, checked.

A package of its own: it knows nothing of Portcullis and can be lifted out whole. `ensure` before the server starts and
then now and again (it costs four small reads when nothing is due), `problem` for a readiness probe. Where replicas
share what they serve with, `Rotation` says what has to become of it, CA included.
"""

from certs.authority import issue_authority, issue_serving
from certs.clock import Clock, utc
from certs.errors import CertificateError
from certs.files import CertificateFiles, ensure, problem
from certs.pem import Pair
from certs.rotation import OVERLAP, Rotation, ahead, signed_with, sound
from certs.shared import adopt, contents, named
from certs.trust import anchors, joined, readable, write_bundle
from certs.validity import aged, misfit, seconds_left, unusable

__all__ = [
    "OVERLAP",
    "CertificateError",
    "CertificateFiles",
    "Clock",
    "Pair",
    "Rotation",
    "adopt",
    "aged",
    "ahead",
    "anchors",
    "contents",
    "ensure",
    "issue_authority",
    "issue_serving",
    "joined",
    "misfit",
    "named",
    "problem",
    "readable",
    "seconds_left",
    "signed_with",
    "sound",
    "unusable",
    "utc",
    "write_bundle",
]
