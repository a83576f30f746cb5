"""The one error of this package."""


class CertificateError(Exception):
    """A certificate, key or directory that cannot be used; the message says what happened and what to do about it."""
