"""A book is dumped while it is worked with, restored elsewhere, right to the last cent, and goes on there."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.errors import IntegrityConstraintViolation

from billing import ids
from billing.cli import Failure, dump, main
from billing.cli.dump import Program
from tests import serving

USAGE = {"prompt_tokens": 1000, "completion_tokens": 500}
PRICE = {"unit": "1M_tokens", "price": "3", "effective_from": "2026-11-01", "source": "a test"}


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = serving.billing(
        *arguments, settings={"BILLING_DATA_DIR": str(data)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def post(client: httpx.Client, path: str, body: object) -> dict[str, object]:
    answer = client.post(path, json=body, headers={"Idempotency-Key": ids.new("once")})
    assert answer.is_success, answer.text
    return answer.json()


def event(number: int) -> dict[str, object]:
    return {
        "id": f"r-{number}",
        "source": "gw",
        "time": "2026-11-20T09:00:00Z",
        "account": "acct_ada",
        "model": "gpt-99" if number == 7 else "gpt-4",
        "usage": USAGE,
    }


def client_of(server: serving.Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers=server.headers, timeout=30)


@pytest.fixture
def home(folder: Path) -> Path:
    made = folder / ids.new("dump")
    made.mkdir(mode=0o755)
    return made


def test_a_book_is_dumped_while_it_serves_and_goes_on_elsewhere(home: Path) -> None:
    file = home / "billing.dump"
    with serving.serving({}, home) as server, client_of(server) as client:
        post(client, "/v1/accounts", {"id": "acct_ada", "name": "Ada"})
        top_up = post(client, "/v1/accounts/acct_ada/top-ups", {"amount": "10", "reference": "w-1"})
        posted = post(client, "/v1/events", [event(number) for number in range(20)])
        assert (posted["accepted"], posted["unpriced"]) == (20, 1)
        post(client, "/v1/price-rows", {"rows": [{"model": "gpt-98", "dimension": "input", **PRICE}]})
        dumped = run(home / "data", "dump", str(file))
        assert dumped.returncode == 0, dumped.stderr
        assert "Dumped the database to" in dumped.stdout
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not file.with_name("billing.dump.part").exists()
        before = client.get("/v1/accounts/acct_ada/balance").json()["posted"]
        in_use = run(home / "data", "restore", str(file))
        assert (in_use.returncode, "Stop `billing serve` first" in in_use.stderr) == (1, True)

    new = home / "new"
    restored = run(new, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    assert "1 account. Now run `billing verify`" in restored.stdout
    verified = run(new, "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = run(new, "restore", str(file))
    assert (again.returncode, "its accounts are not empty" in again.stderr) == (1, True)

    (home / "second").mkdir()
    with serving.serving({"BILLING_DATA_DIR": str(new)}, home / "second") as server, client_of(server) as client:
        assert client.get("/v1/accounts/acct_ada/balance").json()["posted"] == before
        repeated = post(client, "/v1/events", [event(number) for number in range(21)])
        assert (repeated["duplicates"], repeated["accepted"]) == (20, 1)
        more = post(client, "/v1/accounts/acct_ada/top-ups", {"amount": "1", "reference": "w-2"})
        assert int(str(more["transaction"])) > int(str(top_up["transaction"]))
        [row] = post(client, "/v1/price-rows", {"rows": [{"model": "gpt-97", "dimension": "input", **PRICE}]})["data"]
        assert row["id"] == 2
    assert run(new, "verify").returncode == 0


@pytest.fixture
def books(clone: Callable[[], str]) -> tuple[str, str]:
    """A database with an account and a database without one, both migrated."""
    used, new = clone(), clone()
    with psycopg.connect(used) as conn:
        conn.execute("INSERT INTO accounts (id, name) VALUES ('acct_ada', 'Ada')")
        conn.execute("INSERT INTO balances (account_id) VALUES ('acct_ada')")
        conn.execute(
            "INSERT INTO account_plans (account_id, plan_id, effective_from, actor) "
            "VALUES ('acct_ada', NULL, now(), 'test')"
        )
    return used, new


def billing(url: str, *arguments: str, path: str | None = None) -> Result:
    environment = {"BILLING_DATABASE_URL": url, **({"PATH": path} if path else {})}
    return CliRunner().invoke(main, arguments, env=environment)


def test_a_database_of_ones_own_is_dumped_and_restored(books: tuple[str, str], tmp_path: Path) -> None:
    used, new = books
    file = tmp_path / "billing.dump"
    (tmp_path / "billing.dump.part").write_text("left by a dump that was killed")
    assert billing(used, "dump", str(file)).exit_code == 0
    kept = file.read_bytes()
    refused = billing(used, "dump", str(file))
    assert (refused.exit_code, "replace it with --force" in refused.stderr) == (1, True)
    assert file.read_bytes() == kept
    assert billing(used, "dump", str(file), "--force").exit_code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["billing.dump"]

    with psycopg.connect(new, autocommit=True) as conn:
        conn.execute("CREATE TABLE mine ()")
        busy = billing(new, "restore", str(file))
    assert (busy.exit_code, "Somebody is connected" in busy.stderr) == (1, True)

    done = billing(new, "restore", str(file))
    assert done.exit_code == 0, done.stderr
    with psycopg.connect(new) as conn:
        assert conn.execute("SELECT id FROM accounts").fetchall() == [("acct_ada",)]
        with pytest.raises(IntegrityConstraintViolation, match="append-only"):
            conn.execute("DELETE FROM account_plans")
    refused = billing(new, "restore", str(file))
    assert (refused.exit_code, "its accounts are not empty" in refused.stderr) == (1, True)


def test_what_is_no_book_is_neither_dumped_nor_restored(books: tuple[str, str], home: Path) -> None:
    _, new = books
    file = home / "not-a-dump"
    file.write_text("hello")
    result = billing(new, "restore", str(file))
    assert (result.exit_code, "not-a-dump cannot be restored" in result.stderr) == (1, True)
    with psycopg.connect(new, autocommit=True) as conn:
        conn.execute("DROP TABLE alembic_version")
    result = billing(new, "dump", str(home / "file"))
    assert (result.exit_code, "holds no book" in result.stderr) == (1, True)
    nowhere = run(home / "nowhere", "dump", str(home / "file"))
    assert (nowhere.returncode, "There is no database in" in nowhere.stderr) == (1, True)
    assert sorted(each.name for each in home.iterdir()) == ["not-a-dump"]


def test_a_failed_dump_leaves_nothing_and_keeps_the_old_one(books: tuple[str, str], tmp_path: Path) -> None:
    with psycopg.connect(books[0]) as conn:
        major = conn.info.server_version // 10_000
    (tmp_path / "bin").mkdir()
    fake = script(
        tmp_path / "bin" / "pg_dump", f'[ "$1" = --version ] && echo "pg_dump (PostgreSQL) {major}.9" && exit'
    )
    fake.write_text(fake.read_text() + "echo some; echo 'no space left' >&2; exit 1\n")
    file = tmp_path / "billing.dump"
    file.write_text("yesterday's")
    result = billing(books[0], "dump", "--force", str(file), path=f"{fake.parent}:/usr/bin:/bin")
    assert (result.exit_code, "Nothing was written: no space left" in result.stderr) == (1, True)
    assert file.read_text() == "yesterday's"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["billing.dump", "bin"]


def test_a_password_is_not_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgresql://ada:s3cret%20word@db.example:5433/book?sslmode=require"
    monkeypatch.setenv("BILLING_DATABASE_URL", url)
    fake = script(tmp_path / "pg_dump", f'echo "$@" >{tmp_path}/arguments; env >{tmp_path}/environment')
    assert dump.run(Program(str(fake), 18), url) is None
    arguments, environment = ((tmp_path / name).read_text() for name in ("arguments", "environment"))
    assert "s3cret" not in arguments
    assert all(part in arguments for part in ("user=ada", "host=db.example", "port=5433", "sslmode=require"))
    assert "PGPASSWORD=s3cret word\n" in environment
    assert "BILLING_DATABASE_URL" not in environment
    with pytest.raises(Failure, match="sslpassword"):
        dump.run(Program(str(fake), 18), f"{url}&sslpassword=x")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_nearest_program_that_is_new_enough_is_taken() -> None:
    known = [Program("path", 15), Program("package", 18), Program("system", 17)]
    assert [program.path for program in dump.fitting(known, 15)] == ["path", "system", "package"]
    assert [program.path for program in dump.fitting(known, 16)] == ["system", "package"]
    with pytest.raises(Failure, match=r"PostgreSQL 19, and no program .*path \(15\)"):
        dump.fitting(known, 19)
