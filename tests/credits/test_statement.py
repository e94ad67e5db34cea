"""What a month's statement says of credits: given, expired, taken back; it always closes with the ledger."""

from datetime import datetime

import pytest

from billing import proof
from billing.invoices.close import close_month
from billing.invoices.invoice import Statement
from billing.invoices.store import find, statement
from billing.ledger.movements import Movement, Refund, book, refund
from tests.credits.conftest import DAY, UNIT, Customer, from_now

pytestmark = pytest.mark.anyio

CENT = 2000  # units to three cents: so nothing is rounded
OCTOBER = "2026-10-{:02}T12:00:00Z"


def on(day: int) -> datetime:
    return datetime.fromisoformat(OCTOBER.format(day))


async def closed(customer: Customer, label: str) -> Statement:
    summary = await close_month(customer.pool, customer.intake.settings, label, customer.id)
    assert [result.outcome for result in summary.results] == ["invoiced"]
    async with customer.pool.connection() as conn:
        invoice = await find(conn, summary.results[0].invoice or "", customer.id)
        assert await proof.differences(conn) == []
    assert invoice is not None
    return invoice.statement


async def of_span(customer: Customer, start: datetime, end: datetime) -> Statement:
    async with customer.pool.connection() as conn:
        return await statement(conn, customer.id, start, end)


async def test_a_statement_tells_what_credits_did_and_closes_with_the_ledger(customer: Customer) -> None:
    top_up = Movement(account_id=customer.id, kind="top_up", amount=9 * CENT * UNIT, effective_at=on(1), actor="x")
    number = (await customer.move(book, top_up)).transaction
    asked = Refund(account_id=customer.id, transaction=number, amount=CENT * UNIT, reason="x", actor="x")
    await customer.give(5 * CENT, reference="used", effective_at=on(2))
    await customer.give(3 * CENT, reference="ends", effective_at=on(2), expires_at=from_now(1), priority=900)
    voided = await customer.give(2 * CENT, reference="voided", effective_at=on(2), priority=900, category="paid")
    await customer.use(2 * CENT, time=OCTOBER.format(5))
    async with customer.pool.connection() as conn:  # that it ends in the past is made: nobody has swept yet
        await conn.execute("UPDATE grants SET expires_at = %s WHERE reference = 'ends'", [on(20)])
        await conn.execute("UPDATE balances SET credits_due_at = %s", [on(20)])

    october = await closed(customer, "2026-10")
    assert october == Statement(
        opening=0,
        top_ups=9 * CENT * UNIT,
        grants=10 * CENT * UNIT,
        usage=2 * CENT * UNIT,
        expired=3 * CENT * UNIT,
        adjustments=0,
    )
    assert await of_span(customer, on(1), on(1) + 30 * DAY) == october
    await customer.void(voided.id)
    await customer.move(refund, asked)
    assert await customer.holds() == (11 * CENT, 3 * CENT)
    assert october.closing == 14 * CENT * UNIT

    since = await of_span(customer, on(1) + 30 * DAY, from_now(1))
    assert (since.opening, since.closing) == (october.closing, 11 * CENT * UNIT)
    assert (since.top_ups, since.grants) == (-CENT * UNIT, -2 * CENT * UNIT)
    halves = [await of_span(customer, on(1), on(10)), await of_span(customer, on(10), on(1) + 30 * DAY)]
    assert halves[0].closing == halves[1].opening
    assert (halves[0].usage, halves[1].expired) == (october.usage, october.expired)
