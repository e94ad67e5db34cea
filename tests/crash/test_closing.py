"""kill -9 while the service closes a month by itself: each account is closed once (rules.md Invoices 5 and 7)."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg

from billing.cli._database import database_url
from billing.db.migrate import migrate
from billing.settings import Settings
from tests.metering.events import event
from tests.serving import Server, billing, serving

BILLED, IDLE = 400, 20
STEP = 30
"""Invoices that are made before a kill, so that it falls into the midst of the work."""

USAGE = {"prompt_tokens": 12_345, "completion_tokens": 678, "total_tokens": 13_023}

ACCOUNTS = """
WITH made AS (
  INSERT INTO accounts (id, name, created_at)
  SELECT 'acct_closing_' || number, 'Ada', '2026-10-01Z' FROM generate_series(0, %s) AS number
  RETURNING id
)
INSERT INTO balances (account_id) SELECT id FROM made
"""
TAX = """
WITH rate AS (
  INSERT INTO tax_rates (id, name, percent, inclusive, reverse_charge, actor)
  VALUES ('vat', 'VAT', 19, false, false, 'test')
)
INSERT INTO account_taxes (rates, effective_from, actor) VALUES ('{vat}', '2026-01-01Z', 'test')
"""


def kill_service(server: Server, _data: Path, _url: str) -> None:
    server.process.kill()
    server.process.wait()


def kill_database(_server: Server, data: Path, url: str) -> None:
    """The service goes on by itself once it is back."""
    before = made(url)
    os.kill(int(next(data.rglob("postmaster.pid")).read_text().splitlines()[0]), signal.SIGKILL)
    wait_for(url, before + STEP)


KILLS: tuple[Callable[[Server, Path, str], None], ...] = (kill_service, kill_service, kill_database, kill_service)


def test_a_month_is_closed_once_whatever_is_killed(folder: Path, tmp_path: Path) -> None:
    data = folder / "crash-closing"
    settings = {"BILLING_DATA_DIR": str(data), "BILLING_CLOSE_AFTER_HOURS": "1"}
    with database_url(Settings(data_dir=data)) as url:
        migrate(url)
        prepare(url, {**settings, "BILLING_CLOSE_AFTER_HOURS": "0"}, tmp_path)
        for kill in KILLS:
            with serving(settings, tmp_path) as server:
                wait_for(url, made(url) + STEP)
                kill(server, data, url)
                assert made(url) < BILLED, "the month was closed before the kill"
        with serving(settings, tmp_path):
            wait_for(url, BILLED)
        check(url)
    assert billing("verify", settings=settings).wait(60) == 0


def prepare(url: str, settings: dict[str, str], folder: Path) -> None:
    """Accounts of October, all but some with usage that comes to no whole cents, and a tax."""
    with psycopg.connect(url) as conn:
        conn.execute(ACCOUNTS, [BILLED + IDLE - 1])
        conn.execute(TAX)
    with serving(settings, folder) as server:
        events = [event(f"acct_closing_{number}", f"used-{number}", usage=USAGE) for number in range(BILLED)]
        answer = httpx.post(f"{server.url}/v1/events", headers=server.headers, json=events, timeout=30)
        assert answer.json()["accepted"] == BILLED


def made(url: str) -> int:
    """How many invoices there are; -1 while the database is away."""
    try:
        with psycopg.connect(url) as conn:
            return int(conn.execute("SELECT count(*) FROM invoices").fetchone()[0])
    except psycopg.OperationalError:
        return -1


def wait_for(url: str, invoices: int) -> None:
    deadline = time.monotonic() + 30
    while made(url) < invoices:
        assert time.monotonic() < deadline, "the service did not go on within 30 s"
        time.sleep(0.01)


def check(url: str) -> None:
    """One invoice and one message for each, numbers without a gap, and nothing open of the month."""
    with psycopg.connect(url) as conn:
        invoices = conn.execute("SELECT account_id, id, series, sequence, total FROM invoices").fetchall()
        assert len(invoices) == len({account for account, *_ in invoices}) == BILLED
        numbers: dict[str, list[int]] = {}
        for _, _, series, sequence, _ in invoices:
            numbers.setdefault(series, []).append(sequence)
        for sequences in numbers.values():
            assert sorted(sequences) == list(range(1, len(sequences) + 1))
        told = conn.execute("SELECT data ->> 'id' FROM webhook_messages WHERE type = 'invoice.finalized'").fetchall()
        assert sorted(one for (one,) in told) == sorted(one for _, one, *_ in invoices)
        wallets = dict(conn.execute("SELECT account_id, posted FROM balances").fetchall())
        assert {account: -wallets[account] for account, *_ in invoices} == {row[0]: row[4] for row in invoices}
        still_open = "SELECT count(*) FROM balances WHERE open_from IS NULL OR open_from < '2026-11-01Z'"
        assert conn.execute(still_open).fetchone() == (0,)
