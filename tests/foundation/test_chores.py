"""What the service does by itself goes on whatever happens, and an end is always clean."""

import asyncio
import logging
from datetime import UTC, datetime

import psycopg
import pytest

from billing import chores, proof
from billing.app import create_app, running
from billing.db import partitions
from billing.db.pool import open_pool
from billing.observe.metrics import IMBALANCE
from billing.settings import Settings
from tests import factories


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(chores, "RETRY_SECONDS", 0.01)


@pytest.fixture
def gauge():
    IMBALANCE.set(0)
    yield lambda: IMBALANCE._value.get()
    IMBALANCE.set(0)


@pytest.mark.parametrize("error", [KeyError("closing"), psycopg.OperationalError("away")])
async def test_a_chore_that_fails_is_logged_and_tried_again(caplog, error):
    tries = []
    done = asyncio.Event()

    async def chore() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise error
        done.set()

    task = asyncio.create_task(chores._again_and_again(chore, 3600))
    await asyncio.wait_for(done.wait(), 5)
    await chores.end(task)
    assert len(tries) == 2
    assert any("a chore failed" in record.message for record in caplog.records)


async def test_a_chore_can_be_switched_off_and_can_wait():
    tries = []

    async def chore() -> None:
        tries.append(1)

    await chores._again_and_again(chore, 0)
    task = asyncio.create_task(chores._again_and_again(chore, 1, after=60))
    await asyncio.sleep(0.05)
    await chores.end(task)
    assert tries == []


async def test_the_proof_uses_one_connection_and_sets_the_gauge(fresh_database, gauge, caplog):
    settings = Settings(pool_size_max=1, pool_wait_seconds_max=1)
    async with await open_pool(settings, fresh_database) as pool:
        async with pool.connection() as conn:
            account = await factories.account(conn)
        await chores._prove(pool, 7)
        assert gauge() == 0
        async with pool.connection() as conn:
            await conn.execute("UPDATE balances SET posted = 7")
        await chores._prove(pool, 7)
    assert gauge() == 1
    assert any(account in record.message and record.levelno == logging.ERROR for record in caplog.records)


async def test_a_proof_that_fails_is_no_proof(pool, gauge, monkeypatch):
    async def fail(*_arguments: object) -> None:
        raise KeyError("closing")

    monkeypatch.setattr(proof, "differences_unless_proving", fail)
    with pytest.raises(KeyError):
        await chores._prove(pool, 7)
    assert gauge() == 1


async def test_a_database_that_is_away_says_nothing_about_the_book(pool, gauge, monkeypatch):
    async def fail(*_arguments: object) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(proof, "differences_unless_proving", fail)
    with pytest.raises(psycopg.OperationalError):
        await chores._prove(pool, 7)
    assert gauge() == 0


async def test_the_pool_is_closed_though_housekeeping_failed(settings, monkeypatch, capsys):
    async def fail(*_arguments: object) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(chores, "keep_house", fail)
    app = create_app(settings)
    async with running(app):
        pool = app.state.pool
        await asyncio.sleep(0.01)
    assert pool.closed
    assert "housekeeping had failed" in capsys.readouterr().err


async def test_the_pool_is_closed_though_the_start_failed(settings, monkeypatch):
    async def fail(*_arguments: object) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(partitions, "tend", fail)
    app = create_app(settings)
    with pytest.raises(KeyError):
        async with running(app):
            pass
    assert app.state.pool.closed


async def test_old_months_are_dropped_and_nobody_waits_for_it(fresh_database):
    """One that somebody writes to is left for the next time, after half a second."""
    async with (
        await open_pool(Settings(), fresh_database) as pool,
        pool.connection() as conn,
        pool.connection() as other,
    ):
        await partitions.ensure(conn, datetime(2026, 1, 1, tzinfo=UTC))
        old = "SELECT FROM pg_class WHERE relname IN ('events_2026_01', 'events_2026_02')"
        await chores._drop_old_events(pool, 0)
        assert (await conn.execute(old)).rowcount == 2
        async with other.transaction(force_rollback=True):
            await other.execute(
                "INSERT INTO events (account_id, time, source, id, body) VALUES ('acct_x', now(), 's', 'i', '{}')"
            )
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await chores._drop_old_events(pool, 1)
        await chores._drop_old_events(pool, 1)
        assert (await conn.execute(old)).rowcount == 0
        dropped = await (await conn.execute("SELECT start, events FROM dropped_months ORDER BY start")).fetchall()
        assert [(row["start"].month, row["events"]) for row in dropped][:2] == [(1, 0), (2, 0)]
        acts = await (await conn.execute("SELECT actor, action, subject FROM audit_log ORDER BY id")).fetchall()
        assert tuple(acts[0].values()) == ("service", "events.drop", "2026-01")
