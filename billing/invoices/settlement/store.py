"""The SQL of credit notes and payments. Money is Decimal dollars in the database and picodollars here.

Everything that writes joins the caller's transaction, in which the account's balance is locked.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Literal, LiteralString

import msgspec

from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.invoices.invoice import Customer, Invoice, Issuer
from billing.invoices.settlement.note import Credited, CreditNote, Part, Settle, Taking
from billing.invoices.settlement.standing import Payment, Standing, Status
from billing.invoices.taxes import Tax
from billing.invoices.view import tax_view
from billing.pages import Page, rows_of
from pricing import money

Row = dict[str, Any]

ROOM = files("billing.invoices.settlement")
STANDING = (ROOM / "standing.sql").read_text()
ISSUE_NOTE = (ROOM / "issue_note.sql").read_text()
REPLACE = (ROOM / "replace.sql").read_text()


async def standing(conn: Connection, invoice_id: str) -> Standing:
    """What has become of an invoice that exists."""
    return (await standings(conn, [invoice_id]))[invoice_id]


async def standings(conn: Connection, ids: Sequence[str]) -> dict[str, Standing]:
    """The same of several invoices, by their ids."""
    cursor = await conn.execute(f"{STANDING} WHERE id = ANY(%s)", [list(ids)])
    return {row["id"]: _standing(row) for row in await cursor.fetchall()}


LISTED = f"""
SELECT * FROM ({STANDING}) AS standing
WHERE status = %(status)s AND (%(account)s::text IS NULL OR account_id = %(account)s)
"""  # noqa: S608 - a file of ours


async def with_status(
    conn: Connection, account_id: str | None, status: Status, page: Page
) -> tuple[list[Standing], bool]:
    """A page of the account's invoices (of all with None) of a status, newest period first, and whether more follow."""
    parameters = {"account": account_id, "status": status}
    rows, more = await rows_of(conn, LISTED, parameters, newest_by="period_end", page=page)
    return [_standing(row) for row in rows], more


def _standing(row: Row) -> Standing:
    amounts = {name: picos(row[name]) for name in ("total", "amount_due", "credited", "paid", "open")}
    return Standing(**{name: row[name] for name in Standing.__struct_fields__} | amounts)


async def credited(conn: Connection, invoice: Invoice) -> Credited:
    """What notes took of an invoice so far."""
    notes = await notes_of(conn, [invoice.id])
    lines: dict[int, Part] = defaultdict(Part)
    for note in notes:
        for position, part in note.taking.lines.items():
            before = lines[position]
            lines[position] = Part(quantity=before.quantity + part.quantity, amount=before.amount + part.amount)
    taxes = [
        (sum(note.taking.taxes[at].taxable for note in notes), sum(note.taking.taxes[at].amount for note in notes))
        for at in range(len(invoice.taxes))
    ]
    return Credited(
        lines=lines,
        subtotal=sum(note.taking.subtotal for note in notes),
        taxes=taxes,
        paid_out=sum(note.taking.total for note in notes if note.settle == "refund"),
    )


async def promotional(conn: Connection, invoice: Invoice) -> int:
    """How much promotional credit paid for usage of the invoice's period."""
    cursor = await conn.execute(
        """
        SELECT coalesce(sum(postings.amount), 0) AS amount
        FROM postings JOIN grants ON grants.account_id = postings.account_id AND grants.id = postings.grant_id
        WHERE postings.account_id = %s AND kind = 'burn' AND category = 'promotional'
          AND postings.effective_at >= %s AND postings.effective_at < %s
        """,
        [invoice.account_id, invoice.period.start, invoice.period.end],
    )
    row = await cursor.fetchone()
    assert row is not None
    return picos(row["amount"])


class NewNote(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note about to be issued; issuer and customer are the invoice's."""

    id: str
    invoice_id: str
    taking: Taking
    settle: Settle
    reason: str
    actor: str
    transaction: int | None
    tax_transaction: int | None


async def issue(conn: Connection, note: NewNote, prefix: str) -> None:
    """Give the note the next number of this year's series, and write it with its lines."""
    taking = note.taking
    lines = [
        {"position": position, "quantity": part.quantity, "amount": money.format(part.amount)}
        for position, part in taking.lines.items()
    ]
    sums = {name: dollars(getattr(taking, name)) for name in ("subtotal", "tax", "tax_included", "total")}
    taxes = [tax_view(tax) for tax in taking.taxes]
    parameters = {**msgspec.structs.asdict(note), **sums, "taxes": _json(taxes), "lines": _json(lines)}
    await conn.execute(ISSUE_NOTE, {**parameters, "taking": None, "prefix": prefix})


async def replace(conn: Connection, new_id: str, invoice_id: str, issuer: Issuer, prefix: str) -> None:
    """Write the invoice that stands for another one: the next number, the details of today, and all else the same."""
    parameters = {"new_id": new_id, "invoice_id": invoice_id, "issuer": _json(issuer), "prefix": prefix}
    await conn.execute(REPLACE, parameters)


# With what of a note to the wallet went off what was open of the invoice, after earlier notes and payments: each has
# the time at which it was written, with the account's balance locked.
ALL_NOTES: LiteralString = """
SELECT * FROM (
  SELECT note.*, CASE settle WHEN 'wallet' THEN least(note.total, greatest(0, (
    SELECT amount_due FROM invoices WHERE invoices.id = note.invoice_id
  ) - (
    SELECT coalesce(sum(earlier.total), 0)
    FROM credit_notes AS earlier
    WHERE earlier.account_id = note.account_id AND earlier.invoice_id = note.invoice_id AND earlier.settle = 'wallet'
      AND earlier.issued_at < note.issued_at
  ) - (
    SELECT coalesce(sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END), 0)
    FROM payments
    WHERE payments.account_id = note.account_id AND payments.invoice_id = note.invoice_id
      AND payments.created_at < note.issued_at
  ))) ELSE 0 END AS off_due
  FROM credit_notes AS note
) AS note
"""
NOTES: LiteralString = ALL_NOTES + " WHERE (%(account)s::text IS NULL OR account_id = %(account)s)"


async def note(conn: Connection, note_id: str, account_id: str | None) -> CreditNote | None:
    """The note, if it exists and is the account's; any account's with None."""
    cursor = await conn.execute(NOTES + " AND id = %(id)s", {"account": account_id, "id": note_id})
    found = await _with_lines(conn, await cursor.fetchall())
    return found[0] if found else None


async def notes(conn: Connection, account_id: str | None, page: Page) -> tuple[list[CreditNote], bool]:
    """A page of the account's notes (of all with None), newest first, and whether more follow."""
    rows, more = await rows_of(conn, NOTES, {"account": account_id}, newest_by="issued_at", page=page)
    return await _with_lines(conn, rows), more


async def notes_of(conn: Connection, invoice_ids: Sequence[str]) -> list[CreditNote]:
    """The notes on these invoices, oldest first."""
    cursor = await conn.execute(
        ALL_NOTES + " WHERE invoice_id = ANY(%s) ORDER BY issued_at, number", [list(invoice_ids)]
    )
    return await _with_lines(conn, await cursor.fetchall())


async def find_notes(conn: Connection, ids: Sequence[str]) -> list[CreditNote]:
    """These notes, as far as they exist."""
    cursor = await conn.execute(ALL_NOTES + " WHERE id = ANY(%s) ORDER BY id", [list(ids)])
    return await _with_lines(conn, await cursor.fetchall())


async def _with_lines(conn: Connection, rows: Sequence[Row]) -> list[CreditNote]:
    cursor = await conn.execute(
        """
        SELECT line.*
        FROM credit_notes AS note
        JOIN credit_note_lines AS line ON line.account_id = note.account_id AND note_id = note.id
        WHERE note.id = ANY(%s)
        ORDER BY note_id, invoice_line
        """,
        [[row["id"] for row in rows]],
    )
    lines: dict[str, dict[int, Part]] = {row["id"]: {} for row in rows}
    for line in await cursor.fetchall():
        part = Part(quantity=line["quantity"], amount=picos(line["amount"]))
        lines[line["note_id"]][line["invoice_line"]] = part
    return [_note(row, lines[row["id"]]) for row in rows]


NOTE_SAME = (
    "id",
    "number",
    "account_id",
    "invoice_id",
    "currency",
    "settle",
    "reason",
    "transaction",
    "tax_transaction",
    "issued_at",
)


def _note(row: Row, lines: dict[int, Part]) -> CreditNote:
    return CreditNote(
        **{name: row[name] for name in NOTE_SAME},
        issuer=msgspec.convert(row["issuer"], Issuer),
        customer=msgspec.convert(row["customer"], Customer),
        taking=Taking(lines=lines, taxes=tuple(_tax(kept) for kept in row["taxes"])),
        off_due=picos(row["off_due"]),
    )


def _tax(kept: Row) -> Tax:
    amounts = {name: money.parse(kept[name]) for name in ("taxable", "amount")}
    return msgspec.convert({**kept, **amounts}, Tax)


PAYMENTS: LiteralString = """
SELECT payment.*, reversal.created_at AS reversed_at, reversal.reversal AS reversal_transaction,
       reversal.reason AS why_reversed
FROM payments AS payment
LEFT JOIN payments AS reversal
  ON reversal.account_id = payment.account_id AND reversal.reverses = payment.id
WHERE payment.reverses IS NULL
"""


async def payments_of(conn: Connection, invoice_ids: Sequence[str]) -> list[Payment]:
    """What is or was counted towards these invoices, oldest first."""
    query = PAYMENTS + " AND payment.invoice_id = ANY(%s) ORDER BY payment.created_at, payment.id"
    return [_payment(row) for row in await (await conn.execute(query, [list(invoice_ids)])).fetchall()]


async def payment(conn: Connection, payment_id: str) -> Payment | None:
    row = await (await conn.execute(PAYMENTS + " AND payment.id = %s", [payment_id])).fetchone()
    return None if row is None else _payment(row)


def _payment(row: Row) -> Payment:
    named = {
        **row,
        "amount": picos(row["amount"]),
        "reason": row["why_reversed"],
        "reversal": row["reversal_transaction"],
    }
    return Payment(**{name: named[name] for name in Payment.__struct_fields__})


async def insert_payment(conn: Connection, payment: Payment, actor: str) -> None:
    """Count money that is booked towards an invoice."""
    await conn.execute(
        """
        INSERT INTO payments (account_id, id, invoice_id, amount, transaction, reference, method, paid_at, actor,
                              created_at)
        VALUES (%(account_id)s, %(id)s, %(invoice_id)s, %(amount)s, %(transaction)s, %(reference)s, %(method)s,
                %(paid_at)s, %(actor)s, clock_timestamp())
        """,
        {**msgspec.structs.asdict(payment), "amount": dollars(payment.amount), "actor": actor},
    )


async def reverse_payment(
    conn: Connection, payment: Payment, *, new_id: str, reversal: int | None, reason: str, actor: str
) -> None:
    """Count a payment no longer; the reversal took the money back, or (None) it stays in the wallet."""
    await conn.execute(
        """
        INSERT INTO payments (account_id, id, invoice_id, amount, transaction, reference, paid_at, reason, reverses,
                              reversal, actor, created_at)
        SELECT account_id, %(new_id)s, invoice_id, amount, transaction, reference, clock_timestamp(), %(reason)s, id,
               %(reversal)s, %(actor)s, clock_timestamp()
        FROM payments
        WHERE account_id = %(account_id)s AND id = %(id)s
        """,
        {
            "account_id": payment.account_id,
            "id": payment.id,
            "new_id": new_id,
            "reversal": reversal,
            "reason": reason,
            "actor": actor,
        },
    )


class MoneyIn(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up or a payment that was booked: what was not taken back of it is `kept`, and of that what is not counted
    towards an invoice is `left`."""

    transaction: int
    kind: Literal["top_up", "payment"]
    kept: int
    left: int
    effective_at: datetime


MONEY_IN = """
SELECT transaction, kind, effective_at, amount - reversed AS kept, amount - reversed - counted AS left
FROM postings AS posting
CROSS JOIN LATERAL (
  SELECT coalesce(sum(later.amount), 0) AS reversed
  FROM postings AS later
  WHERE later.account_id = posting.account_id AND later.reverses = posting.transaction
) AS later
CROSS JOIN LATERAL (
  SELECT coalesce(sum(CASE WHEN payment.reverses IS NULL THEN payment.amount ELSE -payment.amount END), 0) AS counted
  FROM payments AS payment
  WHERE payment.account_id = posting.account_id AND payment.transaction = posting.transaction
) AS payments
WHERE account_id = %(account)s AND kind IN ('top_up', 'payment') AND kind NOT IN ('usage', 'burn', 'cost')
  AND reverses IS NULL AND reference = %(reference)s
ORDER BY seq
"""


async def money_in(conn: Connection, account_id: str, reference: str) -> list[MoneyIn]:
    """The account's top-ups and payments of this reference, oldest first; among what is not usage, by its own index."""
    cursor = await conn.execute(MONEY_IN, {"account": account_id, "reference": reference})
    return [
        MoneyIn(**{**row, "kept": picos(row["kept"]), "left": picos(row["left"])}) for row in await cursor.fetchall()
    ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
