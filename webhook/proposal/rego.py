"""The gate for a change to the Rego: format, checks, tests, coverage, what rules say of themselves, mutation score."""

from webhook.proposal.regoreport import RegoCheck, RegoFinding, RegoReport, Survivor

__all__ = ["RegoCheck", "RegoFinding", "RegoReport", "Survivor"]
