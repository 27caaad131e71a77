"""What Alembic runs for every command: in the transaction that `migrate` has begun."""

from alembic import context

from portico.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
