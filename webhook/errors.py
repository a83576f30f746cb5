"""
Every error of ours.

PortcullisError
├── SettingsError        a flag, an argument or a PORTCULLIS_* variable that cannot be followed
├── ManifestError        a file that cannot be read as kubectl reads it, or holds what the tree refuses
├── PolicyError          the Rego does not pass its checks, or is not all there
├── OpaError             no OPA of the right version can be had, or it does not start
├── ReviewError          a body that is no AdmissionReview (has the HTTP status that it is answered with)
├── UnreadableError      a part of an object that cannot be understood; becomes a fact, and Rego denies on it
├── ClusterError         the API server refused, or did not answer (has the HTTP status and the reason)
├── DemoError            the demo cannot be shown
├── ProposalError        a change cannot be judged: no git, no such revision, or what would be compared is not to be had
├── HistoryError         the history cannot be opened, written or read
└── NoDecisionError      whatever keeps us from a whole decision; the request is denied

A message says what happened and what to do about it. A denial is no error: it is a `Decision`.
"""

from pathlib import Path
from typing import Literal


class PortcullisError(Exception):
    """Base of all; only `app` and `cli` catch it."""


class SettingsError(PortcullisError):
    """A flag, an argument or a variable that cannot be followed."""


class ManifestError(PortcullisError):
    """
    What is wrong at one place of a file.

    `line` and `column` count from 1; 0 where the place is the whole file.
    """

    def __init__(self, file: Path, line: int, column: int, what: str) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.what = what
        place = f"{file}:{line}:{column}" if column else f"{file}:{line}" if line else f"{file}"
        super().__init__(f"{place}: {what}")

    def __reduce__(self) -> tuple[type["ManifestError"], tuple[Path, int, int, str]]:
        # As it goes from one process to another.
        return ManifestError, (self.file, self.line, self.column, self.what)


class PolicyError(PortcullisError):
    """The Rego does not pass its checks."""


class OpaError(PortcullisError):
    """OPA cannot be had or does not start."""


class ReviewError(PortcullisError):
    """A body that is no AdmissionReview v1; `status` is the HTTP status of the answer."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what)


class UnreadableError(PortcullisError):
    """A part of an object that cannot be understood."""


class ClusterError(PortcullisError):
    """
    What the API server did not do.

    `status` is its HTTP status, 0 where there was no answer; `reason` is Kubernetes' word for it (`NotFound`,
    `AlreadyExists`, `Conflict`, `Expired`, `Forbidden` …), empty where there is none.
    """

    def __init__(self, what: str, *, status: int = 0, reason: str = "") -> None:
        self.status = status
        self.reason = reason
        super().__init__(what)


class DemoError(PortcullisError):
    """The demo cannot be shown."""


class ProposalError(PortcullisError):
    """A change cannot be judged, or a part of it."""


class HistoryError(PortcullisError):
    """The history cannot be opened, written or read."""


Cause = Literal["unreachable", "late", "revision", "failed", "undecided", "facts", "behind", "unforeseen"]
"""
Why there was no decision, for a metric: OPA was not there; was not done in time; has other policies; failed, or its
answer is none; its rules could not decide; what it is to decide on could not be gathered; the process that answers had
not been told of a change yet; and none of these.
"""


class NoDecisionError(PortcullisError):
    """There is no whole decision; `retry` says whether the same request may succeed in a second."""

    def __init__(self, what: str, *, retry: bool, cause: Cause = "facts") -> None:
        self.retry = retry
        self.cause = cause
        super().__init__(what)
