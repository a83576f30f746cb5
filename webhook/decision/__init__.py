"""The decision on one document: OPA found, kept running and asked."""
