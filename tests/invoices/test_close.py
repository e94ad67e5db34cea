"""Closing months, one account at a time."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import psycopg
import pytest

from billing.errors import Invalid, NotFound, Unprocessable
from billing.invoices.close import close_account
from billing.invoices.periods import Period
from pricing import money
from tests.invoices.conftest import Relay, instant

pytestmark = pytest.mark.anyio

usd = money.parse


async def test_a_month_with_its_statement(relay: Relay) -> None:
    account = await relay.account()
    await relay.move(account, "100", "2026-09-03T00:00Z")
    await relay.move(account, "20", "2026-10-01T00:00Z")
    await relay.move(account, "-1.5", "2026-10-31T23:59:59Z", kind="adjustment")
    await relay.move(account, "7", "2026-11-01T00:00Z")
    await relay.use(account, "2026-10-01T00:00Z", "2026-10-31T23:59:59.999Z", tokens=(1000, 100))
    await relay.use(account, "2026-11-01T00:00Z", tokens=(1_000_000, 0))

    invoice = await relay.invoiced("2026-10", account)
    assert [(line.factors.dimension, line.quantity, line.events) for line in invoice.lines] == [
        ("input", 2000, 2),
        ("output", 200, 2),
    ]
    exact = 2000 * Fraction("0.00003") / 2 + 200 * Fraction("0.00006") / 2
    assert invoice.amount_exact == exact * money.PICOS_PER_DOLLAR
    assert invoice.subtotal == invoice.total == usd("0.03") + usd("0.01")  # 0.030 and 0.006
    assert invoice.residue == usd("0.004")
    assert invoice.statement.amounts() == {
        "opening": "100",
        "top_ups": "20",
        "payments": "0",
        "grants": "0",
        "credit_notes": "0",
        "usage": "0.04",
        "tax": "0",
        "expired": "0",
        "adjustments": "-1.5",
        "closing": "118.46",
    }
    november = usd("7") - 1_000_000 * usd("0.000015")
    assert await relay.posted(account) == invoice.statement.closing + november


async def test_the_residue_is_the_last_posting_of_the_period(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-10T10:10Z", tokens=(1, 0))
    invoice = await relay.invoiced("2026-10", account)
    assert invoice.residue == -usd("0.000015")
    async with relay.pool.connection() as conn:
        rows = await conn.execute("SELECT * FROM postings WHERE account_id = %s AND kind = 'rounding'", [account])
        [row] = await rows.fetchall()
    assert (row["source"], row["destination"], row["amount"]) == ("rounding", "wallet", Decimal("0.000015"))
    assert (row["transaction"], row["reference"]) == (invoice.transaction, invoice.id)
    assert row["effective_at"] == instant("2026-10-31T23:59:59.999999Z")
    assert invoice.statement.closing == await relay.posted(account) == 0


async def test_months_follow_each_other_and_nothing_is_invoiced_twice(relay: Relay) -> None:
    account = await relay.account()
    await relay.move(account, "5", "2026-08-01T00:00Z")
    await relay.use(account, "2026-08-15T12:00Z", "2026-10-15T12:00Z", model="gpt-3.5-turbo", tokens=(12345, 678))
    august = await relay.invoiced("2026-08", account)
    await relay.move(account, "3", "2026-09-30T00:00Z")
    assert (await relay.close("2026-09", account)).outcome == "empty"
    october = await relay.invoiced("2026-10", account)
    assert october.statement.opening == august.statement.closing + usd("3")
    assert october.statement.closing == await relay.posted(account)
    async with relay.pool.connection() as conn:
        row = await (
            await conn.execute("SELECT sum(amount) AS amount FROM charges WHERE account_id = %s", [account])
        ).fetchone()
    assert august.amount_exact + october.amount_exact == row["amount"] * money.PICOS_PER_DOLLAR


async def test_closing_again_answers_with_the_same_invoice(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z")
    first = await relay.close("2026-10", account)
    before = await relay.invoice(first)
    again = await relay.close("2026-10", account)
    assert (again.outcome, again.invoice, again.number) == ("already_closed", first.invoice, first.number)
    assert await relay.invoice(again) == before
    assert (await relay.close("2026-09", account)).outcome == "already_closed"


async def test_an_empty_month_gets_no_number_and_is_closed(relay: Relay) -> None:
    account = await relay.account()
    await relay.move(account, "5", "2026-09-02T00:00Z")
    result = await relay.close("2026-09", account)
    assert (result.outcome, result.invoice, result.number) == ("empty", None, None)
    await relay.use(account, "2026-09-30T23:00Z")
    october = await relay.invoiced("2026-10", account)
    assert october.statement.opening == usd("5")
    assert october.lines[0].first_at == instant("2026-09-30T23:00Z")


async def test_a_month_that_still_runs_for_this_account_is_refused(relay: Relay) -> None:
    account = await relay.account("Pacific/Pago_Pago")
    this_month = f"{datetime.now(ZoneInfo('Pacific/Pago_Pago')):%Y-%m}"
    async with relay.pool.connection() as conn, conn.transaction():
        [refused] = await close_account(conn, relay.settings, this_month, account)
    assert refused.outcome == "refused"
    assert f"The month {this_month} of Pacific/Pago_Pago is not over before" in refused.detail


async def test_late_usage_is_a_correction_on_the_next_invoice_with_its_own_time(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-08-31T23:50Z")
    august = await relay.invoiced("2026-08", account)
    await relay.use(account, "2026-08-31T23:51Z", "2026-09-02T00:00Z", "2026-06-02T00:00Z")
    september = await relay.invoiced("2026-09", account)
    assert await relay.invoice(await relay.close("2026-08", account)) == august
    june = Period(instant("2026-06-01T00:00Z"), instant("2026-07-01T00:00Z"))  # that no invoice was made for
    assert [(line.correction_of, line.factors.dimension, line.first_at) for line in september.lines] == [
        *((None, dimension, instant("2026-09-02T00:00Z")) for dimension in ("input", "output")),
        *((june, dimension, instant("2026-06-02T00:00Z")) for dimension in ("input", "output")),
        *((august.period, dimension, instant("2026-08-31T23:51Z")) for dimension in ("input", "output")),
    ]
    assert {line.events for line in september.lines} == {1}


async def test_an_earlier_month_with_usage_is_closed_first(relay: Relay) -> None:
    account = await relay.account("Asia/Shanghai")
    await relay.use(account, "2026-08-31T16:00Z", "2026-10-05T00:00Z")  # the first is September in Shanghai
    refused = await relay.close("2026-10", account)
    assert refused.outcome == "refused"
    assert "close 2026-09 first" in refused.detail
    assert (await relay.close("2026-09", account)).outcome == "invoiced"
    assert (await relay.close("2026-10", account)).outcome == "invoiced"


@pytest.mark.parametrize(
    ("zone", "label", "start", "end"),
    [
        ("Asia/Shanghai", "2026-10", "2026-09-30T16:00Z", "2026-10-31T16:00Z"),
        ("America/New_York", "2026-03", "2026-03-01T05:00Z", "2026-04-01T04:00Z"),
        ("America/New_York", "2025-11", "2025-11-01T04:00Z", "2025-12-01T05:00Z"),
        ("Pacific/Apia", "2026-10", "2026-09-30T11:00Z", "2026-10-31T11:00Z"),
        ("Asia/Kolkata", "2026-10", "2026-09-30T18:30Z", "2026-10-31T18:30Z"),
    ],
)
async def test_a_month_is_that_of_the_customers_clock(
    relay: Relay, zone: str, label: str, start: str, end: str
) -> None:
    account = await relay.account(zone)
    first, after = instant(start), instant(end)
    last = after - timedelta(milliseconds=1)
    await relay.use(account, first.isoformat(), last.isoformat(), after.isoformat())
    invoice = await relay.invoiced(label, account)
    assert invoice.period == Period(first, after)
    assert {(line.first_at, line.last_at, line.events) for line in invoice.lines} == {(first, last, 2)}


async def test_a_statement_that_does_not_meet_the_ledger_is_parked(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z", tokens=(1000, 0))
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE balances SET posted = posted + 0.25 WHERE account_id = %s", [account])
    parked = await relay.close("2026-10", account)
    assert (parked.outcome, parked.invoice) == ("parked", None)
    assert "closes at -0.02 but the ledger at 0.23, a difference of -0.25" in parked.detail
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE balances SET posted = posted - 0.25 WHERE account_id = %s", [account])
    assert (await relay.close("2026-10", account)).outcome == "invoiced"


async def test_money_moved_in_closed_time_parks_the_next_month(relay: Relay) -> None:
    """The ledger refuses it; had it not, the chain of statements would show it."""
    account = await relay.account()
    await relay.use(account, "2026-08-15T12:00Z", "2026-09-15T12:00Z")
    await relay.invoiced("2026-08", account)
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE balances SET open_from = NULL WHERE account_id = %s", [account])
        await relay.move(account, "1", "2026-08-20T00:00Z")
        await conn.execute("UPDATE balances SET open_from = '2026-09-01Z' WHERE account_id = %s", [account])
    assert (await relay.close("2026-09", account)).outcome == "parked"


async def test_what_waits_for_review_is_not_invoiced(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z", model="no-such-model")
    assert (await relay.close("2026-10", account)).outcome == "empty"


async def test_a_month_that_is_over_nowhere_cannot_be_closed(relay: Relay) -> None:
    with pytest.raises(Unprocessable, match="not over yet, in no time zone"):
        await relay.close("2999-12", await relay.account())


async def test_what_is_no_month_or_no_account_is_refused(relay: Relay) -> None:
    with pytest.raises(Invalid, match="is not a month"):
        await relay.close("October", await relay.account())
    with pytest.raises(NotFound, match="There is no account acct_nobody"):
        await relay.close("2026-10", "acct_nobody")


async def test_after_a_change_of_zone_the_next_period_begins_where_the_last_one_ended(relay: Relay) -> None:
    account = await relay.account("America/New_York")
    await relay.use(account, "2026-09-30T12:00Z", "2026-10-15T12:00Z")
    september = await relay.invoiced("2026-09", account)
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE accounts SET time_zone = 'Asia/Shanghai' WHERE id = %s", [account])
    october = await relay.invoiced("2026-10", account)
    assert october.period == Period(september.period.end, instant("2026-10-31T16:00Z"))


async def test_the_database_refuses_to_change_an_invoice(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z")
    invoice = await relay.invoiced("2026-10", account)
    for statement in (
        "UPDATE invoices SET total = total",
        "DELETE FROM invoices",
        "UPDATE invoice_lines SET amount = 0",
        "DELETE FROM invoice_lines",
        "TRUNCATE invoices CASCADE",
    ):
        async with relay.pool.connection() as conn:
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
                await conn.execute(statement)
    assert await relay.invoice(await relay.close("2026-10", account)) == invoice


async def test_an_invoice_keeps_the_names_of_its_day(relay: Relay) -> None:
    account = await relay.account()
    await relay.use(account, "2026-10-15T12:00Z")
    result = await relay.close("2026-10", account)
    async with relay.pool.connection() as conn:
        await conn.execute("UPDATE accounts SET name = 'Grace' WHERE id = %s", [account])
    invoice = await relay.invoice(result)
    assert (invoice.customer.name, invoice.issuer.name) == ("Ada", relay.settings.issuer_name)
