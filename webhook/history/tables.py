"""
The tables of the history, the same on SQLite and PostgreSQL; `migrations` makes them.

A decision's `id` begins with its time (see `moment`), so that the newest come last in every index that ends with it,
and a span of time is a range of ids.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite counts its rows by an INTEGER alone, whose values have 64 bits all the same.
Id = BigInteger().with_variant(Integer, "sqlite")

documents = Table(
    "documents",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    # After the time of the last decision on it (milliseconds): with that decision it may go.
    Column("last", BigInteger, nullable=False),
    Index("documents_last", "last"),
)
"""What was decided on, each once by its SHA-256, compressed."""

tenant_sets = Table(
    "tenant_sets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenants", String, nullable=False, unique=True),
)
"""The tenants that something stood under, as JSON: few, and each set once."""

set_tenants = Table(
    "set_tenants",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("tenant_set", Id, primary_key=True),
    sqlite_with_rowid=False,
)
"""In which sets a tenant is."""

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("rules", String, nullable=False, unique=True),
)
"""The rules that ran, as JSON: few sets, and each once."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("decision_id", String, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("route", String, nullable=False),
    Column("user", String, nullable=False),
    Column("operation", String, nullable=False),
    Column("group", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("uid", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("rules", String, nullable=False),
    Column("ran", Id, nullable=False),
    Column("violations", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("break_glass", Boolean, nullable=False),
    Column("authenticated", Boolean, nullable=False),
    Column("milliseconds", Float, nullable=False),
    Column("reason", String, nullable=False),
    Column("cause", String),
    Column("tenant_set", Id, nullable=False),
    Column("document", LargeBinary),
    # `request.time` of the document, as it stood there: taken out so that equal documents are one.
    Column("asked", String, nullable=False),
    # What the decision let in (`digest.meaning`); none where it let nothing in.
    Column("meaning", LargeBinary),
)
"""The decisions. Each index has what may be filtered by beside it, so that rows that are not wanted are not read."""

Index("decisions_namespace", decisions.c.namespace, decisions.c.id, decisions.c.tenant_set)
Index("decisions_user", decisions.c.user, decisions.c.id, decisions.c.tenant_set)
Index("decisions_verdict", decisions.c.verdict, decisions.c.id, decisions.c.tenant_set)
Index(
    "decisions_namespace_user",
    *(decisions.c.namespace, decisions.c.user, decisions.c.id, decisions.c.verdict, decisions.c.tenant_set),
)
Index("decisions_namespace_verdict", *(decisions.c[each] for each in ("namespace", "verdict", "id", "tenant_set")))
Index("decisions_user_verdict", *(decisions.c[each] for each in ("user", "verdict", "id", "tenant_set")))
Index("decisions_tenant_set", *(decisions.c[each] for each in ("tenant_set", "id")))
Index("decisions_tenant_set_namespace", *(decisions.c[each] for each in ("tenant_set", "namespace", "id")))
Index("decisions_tenant_set_user", *(decisions.c[each] for each in ("tenant_set", "user", "id")))
Index("decisions_tenant_set_verdict", *(decisions.c[each] for each in ("tenant_set", "verdict", "id")))
Index(
    "decisions_meaning",
    *(decisions.c.meaning, decisions.c.id),
    sqlite_where=text("meaning IS NOT NULL"),
    postgresql_where=text("meaning IS NOT NULL"),
)

decision_rules = Table(
    "decision_rules",
    metadata,
    Column("rule", String, primary_key=True),
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("namespace", String, nullable=False),
    Column("user", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("tenant_set", Id, nullable=False),
    sqlite_with_rowid=False,
)
"""The rules that fired, with what may be filtered by beside them."""

Index("decision_rules_namespace", *(decision_rules.c[each] for each in ("rule", "namespace", "id")))
Index("decision_rules_user", *(decision_rules.c[each] for each in ("rule", "user", "id")))
Index("decision_rules_tenant_set", *(decision_rules.c[each] for each in ("rule", "tenant_set", "id")))

contents = Table(
    "contents",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""What objects held, each state once by its SHA-256, compressed."""

revisions = Table(
    "revisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("api_version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("uid", String, nullable=False),
    Column("version", String, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("content", LargeBinary),
    Column("writers", String, nullable=False),
    Column("tenant_set", Id, nullable=False),
    Column("meaning", LargeBinary, nullable=False),
    UniqueConstraint("api_version", "kind", "uid", "version", "gone", name="revisions_once"),
    Index("revisions_object", "namespace", "kind", "name", "api_version", "seen", "gone", "id"),
    Index("revisions_seen", "seen"),
    Index("revisions_content", "content"),
)
"""The states of objects, each with when it was seen; it stood until the next of the same object was."""

volume = Table(
    "volume",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
)
"""One row: about how much is kept. PostgreSQL does not tell: what is deleted there leaves its place behind."""
