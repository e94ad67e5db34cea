"""`billing restore`: what `billing dump` has written, into a database that holds no book yet."""

import os
import subprocess
import time
from pathlib import Path

import click
import psycopg
from psycopg import sql

from billing.cli import Failure
from billing.cli._database import database_url
from billing.cli.dump import Program, fitting, is_ours, programs, run
from billing.db.migrate import known_revisions, migrate
from billing.settings import load

KEPT = ("accounts", "charges", "postings", "invoices", "price_rows", "multipliers", "plans")
"""Tables that are not empty where somebody has begun to work."""

LEAVING_SECONDS_MAX = 3  # a command that has just ended may still be on its way out
OTHERS = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
LIMIT 1
"""
# A schema that nobody has used yet makes room. What an extension has brought stays.
MAKE_ROOM = """
DO $$
DECLARE
  command text;
  commands text[] := ARRAY(
    SELECT format('DROP %s IF EXISTS %s CASCADE',
                  CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                               ELSE 'TABLE' END,
                  oid::regclass)
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'S', 'v', 'm')
      AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
          AND (deptype = 'e' OR relkind = 'S' AND deptype IN ('a', 'i'))  -- those go with their columns
      )
    UNION ALL
    SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure)
    FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
      )
  );
BEGIN
  FOREACH command IN ARRAY commands LOOP
    EXECUTE command;
  END LOOP;
END $$
"""


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
def command(file: Path) -> None:
    """Fill a new database with what `billing dump` wrote to FILE, and bring it to this release.

    A database that somebody has worked with is refused and not changed.
    """
    settings = load(os.environ)
    with database_url(settings) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            major = conn.info.server_version // 10_000
            program = _reader(file, fitting(programs("pg_restore", settings), major))
            _refuse_if_used(conn)
            if is_ours(conn):
                conn.execute(MAKE_ROOM)
        _restore(file, program, url, major)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("ANALYZE")  # a dump carries no statistics, and the proof joins large tables
            found = conn.execute("SELECT version_num FROM alembic_version").fetchone()
            accounts = conn.execute("SELECT count(*) FROM accounts").fetchone()
        if found is not None and found[0] not in known_revisions():
            click.echo(
                f"The dump is of a newer release (schema {found[0]}): install that one, or a later one.", err=True
            )
        else:
            migrate(url)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(
                    "INSERT INTO audit_log (actor, action, subject) VALUES ('cli', 'book.restore', %s)", [file.name]
                )
    many = accounts[0] if accounts else 0
    restored = f"{many} {'account' if many == 1 else 'accounts'}"
    click.echo(f"Restored {file}: {restored}. Now run `billing verify`, which proves the restored book.")


def _reader(file: Path, able: list[Program]) -> Program:
    """The first program that can read the file, which must be a dump of a book."""
    complaint = ""
    for program in able:
        done = subprocess.run(
            [program.path, "--list", str(file.resolve())], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode == 0:
            if " TABLE DATA public alembic_version " in done.stdout and " TABLE DATA public accounts " in done.stdout:
                return program
            raise Failure(f"{file} is a dump, but not one of a book. Nothing was changed.")
        complaint = complaint or (done.stderr.strip().splitlines() or ["pg_restore cannot read it"])[0]
    raise Failure(f"{file} cannot be restored: {complaint}. Nothing was changed.")


def _refuse_if_used(conn: psycopg.Connection) -> None:
    deadline = time.monotonic() + LEAVING_SECONDS_MAX
    while conn.execute(OTHERS).fetchone() is not None:
        if time.monotonic() > deadline:
            raise Failure("Somebody is connected to this database. Stop `billing serve` first. Nothing was changed.")
        time.sleep(0.1)
    if not is_ours(conn):
        tables = conn.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone()
        if tables and tables[0]:
            raise Failure("This database holds tables of something else. Nothing was changed; restore into a new one.")
        return
    for table in KEPT:
        is_there = conn.execute("SELECT FROM pg_class WHERE oid = to_regclass(%s)", [table]).fetchone() is not None
        if is_there and conn.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(table))).rowcount:
            raise Failure(
                f"This database is in use: its {table.replace('_', ' ')} are not empty. Nothing was changed; "
                "restore into a new one (another BILLING_DATA_DIR or BILLING_DATABASE_URL)."
            )


def _restore(file: Path, program: Program, url: str, major: int) -> None:
    """All or nothing. The roles and rights of the old server need not be there: all belongs to who restores."""
    complaint = run(
        program,
        url,
        *("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"),
        str(file.resolve()),
    )
    if complaint is not None:
        older = f" The server is PostgreSQL {major}, which is older: restore into {program.major} or a newer one."
        raise Failure(f"Nothing was restored.{older if program.major > major else ''}\n  {complaint}")
