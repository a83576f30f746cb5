"""AdmissionReview in, decision and patch out."""
