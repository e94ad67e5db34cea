"""The proof names what is wrong with credit notes, replacements and payments: each test tampers with one thing."""

import pytest

from billing import proof
from billing.db.pool import Connection
from billing.invoices.invoice import Invoice, Issuer
from billing.invoices.settlement.note import CENT, Wanted
from billing.invoices.settlement.notes import Credit, credit
from billing.invoices.settlement.payments import Pay, pay, reverse
from billing.invoices.settlement.replacing import Replacement, replace
from billing.ledger.movements import Movement, book
from pricing import money
from tests.invoices.conftest import Relay
from tests.invoices.settlement.conftest import taxed

pytestmark = pytest.mark.anyio

LINE = "UPDATE credit_note_lines SET {} WHERE note_id = (SELECT id FROM credit_notes WHERE sequence = 1)"
NOTE = "UPDATE credit_notes SET {} WHERE sequence = 1"
PAYMENT = "UPDATE payments SET {} WHERE reference = 'transfer'"
REVERSAL = "UPDATE payments SET {} WHERE reference = 'bounced' AND reverses IS NOT NULL"
REPLACEMENT = "UPDATE invoices SET {} WHERE replaces IS NOT NULL"
POSTING = "UPDATE postings SET {} WHERE kind = '{}'"

TAMPERED = {
    "a line's amount": (LINE.format("amount = amount + 1"), "but its lines come to"),
    "a line's amount, too much": (LINE.format("amount = 33.01"), "are credited, of 32.97"),
    "a line's quantity": (LINE.format("quantity = 9e9::bigint"), "a quantity of 9000000000 are credited"),
    "a line's position": (LINE.format("invoice_line = 9") + " AND invoice_line = 1", "line 9: "),
    "a line gone": (
        LINE.replace("UPDATE credit_note_lines SET {}", "DELETE FROM credit_note_lines"),
        "lines come to 0",
    ),
    "a note's subtotal": (NOTE.format("subtotal = subtotal - 1, total = total - 1"), "but its lines come to"),
    "a note's tax": (NOTE.format("tax = tax - 1, total = total - 1"), "its rates to"),
    "a note's rates": (
        NOTE.format("tax = 0, total = subtotal, taxes = jsonb_set(taxes, '{0,amount}', '\"0\"')"),
        "is given back, which should be",
    ),
    "a note's number": (NOTE.format("number = 'CN-1'"), "its number is not that of"),
    "a note's sequence": (NOTE.format("sequence = 9"), "and the last one taken is"),
    "a note's customer": (NOTE.format("customer = '{}'"), "are not those of its invoice"),
    "a note's invoice": (NOTE.format("invoice_id = (SELECT max(id) FROM invoices)"), "issuer"),
    "a note's transaction": (NOTE.format("transaction = NULL"), "out of revenue is not posted"),
    "a note's tax transaction": (NOTE.format("tax_transaction = NULL"), "out of taxes is not posted"),
    "a note's destination": (NOTE.format("settle = 'refund'"), "is not posted as it says"),
    "a note for a replacement": (NOTE.format("settle = 'replacement'"), "credit notes of"),
    "a note gone": (
        "DELETE FROM credit_note_lines; DELETE FROM credit_notes WHERE sequence = 1",
        "is that of no credit note",
    ),
    "a note's posting": (POSTING.format("amount = amount + 1", "credit_note"), "is not posted as it says"),
    "a note's posting, its book": (POSTING.format("source = 'rounding'", "credit_note"), "books credit_note from"),
    "a posting of no note": (POSTING.format("kind = 'credit_note'", "top_up"), "is that of no credit note"),
    "a replacement's total": (
        REPLACEMENT.format("subtotal = subtotal + 1, amount_exact = amount_exact + 1, total = total + 1"),
        "does not say what the one said",
    ),
    "a replacement's line": (
        "UPDATE invoice_lines SET entry = 'x' WHERE invoice_id = (SELECT id FROM invoices WHERE replaces IS NOT NULL)",
        "does not say what the one said",
    ),
    "a replacement of nothing": (REPLACEMENT.format("replaces = NULL"), "nothing stands for it"),
    "a payment's amount": (PAYMENT.format("amount = amount + 1"), "came in and was kept"),
    "a payment's transaction": (PAYMENT.format("transaction = transaction + 90"), "came in and was kept (nothing)"),
    "a payment's reference": (PAYMENT.format("reference = 'x'"), "came in and was kept (payment)"),
    "a payment gone": (PAYMENT.replace("UPDATE payments SET {}", "DELETE FROM payments"), "0 is counted towards"),
    "a payment's invoice": (
        REVERSAL.format("invoice_id = (SELECT max(id) FROM invoices)").replace("NOT NULL", "NULL"),
        "is not what its reversal",
    ),
    "a top-up counted twice": (
        "UPDATE payments SET amount = amount * 90 WHERE reference = 'top-up'",
        "came in and was kept (top_up)",
    ),
    "a payment's posting": (
        "UPDATE postings SET amount = amount + 1 WHERE reference = 'transfer'",
        "came in and was kept (payment)",
    ),
    "the same reference": (
        "UPDATE postings SET reference = 'transfer' WHERE reference = 'second'; "
        "UPDATE payments SET reference = 'transfer' WHERE reference = 'second'",
        "have the same reference, transfer",
    ),
    "a reversal's amount": (REVERSAL.format("amount = amount + 1"), "is not what its reversal"),
    "a reversal's payment": (REVERSAL.format("reverses = 'pay_none'"), "is not what its reversal"),
    "a reversal's transaction": (REVERSAL.format("reversal = reversal + 90"), "did not take the money back"),
    "a reversal without its money": (REVERSAL.format("reversal = NULL"), "of no payment"),
    "a payment's legs": (
        "UPDATE postings SET source = 'revenue' WHERE reference = 'transfer'",
        "books payment from revenue to wallet",
    ),
}


async def settled(relay: Relay) -> None:
    """A book with notes of every kind, payments of every kind, and an invoice that another stands for."""
    account = await relay.account()
    await taxed(relay.pool, account, "19")
    invoices: list[Invoice] = []
    for month in ("07", "08", "09", "10"):
        await relay.use(account, f"2026-{month}-02T00:00Z", tokens=(2_198_000, 670_000))
        invoices.append(await relay.invoiced(f"2026-{month}", account))
    july, august, september, october = (invoice.id for invoice in invoices)
    async with relay.pool.connection() as conn, conn.transaction():
        lines = [Wanted(position=1, amount=1003 * CENT), Wanted(position=2, quantity=1_000)]
        await credited(conn, july, lines)
        await credited(conn, july, [Wanted(position=1, amount=1 * CENT)])
        await credited(conn, august, None)
        await paid(conn, july, "transfer", "20")
        await paid(conn, july, "second", "20")
        bounced = await paid(conn, september, "bounced", None)
        await reverse(conn, bounced, reason="test", actor="test")
        top_up = Movement(account_id=account, kind="top_up", amount=money.parse("9"), reference="top-up", actor="test")
        await book(conn, top_up)
        await pay(conn, Pay(invoice_id=september, reference="top-up", from_top_up=True, actor="test"))
        await paid(conn, october, "moved", "7")
        asked = Replacement(invoice_id=october, reason="test", actor="test")
        await replace(conn, asked, Issuer(name="New", address=""), invoice_prefix="INV", note_prefix="CN")


async def credited(conn: Connection, invoice: str, lines: list[Wanted] | None) -> None:
    asked = Credit(invoice_id=invoice, lines=lines, settle="wallet", reason="test", actor="test")
    await credit(conn, asked, "CN")


async def paid(conn: Connection, invoice: str, reference: str, amount: str | None) -> str:
    asked = Pay(invoice_id=invoice, reference=reference, amount=amount and money.parse(amount), actor="test")
    return (await pay(conn, asked)).id


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_is_tampered_with_is_named(own_relay: Relay, what: str) -> None:
    await settled(own_relay)
    change, sentence = TAMPERED[what]
    async with own_relay.pool.connection() as conn:
        assert await proof.differences(conn) == []
        await conn.execute("SET session_replication_role = replica")  # no triggers: nothing guards the tables now
        for constraint in ("credit_notes_sums_check", "invoices_sums_check"):
            await conn.execute(
                f"ALTER TABLE {constraint.removesuffix('_sums_check')} DROP CONSTRAINT {constraint}".encode()
            )
        await conn.execute("DROP INDEX invoices_period_idx")
        for statement in change.split("; "):
            await conn.execute(statement.encode())
        found = await proof.differences(conn)
    assert any(sentence in difference for difference in found), found
    assert not [difference for difference in found if "Not proved" in difference]
