"""The migrations make the very schema that billing.db.schema declares, and the database guards what must not change."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from billing.db.migrate import configuration, known_revisions, migrate
from billing.db.schema import APPEND_ONLY, metadata
from billing.embedded.binaries import installations


def engine(url: str):
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=NullPool)


@pytest.fixture
def empty_database(postgres: str, clone) -> str:
    """A database with nothing in it."""
    url = clone()
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP DATABASE {}").format(name))
        conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
    return url


def dump(url: str, folder: Path) -> list[str]:
    """The schema as pg_dump writes it, without what names this dump and without alembic's own table."""
    program = installations(folder)[0].program("pg_dump")
    arguments = ["--schema-only", "--no-owner", "--exclude-table=alembic_version", f"--dbname={url}"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=True, env={**os.environ})
    return [line for line in done.stdout.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))]


def test_the_schema_from_migrations_is_the_schema_declared(fresh_database, empty_database, tmp_path):
    with engine(empty_database).begin() as connection:
        metadata.create_all(connection)
    assert dump(fresh_database, tmp_path) == dump(empty_database, tmp_path)


def test_alembic_finds_nothing_to_change(fresh_database):
    with engine(fresh_database).connect() as connection:
        command.check(configuration(connection))


def test_migrating_an_empty_database_and_again(empty_database):
    migrate(empty_database)
    migrate(empty_database)
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("SELECT version_num FROM alembic_version").fetchone() == (known_revisions()[0],)


def test_two_that_migrate_at_once(empty_database):
    """The second waits for the first and then finds nothing to do."""
    code = "import sys; from billing.db.migrate import migrate; migrate(sys.argv[1])"
    racing = [subprocess.Popen([sys.executable, "-c", code, empty_database], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(one.communicate(timeout=60)[1], one.returncode) for one in racing] == [(b"", 0)] * 3


def test_migrations_give_sql_for_review(capsys):
    command.upgrade(configuration(), "head", sql=True)
    text = capsys.readouterr().out
    assert "CREATE TABLE postings" in text
    assert text.strip().endswith("COMMIT;")


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_append_only_stays(url, table, statement):
    column = sql.Identifier(next(iter(metadata.tables[table].columns)).name)
    composed = sql.SQL(statement).format(*[sql.Identifier(table), column, column][: statement.count("{}")])
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        conn.execute(composed)


def test_a_book_from_before_credits_is_kept(empty_database):
    """What the first release booked is as it was, and has no credits."""
    with engine(empty_database).connect() as connection:
        command.upgrade(configuration(connection), "2026_11_23")
    with psycopg.connect(empty_database) as conn:
        conn.execute(
            """
            INSERT INTO accounts (id, name) VALUES ('acct_a', 'a');
            INSERT INTO balances (account_id, posted, transactions) VALUES ('acct_a', 5, 1);
            INSERT INTO postings (account_id, transaction, line, seq, kind, source, destination, amount, balance,
                                  effective_at)
            VALUES ('acct_a', 1, 1, 1, 'top_up', 'cash', 'wallet', 5, 5, now());
            """
        )
    migrate(empty_database)
    with psycopg.connect(empty_database) as conn:
        balance = conn.execute("SELECT posted, credits, credits_due_at FROM balances").fetchone()
        assert balance == (5, 0, None)
        assert conn.execute("SELECT kind, amount, grant_id, reverses FROM postings").fetchone() == (
            "top_up",
            5,
            None,
            None,
        )


def test_webhooks_from_before_owners_belong_to_who_made_them(empty_database):
    with engine(empty_database).connect() as connection:
        command.upgrade(configuration(connection), "2026_11_23_settlement")
    with psycopg.connect(empty_database) as conn:
        conn.execute(
            """
            INSERT INTO accounts (id, name) VALUES ('acct_a', 'a');
            INSERT INTO api_keys (id, account_id, scope, name, hash, hint)
            VALUES ('key_a', 'acct_a', 'customer', 'a', 'a', 'a'), ('key_b', NULL, 'admin', 'b', 'b', 'b');
            INSERT INTO webhook_endpoints (id, account_id, url, secret)
            VALUES ('we_theirs', 'acct_a', '', ''), ('we_about', 'acct_a', '', ''), ('we_all', NULL, '', '');
            INSERT INTO audit_log (actor, action, account_id, subject, details)
            VALUES ('key_a', 'webhook.create', 'acct_a', 'we_theirs', '{}'),
                   ('key_b', 'webhook.create', 'acct_a', 'we_about', '{}'),
                   ('cli', 'webhook.create', NULL, 'we_all', '{}');
            """
        )
    migrate(empty_database)
    with psycopg.connect(empty_database) as conn:
        owners = dict(conn.execute("SELECT id, owner_id FROM webhook_endpoints").fetchall())
    assert owners == {"we_theirs": "acct_a", "we_about": None, "we_all": None}
