"""`billing close`, as an operator runs it."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

from billing.db.pool import Connection
from tests.invoices.conftest import Relay, differences
from tests.serving import billing


def close(url: str, *arguments: str) -> tuple[int, str]:
    process = billing(
        "close",
        *arguments,
        settings={"BILLING_DATABASE_URL": url, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.anyio
async def test_a_month_is_closed_and_written(own_relay: Relay, fresh_database: str, tmp_path: Path) -> None:
    account = await own_relay.account()
    await own_relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 100))
    await own_relay.account()
    code, output = close(fresh_database, "2026-10", "--out", str(tmp_path / "invoices"))
    assert code == 0, output
    assert "invoices made now" in output
    invoice = json.loads((tmp_path / "invoices" / "INV-2026-000001.json").read_bytes())
    assert (invoice["account"], invoice["total"]) == (account, "0.02")
    with (tmp_path / "invoices" / "INV-2026-000001.csv").open(newline="") as file:
        assert {row["record"]: row["amount"] for row in csv.DictReader(file)}["total"] == "0.02"
    code, output = close(fresh_database, "2026-10")
    assert (code, "closed by an earlier run" in output) == (0, True)


@pytest.mark.anyio
async def test_it_fails_when_an_account_needs_attention(own_relay: Relay, fresh_database: str) -> None:
    account = await own_relay.account()
    await own_relay.use(account, "2026-09-15T12:00Z", "2026-10-15T12:00Z")
    code, output = close(fresh_database, "2026-10", "--account", account)
    assert code == 1
    assert "close 2026-09 first" in output
    assert "1 of 1 accounts could not be closed." in output


def test_what_is_no_month_is_said_so(url: str) -> None:
    code, output = close(url, "October")
    assert (code, "'October' is not a month" in output) == (1, True)


@pytest.mark.anyio
async def test_killed_in_the_middle_it_is_run_again(own_relay: Relay, fresh_database: str) -> None:
    for _ in range(60):
        await own_relay.use(await own_relay.account(), "2026-10-15T12:00Z", tokens=(1000, 100))
    async with own_relay.pool.connection() as conn:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        closing = billing("close", "2026-10", settings={"BILLING_DATABASE_URL": fresh_database}, **quiet)
        while not (made := await sequences(conn)) and closing.poll() is None:
            pass
        closing.kill()
        closing.wait()
        assert made
        assert await differences(conn) == []
        code, output = close(fresh_database, "2026-10")
        assert code == 0, output
        assert await sequences(conn) == list(range(1, 61))
        assert await differences(conn) == []


async def sequences(conn: Connection) -> list[int]:
    rows = await (await conn.execute("SELECT sequence FROM invoices ORDER BY sequence")).fetchall()
    return [row["sequence"] for row in rows]
