"""What a tenant may do out of the box: the bindings of Kubernetes' RBAC that follow the tree."""
