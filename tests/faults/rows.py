"""The failure matrix as it is declared: a row a fault, what is promised of it, and the test of the same name."""

from dataclasses import dataclass
from enum import StrEnum

LONGEST_SECONDS = 15.0
"""Of any recovery."""


class Verdict(StrEnum):
    """What is promised of requests that begin and end while a fault lasts."""

    ANSWERED = "answered by the other replica"
    ANSWERED_ALL = "answered as ever"
    ELSEWHERE = "no pod in these; everywhere else answered as ever"
    HELD = "namespaces are answered; no pod without its baseline: refused with the reason"
    DENIED = "denied, 500"
    HEALS = "denied, 500, until it has healed by itself"
    AWAY = "no write at all: the API server has nothing to say"


@dataclass(frozen=True, slots=True)
class Row:
    """
    One fault.

    `seconds` is how long it may take, from the end of the fault (from its beginning, where nobody `mends` it), until
    nothing is refused that has to pass and every namespace has its baseline. What befalls an OPA needs one: `opa`.
    """

    name: str
    fault: str
    verdict: Verdict
    seconds: float = LONGEST_SECONDS
    mends: bool = True
    opa: bool = False


ROWS = (
    Row("webhook_killed", "webhook killed (-9) in a burst; it is not the leader", Verdict.ANSWERED, mends=False),
    Row("leader_killed", "leader killed (-9) in a burst", Verdict.ANSWERED, mends=False),
    Row("both_down", "both killed (-9) in a burst, started again after 4 s", Verdict.DENIED),
    Row("opa_killed", "OPA killed (-9) in a burst, of both replicas", Verdict.HEALS, mends=False, opa=True),
    Row(
        "opa_stopped",
        "OPA stopped (SIGSTOP) in a burst, of both replicas; nobody lets it go on",
        Verdict.HEALS,
        mends=False,
        opa=True,
    ),
    Row(
        "opa_bad_bundle",
        "OPA killed (-9); for 3 s what it starts again with is no bundle; both replicas",
        Verdict.HEALS,
        opa=True,
    ),
    Row(
        "opa_tampered_bundle",
        "OPA killed (-9); for 3 s the bundle it starts again with allows everything, under our revision; both replicas",
        Verdict.HEALS,
        opa=True,
    ),
    Row("api_server_restarted", "API server restarted in a burst", Verdict.AWAY),
    Row("etcd_stopped", "etcd stopped for 10 s", Verdict.AWAY),
    Row("watches_cut", "every connection to the API server cut, three times, 2 s apart", Verdict.ANSWERED_ALL),
    Row(
        "watches_too_old",
        "410 Gone: the way to the API server cut, meanwhile etcd compacted and the API server restarted",
        Verdict.HELD,
    ),
    Row("rbac_taken_away", "RBAC of the controller taken away for 4 s and given back", Verdict.HELD),
    Row(
        "quota_forbids_policies",
        "a ResourceQuota that forbids NetworkPolicies, in namespaces whose baseline break-glass deletes",
        Verdict.ELSEWHERE,
    ),
    Row("certificate_expired", "certificate expired while both were down", Verdict.DENIED),
    Row("authority_expired", "CA and certificate expired while both were down", Verdict.DENIED),
    Row(
        "disk_full",
        "disk full: nothing can be written while a new certificate comes, and the OPA of one replica is killed",
        Verdict.ANSWERED,
        opa=True,
    ),
    Row("api_server_slow", "10 s of latency towards the API server, for 12 s", Verdict.HELD),
    Row(
        "two_leaders",
        "two leaders: one is stopped, its lease given to the other, and goes on",
        Verdict.ANSWERED,
        mends=False,
    ),
)

BY_NAME = {row.name: row for row in ROWS}
