"""`billing dump`: a backup of the whole database in one file, made while everything goes on."""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from rich.filesize import decimal

from billing.cli import Failure
from billing.cli._database import database_url, embedded_folder
from billing.embedded.binaries import installations
from billing.embedded.keeper import try_lock
from billing.settings import Settings, load

COMPLAINT_LINES = 5


@dataclass(frozen=True)
class Program:
    """One of PostgreSQL's programs, and the version of it."""

    path: str
    major: int


@click.command("dump")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Put it in the place of a file that is there already.")
def command(file: Path, force: bool) -> None:
    """Write the whole database to FILE, in PostgreSQL's custom format. `billing restore` reads it.

    It is consistent and stops nothing. FILE appears when it is complete; until then it is FILE.part.
    """
    if file.exists() and not force:
        raise Failure(f"{file} is there already. Choose another name, or replace it with --force.")
    settings = load(os.environ)
    folder = embedded_folder(settings)
    if settings.database_url is None and not (folder / "pgdata").exists():
        raise Failure(f"There is no database in {folder.resolve()}. BILLING_DATA_DIR or BILLING_DATABASE_URL names it.")
    with database_url(settings) as url:
        with psycopg.connect(url) as conn:
            if not is_ours(conn):
                raise Failure("There is nothing to dump: this database holds no book.")
            major = conn.info.server_version // 10_000
        program = fitting(programs("pg_dump", settings), major)[0]
        with _complete(file) as part:
            done = run(program, url, "--format=custom", output=part)
            if done is not None:
                raise Failure(f"Nothing was written: {done}")
    size = decimal(file.stat().st_size)
    click.echo(f"Dumped the database to {file} ({size}), with PostgreSQL {program.major}'s pg_dump.")


@contextmanager
def _complete(file: Path) -> Iterator[int]:
    """A file to write to that gets its name when all of it is on disk, and is gone if that fails.

    It stays locked as long as pg_dump has it, too, so two that write the same file do not mix.
    """
    part = file.with_name(f"{file.name}.part")
    fd = try_lock(part, fcntl.LOCK_EX)
    if fd is None or not os.path.samestat(os.fstat(fd), part.stat()):
        raise Failure(f"Another dump is being written to {part}.")
    try:
        os.fchmod(fd, 0o600)  # who may read it may read every customer
        os.ftruncate(fd, 0)
        yield fd
        os.fsync(fd)
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    folder = os.open(file.resolve().parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def is_ours(conn: psycopg.Connection) -> bool:
    """Whether this release or another one has made its schema here."""
    row = conn.execute("SELECT to_regclass('alembic_version') IS NOT NULL AND to_regclass('accounts') IS NOT NULL")
    return row.fetchone() == (True,)


def programs(name: str, settings: Settings) -> list[Program]:
    """All there are, best first: beside the embedded server for its own database, on PATH for any other."""
    beside = [Program(each.program(name), each.major) for each in installations(embedded_folder(settings))]
    beside = [program for program in beside if Path(program.path).exists()]
    path = shutil.which(name)
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout if path else ""
    found = re.search(r"\d+", answer.rpartition(")")[2])
    on_path = [Program(path, int(found[0]))] if path and found else []
    return [*beside, *on_path] if settings.database_url is None else [*on_path, *beside]


def fitting(known: list[Program], major: int) -> list[Program]:
    """Those that can talk to a server of this major version, the nearest version first: a program that is older than
    its server refuses, and what a newer one writes an older one may not read. Raises Failure when there is none."""
    able = sorted((program for program in known if program.major >= major), key=lambda program: program.major)
    if not able:
        found = ", ".join(f"{program.path} ({program.major})" for program in known) or "none"
        raise Failure(
            f"The database is PostgreSQL {major}, and no program of that version or a newer one is here (found: "
            f"{found}). Put PostgreSQL {major}'s client programs on PATH."
        )
    return able


def run(program: Program, url: str, *arguments: str, output: int | None = None) -> str | None:
    """Let one of PostgreSQL's programs work on the database; what it complained of, or None when it has succeeded."""
    conninfo, environment = _hidden(url)
    done = subprocess.run(
        [program.path, *arguments, "--no-password", f"--dbname={conninfo}"],
        stdin=subprocess.DEVNULL,
        stdout=output if output is not None else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()][:COMPLAINT_LINES]
    return "\n  ".join(lines) or f"{Path(program.path).name} ended with status {done.returncode}."


def _hidden(url: str) -> tuple[str, Mapping[str, str]]:
    """The address without its password, and an environment with it: everybody may read a command line."""
    told = conninfo_to_dict(url)
    if "sslpassword" in told:
        raise Failure("The sslpassword of BILLING_DATABASE_URL cannot be handed on safely. Use a key without one.")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    password = told.pop("password", None)
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **told), environment
