"""
The certificates a webhook serves with: issued, kept in a directory and renewed, or the operator's own, checked.

A package of its own: it knows nothing of Portcullis and can be lifted out whole. `ensure` before the server starts and
then now and again (it costs four small reads when nothing is due), `problem` for a readiness probe.
"""

from certs.authority import issue_authority, issue_serving
from certs.errors import CertificateError
from certs.files import CertificateFiles, ensure, problem
from certs.pem import Pair
from certs.shared import adopt, contents, named

__all__ = [
    "CertificateError",
    "CertificateFiles",
    "Pair",
    "adopt",
    "contents",
    "ensure",
    "issue_authority",
    "issue_serving",
    "named",
    "problem",
]
