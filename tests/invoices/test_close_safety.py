"""Closing a whole book: twice at once, with usage arriving, and stopped in the middle (rules.md Invoices 5 and 7)."""

import asyncio
from collections import Counter

import pytest
from psycopg_pool import PoolTimeout

from billing.db.pool import Connection, open_pool
from billing.invoices import close, store
from billing.invoices.close import Result, close_month
from tests.invoices.conftest import Relay, differences

pytestmark = pytest.mark.anyio

ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia", "Asia/Kolkata")


async def a_book(relay: Relay, accounts: int = 20) -> list[str]:
    """So many accounts with usage in October, and one without."""
    made = [await relay.account(ZONES[number % len(ZONES)]) for number in range(accounts)]
    for number, account in enumerate(made):
        await relay.move(account, "10", "2026-09-15T00:00Z")
        await relay.use(account, "2026-10-02T12:00Z", "2026-10-30T12:00Z", tokens=(100 + number, number))
    return [*made, await relay.account()]


async def outcomes(relay: Relay) -> Counter[str]:
    summary = await close_month(relay.pool, relay.settings, "2026-10")
    return Counter(result.outcome for result in summary.results)


async def sequences(relay: Relay) -> list[int]:
    async with relay.pool.connection() as conn:
        rows = await (await conn.execute("SELECT sequence FROM invoices ORDER BY sequence")).fetchall()
    return [row["sequence"] for row in rows]


async def proved(relay: Relay) -> None:
    """The book is without a difference, every invoice's numbers without a gap."""
    async with relay.pool.connection() as conn:
        assert await differences(conn) == []


async def test_every_account_is_closed_and_progress_is_told(own_relay: Relay) -> None:
    accounts = await a_book(own_relay)
    told: list[tuple[Result, int]] = []
    summary = await close_month(own_relay.pool, own_relay.settings, "2026-10", progress=lambda *news: told.append(news))
    assert [result.account for result in summary.results] == sorted(accounts)
    assert (summary.count("invoiced"), summary.count("empty")) == (20, 1)
    assert sorted(result.account for result, _ in told) == sorted(accounts)
    assert {total for _, total in told} == {21}
    assert await sequences(own_relay) == list(range(1, 21))
    again = await close_month(own_relay.pool, own_relay.settings, "2026-10")
    assert (again.count("already_closed"), again.total, again.residue) == (21, summary.total, summary.residue)
    await proved(own_relay)


async def test_eight_closers_at_once_make_each_invoice_once(own_relay: Relay) -> None:
    await a_book(own_relay)
    counted = sum(await asyncio.gather(*(outcomes(own_relay) for _ in range(8))), Counter())
    assert counted == {"invoiced": 20, "empty": 1, "already_closed": 7 * 21}
    assert await sequences(own_relay) == list(range(1, 21))
    await proved(own_relay)


async def test_usage_that_arrives_meanwhile_is_billed_once_now_or_next(own_relay: Relay) -> None:
    accounts = (await a_book(own_relay, accounts=6))[:-1]

    async def traffic() -> None:
        for _ in range(15):
            for account in accounts:
                await own_relay.use(account, "2026-10-31T09:59Z", tokens=(7, 3))

    _, counted = await asyncio.gather(traffic(), outcomes(own_relay))
    assert counted["invoiced"] == 6
    await proved(own_relay)
    async with own_relay.pool.connection() as conn:
        rows = await conn.execute(
            """
            SELECT (SELECT sum(requests) FROM usage_rollups WHERE account_id = account.id) AS requests,
                   (SELECT count(*) FROM charges WHERE account_id = account.id) AS charged
            FROM unnest(%s::text[]) AS account(id)
            """,
            [accounts],
        )
        assert {(row["requests"], row["charged"]) for row in await rows.fetchall()} == {(17, 17)}


async def fail_after(monkeypatch: pytest.MonkeyPatch, step: str, times: int) -> None:
    """Let a step of closing fail the first `times` times, after it has done its work."""
    module, name = {"residue": (close, "post"), "invoice": (store, "finalize")}[step]
    real, left = getattr(module, name), [times]

    async def failing(*arguments: object, **named: object) -> object:
        answer = await real(*arguments, **named)
        if left[0]:
            left[0] -= 1
            raise RuntimeError(f"stopped after {step}")
        return answer

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize("step", ["residue", "invoice"])
async def test_one_that_fails_stops_no_other_and_leaves_no_gap(
    own_relay: Relay, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await a_book(own_relay)
    await fail_after(monkeypatch, step, times=3)
    summary = await close_month(own_relay.pool, own_relay.settings, "2026-10")
    failed = [result for result in summary.results if result.outcome == "failed"]
    assert {result.detail for result in failed} == {f"RuntimeError: stopped after {step}"}
    assert (len(failed), summary.count("invoiced")) == (3, 17)
    await proved(own_relay)
    assert await outcomes(own_relay) == {"invoiced": 3, "already_closed": 18}
    assert await sequences(own_relay) == list(range(1, 21))
    await proved(own_relay)


@pytest.mark.parametrize("step", ["usage", "finalize"])
async def test_a_closer_whose_connections_are_killed_leaves_nothing_half_done(
    own_relay: Relay, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """As after kill -9: the database sees the connections end in the middle of their transactions."""
    await a_book(own_relay)
    real, victims = getattr(store, step), 3

    async def killing(conn: Connection, *arguments: object, **named: object) -> object:
        nonlocal victims
        answer = await real(conn, *arguments, **named)
        if victims:
            victims -= 1
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return answer

    monkeypatch.setattr(store, step, killing)
    counted = await outcomes(own_relay)
    assert (counted["failed"], counted["invoiced"]) == (3, 17)
    await proved(own_relay)
    assert await outcomes(own_relay) == {"invoiced": 3, "already_closed": 18}
    assert await sequences(own_relay) == list(range(1, 21))
    await proved(own_relay)


async def test_a_lost_database_stops_the_work(own_relay: Relay) -> None:
    settings = own_relay.settings
    async with await open_pool(settings, "host=/nowhere connect_timeout=2") as pool:
        pool.timeout = 0.2
        with pytest.raises(PoolTimeout):
            await close_month(pool, settings, "2026-10")


async def test_a_cancelled_close_is_resumed(own_relay: Relay) -> None:
    await a_book(own_relay)
    stopping = asyncio.Event()
    running = asyncio.create_task(
        close_month(own_relay.pool, own_relay.settings, "2026-10", progress=lambda *_: stopping.set())
    )
    await stopping.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await proved(own_relay)
    counted = await outcomes(own_relay)
    assert counted["invoiced"] + counted["already_closed"] + counted["empty"] == 21
    assert await sequences(own_relay) == list(range(1, 21))
    await proved(own_relay)
