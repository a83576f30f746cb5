"""The tables of the first history."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
# As in `tables`; a migration keeps what it did whatever becomes of them.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them, with their indexes."""
    op.create_table(
        "contents",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "decision_rules",
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("tenant_set", ID, nullable=False),
        sa.PrimaryKeyConstraint("rule", "id"),
        sqlite_with_rowid=False,
    )
    op.create_index("decision_rules_namespace", "decision_rules", ["rule", "namespace", "id"])
    op.create_index("decision_rules_tenant_set", "decision_rules", ["rule", "tenant_set", "id"])
    op.create_index("decision_rules_user", "decision_rules", ["rule", "user", "id"])
    op.create_table(
        "decisions",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("decision_id", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("rules", sa.String(), nullable=False),
        sa.Column("ran", ID, nullable=False),
        sa.Column("violations", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("break_glass", sa.Boolean(), nullable=False),
        sa.Column("authenticated", sa.Boolean(), nullable=False),
        sa.Column("milliseconds", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=True),
        sa.Column("tenant_set", ID, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=True),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("meaning", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "decisions_meaning",
        "decisions",
        ["meaning", "id"],
        sqlite_where=sa.text("meaning IS NOT NULL"),
        postgresql_where=sa.text("meaning IS NOT NULL"),
    )
    op.create_index("decisions_namespace", "decisions", ["namespace", "id", "tenant_set"])
    op.create_index("decisions_namespace_user", "decisions", ["namespace", "user", "id", "verdict", "tenant_set"])
    op.create_index("decisions_namespace_verdict", "decisions", ["namespace", "verdict", "id", "tenant_set"])
    op.create_index("decisions_tenant_set", "decisions", ["tenant_set", "id"])
    op.create_index("decisions_tenant_set_namespace", "decisions", ["tenant_set", "namespace", "id"])
    op.create_index("decisions_tenant_set_user", "decisions", ["tenant_set", "user", "id"])
    op.create_index("decisions_tenant_set_verdict", "decisions", ["tenant_set", "verdict", "id"])
    op.create_index("decisions_user", "decisions", ["user", "id", "tenant_set"])
    op.create_index("decisions_user_verdict", "decisions", ["user", "verdict", "id", "tenant_set"])
    op.create_index("decisions_verdict", "decisions", ["verdict", "id", "tenant_set"])
    op.create_table(
        "documents",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("documents_last", "documents", ["last"])
    op.create_table(
        "revisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("api_version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("writers", sa.String(), nullable=False),
        sa.Column("tenant_set", ID, nullable=False),
        sa.Column("meaning", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("api_version", "kind", "uid", "version", "gone", name="revisions_once"),
    )
    op.create_index("revisions_content", "revisions", ["content"])
    op.create_index("revisions_object", "revisions", ["namespace", "kind", "name", "api_version", "seen", "gone", "id"])
    op.create_index("revisions_seen", "revisions", ["seen"])
    op.create_table(
        "rule_sets",
        sa.Column("id", ID, nullable=False),
        sa.Column("rules", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("rules"),
    )
    op.create_table(
        "set_tenants",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("tenant_set", ID, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "tenant_set"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tenant_sets",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenants", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenants"),
    )
    op.create_table(
        "volume",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO volume (id, bytes) VALUES (1, 0)")


def downgrade() -> None:
    """Take them away, their indexes and all that they hold with them."""
    for table in (
        "volume",
        "revisions",
        "contents",
        "decision_rules",
        "decisions",
        "rule_sets",
        "set_tenants",
        "tenant_sets",
        "documents",
    ):
        op.drop_table(table)
