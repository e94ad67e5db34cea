"""Anchor days, changes of calendar, closed accounts and what the service closes by itself."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from billing import chores
from billing.invoices import account as accounts
from billing.invoices import close
from billing.invoices.close import Result
from billing.invoices.periods import Period
from pricing import money
from tests.invoices.conftest import Relay, differences, instant

pytestmark = pytest.mark.anyio

usd = money.parse


async def change(relay: Relay, account: str, **values: object) -> None:
    """Write columns of the account, which no request may set to a past instant."""
    async with relay.pool.connection() as conn:
        for name, value in values.items():
            await conn.execute(f"UPDATE accounts SET {name} = %s WHERE id = %s", [value, account])


async def set_calendar(relay: Relay, account: str, set_at: str, zone: str, anchor_day: int = 1) -> None:
    async with relay.pool.connection() as conn:
        await conn.execute(
            "INSERT INTO account_calendars VALUES (%s, %s, %s, %s)", [account, instant(set_at), zone, anchor_day]
        )


async def close_due(relay: Relay, account: str, hours: int = 24, most: int = 100) -> list[Result]:
    """What the service would do with this account by itself, up to so many periods."""
    settings = msgspec.structs.replace(relay.settings, close_after_hours=hours)
    done: list[Result] = []
    while len(done) < most:
        async with relay.pool.connection() as conn, conn.transaction():
            result = await close.close_due(conn, settings, account, close.named_rates)
        if result is None:
            break
        done.append(result)
    return done


async def test_a_period_begins_on_the_accounts_own_day(relay: Relay) -> None:
    account = await relay.account("America/New_York")
    await change(relay, account, anchor_day=31)
    await relay.use(account, "2026-02-28T05:00Z", "2026-03-31T03:59:59Z", "2026-03-31T04:00Z")
    invoice = await relay.invoiced("2026-03", account)
    assert invoice.period == Period(instant("2026-02-28T05:00Z"), instant("2026-03-31T04:00Z"))
    assert {line.events for line in invoice.lines} == {2}
    assert invoice.anchor_day == 31
    following = await relay.invoiced("2026-04", account)
    assert following.period == Period(invoice.period.end, instant("2026-04-30T04:00Z"))


async def test_another_anchor_day_is_followed_from_the_next_period_on(relay: Relay, client: httpx.AsyncClient) -> None:
    account = await relay.account("Asia/Shanghai")
    changed = await client.patch(f"/v1/accounts/{account}", json={"anchor_day": 15, "time_zone": "America/New_York"})
    assert (changed.json()["anchor_day"], changed.json()["time_zone"]) == (15, "America/New_York")
    async with relay.pool.connection() as conn:
        found = await accounts.get(conn, account)
    assert found is not None
    periods = found.open_periods()
    running, following = next(periods), next(periods)
    shanghai = found.calendars.settings[0][1]
    assert running == shanghai.containing(found.now)
    assert following.start == running.end
    assert following.end.astimezone(found.calendars.settings[1][1].zone).strftime("%d %H:%M") == "15 00:00"
    unknown = await client.patch(f"/v1/accounts/{account}", json={"time_zone": "Europe/Nowhere"})
    assert unknown.json()["code"] == "unknown_time_zone"


async def test_two_periods_of_a_month_are_closed_together(relay: Relay) -> None:
    account = await relay.account()
    await set_calendar(relay, account, "2026-01-01T00:00Z", "UTC", 15)
    await set_calendar(relay, account, "2026-08-20T00:00Z", "UTC", 1)
    await relay.use(account, "2026-08-16T00:00Z", "2026-09-16T00:00Z")
    summary = await close.close_month(relay.pool, relay.settings, "2026-09", account)
    first, second = [await relay.invoice(result) for result in summary.results]
    assert first.period == Period(instant("2026-08-15T00:00Z"), instant("2026-09-15T00:00Z"))
    assert second.period == Period(instant("2026-09-15T00:00Z"), instant("2026-10-01T00:00Z"))
    again = await close.close_month(relay.pool, relay.settings, "2026-09", account)
    assert [(result.outcome, result.number) for result in again.results] == [
        ("already_closed", first.number),
        ("already_closed", second.number),
    ]


async def test_a_closed_accounts_last_period_ends_when_it_was_closed(relay: Relay) -> None:
    account = await relay.account()
    await change(relay, account, created_at=instant("2026-10-01T00:00Z"), closed_at=instant("2026-10-09T10:11:12Z"))
    await relay.use(account, "2026-10-09T10:11Z")
    [last] = await close_due(relay, account, hours=0, most=1)
    ended = (await relay.invoice(last)).period
    assert ended == Period(instant("2026-10-01T00:00Z"), instant("2026-10-09T10:15Z"))
    await relay.use(account, "2026-10-09T10:10Z")  # came late
    after = await relay.invoiced("2026-10", account)
    assert after.period == Period(ended.end, instant("2026-11-01T00:00Z"))
    assert {line.correction_of for line in after.lines} == {ended}


async def test_the_service_closes_what_is_over_in_order(relay: Relay) -> None:
    account = await relay.account("Pacific/Apia")
    await relay.use(account, "2026-08-15T00:00Z", "2026-10-15T00:00Z")
    assert await close_due(relay, account) == []  # it is new: its history may be coming in
    await change(relay, account, created_at=instant("2026-09-01T00:00Z"))
    results = await close_due(relay, account)
    assert [result.outcome for result in results] == ["invoiced", "empty", "invoiced"]
    async with relay.pool.connection() as conn:
        found = await accounts.get(conn, account)
        assert found is not None
        assert found.period_ends_at == found.calendars.period(found.open_from).end
        assert found.period_ends_at > datetime.now(UTC) - timedelta(hours=24)
    assert await close_due(relay, account) == []


async def test_a_history_that_comes_later_is_not_kept_waiting_for_the_month_that_runs(relay: Relay) -> None:
    account = await relay.account()
    await change(relay, account, created_at=datetime.now(UTC) - timedelta(days=2))
    assert await close_due(relay, account, hours=24 * 31) == []
    async with relay.pool.connection() as conn:
        found = await accounts.get(conn, account)
        assert found is not None
        assert found.period_ends_at is not None
        assert found.period_ends_at <= found.now + timedelta(days=1)
    await relay.use(account, "2026-09-15T00:00Z")
    assert (await close_due(relay, account))[0].outcome == "invoiced"


async def test_late_usage_is_waited_for(relay: Relay) -> None:
    account = await relay.account()
    await change(relay, account, created_at=instant("2026-09-01T00:00Z"))
    await relay.use(account, "2026-10-15T00:00Z")
    since_october = int((datetime.now(UTC) - instant("2026-11-01T00:00Z")).total_seconds() // 3600)
    assert [result.outcome for result in await close_due(relay, account, since_october + 1)] == ["empty"]
    assert [result.outcome for result in await close_due(relay, account, since_october)] == ["invoiced"]


async def test_all_that_is_due_is_closed_by_the_chore_in_any_number_of_processes(
    own_relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    relay = own_relay
    made = [await relay.account(zone) for zone in ("UTC", "Asia/Shanghai", "America/New_York") * 3]
    for account in made:
        await change(relay, account, created_at=instant("2026-08-01T00:00Z"))
        await relay.use(account, "2026-09-15T00:00Z", "2026-10-15T00:00Z")
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE balances SET posted = posted + 1 WHERE account_id = %s", [made[0]])
    await asyncio.gather(*(chores.close_due(relay.pool, relay.settings) for _ in range(3)))
    assert f"account {made[0]} is parked" in caplog.text
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE balances SET posted = posted - 1 WHERE account_id = %s", [made[0]])
    await chores.close_due(relay.pool, relay.settings)
    async with relay.pool.connection() as conn:
        cursor = await conn.execute("SELECT count(*) AS made, max(sequence) AS last FROM invoices")
        assert await cursor.fetchone() == {"made": 18, "last": 18}
        assert await differences(conn) == []


async def test_a_running_month_is_closed_only_for_periods_that_are_over(relay: Relay) -> None:
    """`billing close` of the month that runs: the last period of a closed account is over, the others are not."""
    now = datetime.now(UTC)
    account = await relay.account()
    await relay.use(account, now.isoformat())
    label = f"{now:%Y-%m}"
    with pytest.raises(close.Unprocessable, match="is not over yet"):
        await relay.close(label, account)
    if now - now.replace(day=1, hour=0, minute=0) > timedelta(hours=1):
        await change(relay, account, closed_at=now - timedelta(minutes=30))
        assert (await relay.close(label, account)).outcome in ("invoiced", "empty")
