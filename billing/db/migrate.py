"""Migrations, run by the program itself: `migrations` is a package and comes along in the wheel."""

from functools import cache
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg.errors import UndefinedTable
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

import migrations
from billing.db.pool import Connection


def configuration(connection: SqlConnection | None = None) -> Config:
    """What alembic's commands take; with a connection they use that one."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate(url: str) -> None:
    """Bring the schema to its head. Others that do the same meanwhile wait for each other (migrations/env.py)."""
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)
    with engine.connect() as connection:
        command.upgrade(configuration(connection), "head")


@cache
def known_revisions() -> tuple[str, ...]:
    """All revisions of this release, head first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions())


async def pending(conn: Connection) -> bool:
    """Whether this database still needs a migration of ours.

    A revision we do not know was made by a newer release. Its migrations keep the previous release working, so that
    the two can run side by side during an upgrade.
    """
    try:
        found = await (await conn.execute("SELECT version_num FROM alembic_version")).fetchone()
    except UndefinedTable:
        return True
    return found is None or found["version_num"] in known_revisions()[1:]
