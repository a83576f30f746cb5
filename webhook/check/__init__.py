"""Manifests judged as the webhook would judge what the API server makes of them."""
