"""Kubernetes: the calls that we make on an API server, and the watch that follows it."""
