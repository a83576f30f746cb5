"""
What a question to a history of ten million decisions costs, on SQLite and on PostgreSQL.

The rows are made by SQL: a busy namespace has a fifth of them and a busy user a third, and these two never meet. Every
question is one of `portcullis history decisions`; BENCH_ROWS makes the history smaller.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg  # type: ignore[import-untyped]  # it ships no types
from sqlalchemy import Index, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.figures import Figure
from tests.history.postgres import started
from webhook.history import queries
from webhook.history.address import read_address
from webhook.history.engine import Database, connected
from webhook.history.moment import BITS, milliseconds, told
from webhook.history.rows import Wanted
from webhook.history.schema import migrate
from webhook.history.store import Store
from webhook.history.tables import decision_rules, decisions, rule_sets, set_tenants, tenant_sets

ROWS = 10_000_000
STEP = 1_000_000
BEGIN = milliseconds("2026-08-01T00:00:00Z")
SPACING = 700
"""Milliseconds between two decisions: ten million are 81 days."""
WORKSPACES = 200
LIMIT = 100
BOUND = 200.0

# `i` counts the rows and `h` scatters them; SQLite and PostgreSQL read this alike.
NAMESPACE = "CASE WHEN h % 10 < 2 THEN 'busy' ELSE 'ns-' || (h / 10 % 2000) END"
USER = (
    "CASE WHEN h % 10 >= 2 AND h % 10 < 6 THEN 'argocd' WHEN h % 10 < 2 THEN 'user-' || (h / 7 % 50) "
    "ELSE 'user-' || (h / 7 % 3000) END"
)
VERDICT = (
    "CASE WHEN h / 3 % 200 < 188 THEN 'allow' WHEN h / 3 % 200 < 194 THEN 'deny' WHEN h / 3 % 200 < 198 THEN 'audit' "
    "WHEN h / 3 % 200 < 199 THEN 'warn' ELSE 'error' END"
)
RULE = "'rbac/rule-' || (h / 600 % 12)"
SETS = f"CASE WHEN h % 10 < 2 THEN 1 + h / 11 % 2 ELSE 1 + h / 10 % 2000 % {WORKSPACES} END"
NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (VALUES({first}) UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n(i) AS (SELECT generate_series({first}::bigint, {last}::bigint))",
}
ROW = f"""
SELECT (({BEGIN} + i * {SPACING}) << {BITS}) + h % 2000000, 'decision-' || i,
{BEGIN} + i * {SPACING}, 'validate', {USER}, 'CREATE', 'networking.k8s.io', 'NetworkPolicy', {NAMESPACE},
'policy-' || (h / 13 % 100), '', {VERDICT}, CASE WHEN h / 3 % 200 < 188 THEN '[]' ELSE '["' || {RULE} || '"]' END, 1,
'[]', '0123456789abcdef0123456789abcdef', FALSE, FALSE, TRUE, 2.5, '', NULL, {SETS}, NULL,
'2026-11-21T12:00:00.123456Z', NULL FROM (SELECT i, i * 2654435761 % 4294967296 AS h FROM n) AS numbered
"""  # noqa: S608 - all of it is ours
FIRED = f"""
SELECT {RULE}, (({BEGIN} + i * {SPACING}) << {BITS}) + h % 2000000, {NAMESPACE}, {USER},
{VERDICT}, {SETS} FROM (SELECT i, i * 2654435761 % 4294967296 AS h FROM n) AS numbered WHERE h / 3 % 200 >= 188
"""  # noqa: S608 - all of it is ours


@dataclass(slots=True)
class Taken:
    """What was measured on one database: milliseconds of each question, and how its answer was found."""

    built: float
    size: float
    questions: dict[str, list[float]] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)


def asked(rows: int) -> Mapping[str, Wanted]:
    """Return the questions, by name; times are within the history."""
    mid, later = (told(BEGIN + rows * SPACING * part // 100) for part in (50, 51))
    workspace, project = frozenset({"Workspace/w-7"}), frozenset({"Project/p-3"})
    every = frozenset({"Organization/acme"})
    return {
        "nothing": Wanted(),
        "a span": Wanted(since=mid, until=later),
        "namespace": Wanted(namespace="ns-7"),
        "busy namespace": Wanted(namespace="busy"),
        "namespace, a span": Wanted(namespace="ns-7", since=mid, until=later),
        "user": Wanted(user="user-2999"),
        "busy user, a span": Wanted(user="argocd", since=mid, until=later),
        "verdict": Wanted(verdict="error"),
        "rule": Wanted(rule="rbac/rule-3"),
        "namespace, verdict": Wanted(namespace="ns-7", verdict="deny"),
        "busy namespace, verdict, a span": Wanted(namespace="busy", verdict="deny", since=mid, until=later),
        "busy namespace, busy user: none": Wanted(namespace="busy", user="argocd"),
        "namespace, busy user, verdict": Wanted(namespace="ns-7", user="argocd", verdict="deny"),
        "busy namespace, user, verdict": Wanted(namespace="busy", user="user-7", verdict="warn"),
        "busy user, verdict": Wanted(user="argocd", verdict="error"),
        "rule, namespace": Wanted(rule="rbac/rule-3", namespace="ns-7"),
        "rule, busy namespace, busy user: none": Wanted(rule="rbac/rule-3", namespace="busy", user="argocd"),
        "rule, user, verdict": Wanted(rule="rbac/rule-3", user="user-2999", verdict="deny"),
        "rule, verdict": Wanted(rule="rbac/rule-3", verdict="error"),
        "all filters": Wanted("ns-7", "argocd", "rbac/rule-3", "deny", since=told(BEGIN), until=later),
        "unknown user": Wanted(user="nobody"),
        "a workspace's": Wanted(tenants=workspace),
        "a workspace's, verdict": Wanted(tenants=workspace, verdict="error"),
        "a workspace's, busy user": Wanted(tenants=workspace, user="argocd"),
        "a workspace's, rule": Wanted(tenants=workspace, rule="rbac/rule-3"),
        "a workspace's, another's namespace: none": Wanted(tenants=workspace, namespace="busy"),
        "a workspace's, another's user: none": Wanted(tenants=frozenset({"Workspace/w-0"}), user="argocd", verdict="x"),  # type: ignore[arg-type]  # none has it
        "a project's": Wanted(tenants=project),
        "a project's, user": Wanted(tenants=project, user="user-2999"),
        "a project's, verdict, a span": Wanted(tenants=project, verdict="deny", since=mid, until=later),
        "the organization's": Wanted(tenants=every, others=True),
        "the organization's, user": Wanted(tenants=every, others=True, user="user-2999"),
    }


async def measure_history(*, rows: int, rounds: int = 7) -> list[Figure]:
    """Return the figures of both databases with so many decisions."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
        figures += _figures("SQLite", rows, await _measured(f"sqlite:///{folder}/history.db", rows, rounds))
    with started(
        "shared_buffers=512MB",
        "maintenance_work_mem=512MB",
        "max_wal_size=8GB",
        "wal_level=minimal",
        "max_wal_senders=0",
    ) as server:
        url = server.database()
        figures += _figures("PostgreSQL", rows, await _measured(url, rows, rounds))
    return figures


async def _measured(url: str, rows: int, rounds: int) -> Taken:
    async with connected(read_address(url), writes=True) as database:
        await migrate(database)
        begin = time.perf_counter()
        await _fill(database, rows)
        taken = Taken(time.perf_counter() - begin, await _bytes(database))
        store = Store(database)
        for name, wanted in asked(rows).items():
            taken.plans[name] = await plan(database, wanted)
            taken.questions[name] = [await _one(store, wanted) for _ in range(rounds)]
    return taken


async def _one(store: Store, wanted: Wanted) -> float:
    begin = time.perf_counter()
    limited = Wanted(**{each: getattr(wanted, each) for each in Wanted.__dataclass_fields__} | {"limit": LIMIT})
    _ = [row async for row in store.decisions(limited)]
    return (time.perf_counter() - begin) * 1000


async def _fill(database: Database, rows: int) -> None:
    kind = "sqlite" if database.sqlite else "postgresql"
    indexes = [index for table in (decisions, decision_rules) for index in sorted(table.indexes, key=_name)]
    async with database.writing() as connection:
        for index in indexes:
            await connection.run_sync(index.drop)
        await _name_sets(connection)
    for first in range(0, rows, STEP):
        tell(f"{kind}: {first:,} rows")
        numbers = NUMBERS[kind].format(first=first, last=min(first + STEP, rows) - 1)
        for table, selected in (("decisions", ROW), ("decision_rules", FIRED)):
            async with database.writing() as connection:
                await connection.exec_driver_sql(f"INSERT INTO {table} {numbers} {selected}")
    for index in indexes:
        tell(f"{kind}: index {index.name}")
        async with database.writing() as connection:
            await connection.run_sync(index.create)
    await _settle(database)


async def _name_sets(connection: AsyncConnection) -> None:
    await connection.execute(insert(rule_sets).values(id=1, rules="[]"))
    for number in range(WORKSPACES):
        keys = sorted([f"Workspace/w-{number}", f"Project/p-{number // 10}", "Organization/acme"])
        await connection.execute(insert(tenant_sets).values(id=number + 1, tenants=json.dumps(keys)))
        for key in keys:
            await connection.execute(insert(set_tenants).values(tenant=key, tenant_set=number + 1))


async def _settle(database: Database) -> None:
    """Let it be as it is after a while: PostgreSQL's own vacuum comes by itself within a minute."""
    if not database.sqlite:
        connection = await asyncpg.connect(database.address.dsn)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()


async def _bytes(database: Database) -> float:
    async with database.reading() as connection:
        if database.sqlite:
            found = await connection.exec_driver_sql(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            )
        else:
            found = await connection.exec_driver_sql("SELECT pg_database_size(current_database())")
        return float(found.scalar_one())


async def plan(database: Database, wanted: Wanted) -> str:
    """Return how the database finds the ids of a question: which indexes it goes through."""
    async with database.reading() as connection:
        sets = await queries.visible_sets(connection, wanted)
        query = queries.ids(wanted, queries.span_of(wanted), sets, limit=LIMIT)
        text = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if database.sqlite else "EXPLAIN"
        found = (await connection.exec_driver_sql(f"{explain} {text}")).all()
    return "\n".join(str(row[-1]) for row in found)


def _figures(name: str, rows: int, taken: Taken) -> list[Figure]:
    worst = max(taken.questions, key=lambda each: statistics.median(taken.questions[each]))
    every = [each for times in taken.questions.values() for each in times]
    for question, times in taken.questions.items():
        sys.stdout.write(f"{name}: {statistics.median(times):8.1f} ms p50 {max(times):8.1f} ms max  {question}\n")
        for line in dict.fromkeys(taken.plans[question].splitlines()):
            sys.stdout.write(f"      {line.strip()}\n" if "INDEX" in line.upper() or "SCAN" in line.upper() else "")
    how = (
        f"{rows:,} decisions made by SQL ({taken.size / 2**30:.1f} GiB, {taken.built:.0f} s), {len(taken.questions)} "
        f"questions of `portcullis history decisions --limit {LIMIT}` by namespace, user, rule, verdict, time, by who "
        f"may see, and together; the slowest is: {worst}"
    )
    slowest = statistics.median(taken.questions[worst])
    return [
        Figure(f"history on {name}: the slowest question p50", round(slowest, 1), "ms", BOUND, how),
        Figure(f"history on {name}: any question, slowest", round(max(every), 1), "ms"),
        Figure(f"history on {name}: all questions p50", round(statistics.median(every), 1), "ms"),
    ]


def _name(index: Index) -> str:
    return str(index.name)


def tell(line: str) -> None:
    """Say what is going on."""
    sys.stderr.write(f"bench: {line}\n")


if __name__ == "__main__":
    for each in asyncio.run(measure_history(rows=int(os.environ.get("BENCH_ROWS", str(ROWS))))):
        sys.stdout.write(f"{each.name}: {each.value} {each.unit} (at most {each.bound}) {each.how}\n")
