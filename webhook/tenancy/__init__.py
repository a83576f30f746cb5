"""The tenant tree, and the manifests it is read from."""
