"""The proof names every difference: each test breaks one thing with the guards off."""

from decimal import Decimal

import pytest

from billing.credits.giving import give
from billing.credits.grants import NewGrant
from billing.invoices.tax_store import add_rate, assign
from billing.invoices.taxes import Rate
from tests.invoices.conftest import Relay, differences, instant

pytestmark = pytest.mark.anyio

BREAKS = {
    "a line's amount": (
        "UPDATE invoice_lines SET amount = amount + 0.01 WHERE position = 1",
        ["has other amount", "is not 0.03297 rounded", "its lines sum to 0.05307 and 0.06"],
    ),
    "a line's quantity": (
        "UPDATE invoice_lines SET quantity = quantity + 1 WHERE position = 2",
        ["has other quantity"],
    ),
    "a line's evidence": ("UPDATE invoice_lines SET evidence = 'x' WHERE position = 1", ["has other evidence"]),
    "a line missing": (
        "DELETE FROM invoice_lines WHERE position = 1",
        ["line gpt-4 input: is missing", "its lines sum to 0.0201 and 0.02"],
    ),
    "a line too many": (
        "UPDATE invoice_lines SET model = 'gpt-9' WHERE position = 1",
        ["line gpt-9 input: nothing was used", "line gpt-4 input: is missing"],
    ),
    "usage moved": (
        "UPDATE usage_rollups SET billed = '2026-08-01Z' WHERE slot < '2026-10-05Z'",
        ["the usage of its period has other", "is in closed time but on no invoice"],
    ),
    "usage posted": (
        "UPDATE postings SET amount = amount + 1 WHERE kind = 'usage' AND effective_at < '2026-11-01Z'",
        ["0.05307 of usage is invoiced, but 2.05307 was posted"],
    ),
    "the statement": (
        """UPDATE invoices SET statement = statement || '{"closing": "7"}'""",
        ["its statement does not add up"],
    ),
    "the statement's usage": (
        """UPDATE invoices SET statement = statement || '{"usage": "0.02", "closing": "4.98"}'""",
        ["its statement says 0.02 of usage, not 0.05"],
    ),
    "the opening": (
        """UPDATE invoices SET statement = statement || '{"opening": "1", "closing": "5.97"}'""",
        ["its statement opens with 1, but the ledger with 0"],
    ),
    "a top-up": (
        "UPDATE postings SET amount = 4 WHERE kind = 'top_up'",
        ["its statement says 5 of top-ups, not 4"],
    ),
    "the residue gone": (
        "DELETE FROM postings WHERE kind = 'rounding'",
        ["its residue -0.00307 is not posted"],
    ),
    "a residue too many": (
        "UPDATE postings SET kind = 'rounding' WHERE kind = 'top_up'",
        ["rounds 5 for no invoice", "says 5 of top-ups, not 0"],
    ),
    "a gap": (
        "UPDATE invoices SET sequence = 2, number = left(number, -1) || '2'",
        ["1 documents have numbers from 2 to 2, and the last one taken is 1"],
    ),
    "a lost number": ("UPDATE invoice_series SET last_sequence = 3", ["from 1 to 1, and the last one taken is 3"]),
    "a wrong number": ("UPDATE invoices SET sequence = 2", ["its number is not that of", "have numbers from 2 to 2"]),
    "a period left open": ("UPDATE balances SET open_from = NULL", ["is not closed"]),
}


@pytest.mark.parametrize("what", BREAKS)
async def test_what_is_broken_is_named(own_relay: Relay, what: str) -> None:
    account = await own_relay.account()
    await own_relay.move(account, "5", "2026-10-01T00:00Z")
    await own_relay.use(account, "2026-10-02T00:00Z", "2026-10-09T00:00Z", tokens=(1099, 335))
    await own_relay.invoiced("2026-10", account)
    change, sentences = BREAKS[what]
    async with own_relay.pool.connection() as conn:
        assert await differences(conn) == []
        await conn.execute("SET session_replication_role = replica")  # no triggers: nothing guards the tables now
        await conn.execute(change)
        found = await differences(conn)
    for sentence in sentences:
        assert any(sentence in difference for difference in found), found


TAXED = {
    "a tax's amount": (
        """UPDATE invoices SET taxes = jsonb_set(taxes, '{0,amount}', '"9"')""",
        ["Tax of 9 on 0.06 should be 0.01", "says taxes of 0.01 and 0 within, but its rates come to 9 and 0"],
    ),
    "the tax": ("UPDATE invoices SET tax = 0, total = subtotal", ["its rates come to 0.01", "says 0.01 of tax, not 0"]),
    "the tax's posting gone": ("DELETE FROM postings WHERE kind = 'tax'", ["its tax 0.01 is not posted"]),
    "a tax too many": (
        "UPDATE invoices SET tax_transaction = NULL",
        ["of 0.01 is the tax of no invoice", "its tax 0.01 is not posted"],
    ),
    "the credit that paid": ("UPDATE invoices SET credits_used = 0", ["says 0 of credit paid", "but 0.02 was burnt"]),
    "the due date": ("UPDATE invoices SET due_date = NULL", ["is due, by no day"]),
    "the period corrected": (
        "UPDATE invoice_lines SET correction_start = correction_start - interval '1 day'",
        ["line gpt-4 input: nothing was used", "line gpt-4 input: is missing"],
    ),
    "a correction as if it were not": (
        "UPDATE invoice_lines SET correction_start = NULL, correction_end = NULL",
        ["line gpt-4 input: is missing"],
    ),
    "the anchor day": ("UPDATE invoices SET anchor_day = 2", ["ends at 2026-11-01 00:00:00+00:00, by its calendar at"]),
    "payments": (
        """UPDATE invoices SET statement = statement || '{"payments": "1"}'""",
        ["says 1 of payments, not 0", "does not add up"],
    ),
}


@pytest.mark.parametrize("what", TAXED)
async def test_what_is_broken_of_taxes_credits_and_corrections_is_named(own_relay: Relay, what: str) -> None:
    account = await own_relay.account()
    async with own_relay.pool.connection() as conn:
        await add_rate(conn, Rate(id="t", name="Tax", percent=Decimal(19)))
        await assign(conn, account, ["t"], instant("2026-10-15T00:00Z"))
        await own_relay.close("2026-09", account)
        grant = NewGrant(
            account_id=account, category="paid", amount=20 * 10**9, effective_at=instant("2026-10-01T00:00Z"), actor="t"
        )
        await give(conn, grant)
    await own_relay.use(account, "2026-10-02T00:00Z", "2026-09-09T00:00Z", tokens=(1099, 335))
    invoice = await own_relay.invoiced("2026-10", account)
    assert [line.correction_of is None for line in invoice.lines] == [True, True, False, False]
    change, sentences = TAXED[what]
    async with own_relay.pool.connection() as conn:
        assert await differences(conn) == []
        await conn.execute("SET session_replication_role = replica")
        await conn.execute(change)
        found = await differences(conn)
    for sentence in sentences:
        assert any(sentence in difference for difference in found), found
