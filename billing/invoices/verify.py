"""The proof of the invoices (rules.md Ledger 3): every difference between them and the ledger, as a sentence.

Run it in one REPEATABLE READ transaction, so that all of it sees the same instant. It reads everything.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from importlib.resources import files
from zoneinfo import ZoneInfo

import msgspec

from billing.db.pool import Connection
from billing.invoices import account as accounts
from billing.invoices import store
from billing.invoices.invoice import Invoice
from billing.invoices.lines import Line, lines_of
from billing.invoices.periods import Calendar, Calendars, origin
from billing.invoices.taxes import Rate, taxes_of
from billing.proving import Part
from pricing import money

CHECKS = tuple(
    text
    for text in re.split(rb";$", (files("billing.invoices") / "checks.sql").read_bytes(), flags=re.M)
    if text.strip()
)

SHOWN_MAX = 20
"""Differences listed for each check; of more, the number is said."""

BATCH = 500
"""Invoices compared at a time, so that memory does not grow with the book."""


async def _unlike_their_usage(conn: Connection) -> list[str]:
    return _first([sentence async for sentence in _line_differences(conn)])


async def _broken(check: bytes, conn: Connection) -> list[str]:
    return _first([next(iter(row.values())) for row in await (await conn.execute(check)).fetchall()])


SERIES: tuple[Part, ...] = tuple(partial(_broken, check) for check in CHECKS if b"invoice_series" in check)
OF_ACCOUNTS: tuple[Part, ...] = (
    _unlike_their_usage,
    *(partial(_broken, check) for check in CHECKS if b"invoice_series" not in check),
)
"""What can be looked at for all accounts together only, and what for each."""


def _first(found: list[str]) -> list[str]:
    more = len(found) - SHOWN_MAX
    return [*found[:SHOWN_MAX], f"… and {more} more like it."] if more > 0 else found


async def _line_differences(conn: Connection) -> AsyncIterator[str]:
    """Lines that are not what the period's roll-ups make of it, and what else an invoice says of itself."""
    after = ""
    while invoices := await store.batch(conn, after, BATCH):
        after = invoices[-1].id
        readable = [invoice for invoice in invoices if isinstance(invoice, Invoice)]
        usage = await store.usage(conn, {invoice.id: (invoice.account_id, invoice.period) for invoice in readable})
        late = {invoice.account_id for invoice in readable if any(item.late for item in usage[invoice.id])}
        known = await store.known_periods(conn, late)
        closed = await accounts.closings(conn, {invoice.account_id for invoice in readable})
        for invoice in invoices:
            if isinstance(invoice, store.Unreadable):
                yield f"Invoice {invoice.number} cannot be read: {invoice.why}."
                continue
            calendar = Calendar(ZoneInfo(invoice.time_zone), invoice.anchor_day)
            closed_before = known.get(invoice.account_id, [])
            periods = partial(origin, known=closed_before, calendar=calendar, before=invoice.period.start)
            for difference in _compare(invoice.lines, lines_of(usage[invoice.id], periods)):
                yield f"Invoice {invoice.number}, {difference}"
            for difference in _unlike_itself(invoice, calendar, closed.get(invoice.account_id)):
                yield f"Invoice {invoice.number}: {difference}"


def _compare(stored: Sequence[Line], expected: Sequence[Line]) -> Iterator[str]:
    wanted = {(line.correction_of, line.factors): line for line in expected}
    for line in stored:
        made = wanted.pop((line.correction_of, line.factors), None)
        if made is None:
            yield f"line {_name(line)}: nothing was used at these factors."
        elif made != line:
            fields = [name for name in Line.__struct_fields__ if getattr(made, name) != getattr(line, name)]
            yield f"line {_name(line)}: the usage of its period has other {', '.join(fields)}."
    for line in wanted.values():
        yield f"line {_name(line)}: is missing."


def _unlike_itself(invoice: Invoice, calendar: Calendar, closed_at: datetime | None) -> Iterator[str]:
    """A period that does not end where its calendar ends it, and taxes that are not those of their rates."""
    start, end = msgspec.structs.astuple(invoice.period)
    should_end = Calendars(settings=((start, calendar),), closed_at=closed_at).period(start).end
    if end != should_end:
        yield f"its period from {start} ends at {end}, by its calendar at {should_end}."
    rates = [
        Rate(
            id="",
            name=tax.name,
            percent=Decimal(tax.percent),
            inclusive=tax.inclusive,
            reverse_charge=tax.reverse_charge,
            note=tax.note,
        )
        for tax in invoice.taxes
    ]
    for tax, expected in zip(invoice.taxes, taxes_of(invoice.subtotal, rates), strict=True):
        if tax != expected:
            said, should = money.format(tax.amount), money.format(expected.amount)
            yield f"{tax.name} of {said} on {money.format(tax.taxable)} should be {should}."


def _name(line: Line) -> str:
    return " ".join(filter(None, (line.factors.model, line.factors.dimension, line.factors.variant)))
