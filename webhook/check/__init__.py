"""Manifests judged before they are applied: each as the request that the API server would ask about."""
