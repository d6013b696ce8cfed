"""What Alembic runs for every series: the steps, in the transaction that the caller opened."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given["tables"],
    version_table=given["version"],
    render_as_batch=True,
)
context.run_migrations()
