"""Portcullis: an admission webhook and policy-as-code gate for Kubernetes network policy."""

__version__ = "0.1.0"
