"""Our own objects in the cluster: the webhook objects, and the certificate that the API server trusts them by."""
