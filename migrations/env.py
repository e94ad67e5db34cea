"""How migrations run: one at a time, each in its own transaction, never waiting long for a lock.

The database is the one named by BILLING_DATABASE_URL, or the connection that `billing.db.migrate` hands over.
"""

import os

import psycopg
from alembic import context
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from billing.db.schema import metadata

# Two processes that start together must not migrate at once; any constant number will do.
MIGRATION_LOCK = 7_305_812_046
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "10min"


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """Partitions are made by the service (billing.db.partitions), not by migrations."""
    return not (kind == "table" and name is not None and name.startswith("events_"))


def run(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            include_name=include_name,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": MIGRATION_LOCK})
        connection.commit()


def online() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    url = os.environ["BILLING_DATABASE_URL"]
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        run(connection)


def offline() -> None:
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    online()
