"""What alembic runs: the migrations, on the connection and in the transaction that it is handed (see `schema`)."""

from alembic import context

from webhook.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change a table in place.
    render_as_batch=True,
)
context.run_migrations()
