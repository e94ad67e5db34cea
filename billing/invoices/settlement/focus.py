"""FOCUS 1.2 of a credit note: the rows of what it takes back, with amounts below zero.

Each is a `Correction` of what was invoiced before, of the category that it corrects (a refund is one of usage, not a
credit), charged in the period of the usage and billed in the month of the note. `x_CorrectedInvoiceId` is the invoice.

The sum of BilledCost is less by what need not be paid, or is paid out: of a note to the wallet what was still open of
the invoice, since the rest stays as balance and takes its part off later invoices. One for a replacement takes back
every row of the invoice, in the same periods, because the other invoice has them again.
"""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from billing.invoices.formats import focus
from billing.invoices.formats.focus import Record
from billing.invoices.periods import label_of, month
from billing.invoices.settlement.views import CreditLineView, CreditNoteView
from pricing import money

NEGATED = (
    *("BilledCost", "ConsumedQuantity", "ContractedCost", "EffectiveCost", "ListCost", "PricingQuantity"),
    "x_AmountExact",
)
_OF_QUANTITY = (
    *("ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "ListUnitPrice", "PricingQuantity", "PricingUnit"),
)
_CENT = Fraction(1, 100)


def table(note: CreditNoteView) -> bytes:
    return focus.as_csv(records(note))


def lines(note: CreditNoteView) -> bytes:
    return focus.as_ndjson(records(note))


def records(note: CreditNoteView) -> Iterator[Record]:
    """One dict of all columns for each row."""
    charged = [(line.amount, _line(line)) for line in note.lines]
    charged += [(tax.amount, focus.tax(tax)) for tax in note.taxes if not tax.inclusive]
    amounts = [money.parse(amount) for amount, _ in charged]
    billed = focus.billed_of(amounts, sum(amounts) - _asked(note))
    rows = [{**row, "BilledCost": money.format(cost)} for (_, row), cost in zip(charged, billed, strict=True)]
    if note.settle == "replacement":
        rows += _replaced(note)
    taken = ({**row, **{name: _negative(row[name]) for name in NEGATED if name in row}} for row in rows)
    yield from focus.completed(_same(note), ({**row, "ChargeClass": "Correction"} for row in taken))


def _asked(note: CreditNoteView) -> int:
    """What of the total was asked for by lines and taxes, and is not any more; or is paid out."""
    if note.settle == "refund":
        return money.parse(note.total)
    if note.settle == "wallet":
        return money.parse(note.off_due)
    return money.parse(note.invoice.amount_due) + money.parse(note.invoice.applied.credits)


def _replaced(note: CreditNoteView) -> Iterator[Record]:
    """The rows of the invoice that are not of its total."""
    if note.invoice.applied.credits != "0":
        yield focus.credit(f"-{note.invoice.applied.credits}")
    if note.invoice.top_ups != "0":
        yield focus.top_ups(note.invoice.top_ups)


def _same(note: CreditNoteView) -> Record:
    start, end = _billed_in(note)
    return {
        **focus.common(note),
        "BillingPeriodEnd": focus.instant(end),
        "BillingPeriodStart": focus.instant(start),
        "x_CorrectedInvoiceId": note.invoice.number,
    }


def _billed_in(note: CreditNoteView) -> tuple[datetime, datetime]:
    if note.settle == "replacement":
        return note.period.start, note.period.end
    zone = ZoneInfo(note.period.time_zone)
    issued = month(label_of(note.issued_at, zone), zone)
    return issued.start, issued.end


def _line(line: CreditLineView) -> Record:
    """A quantity at its prices, or an amount without a quantity: so was it asked for, or other notes took of it."""
    row = focus.usage(line)
    amount = Fraction(line.amount)
    exact = Fraction(line.quantity, line.unit_size) * Fraction(line.official_unit_price) * Fraction(line.multiplier)
    row["EffectiveCost"] = line.amount
    if not line.quantity or abs(exact - amount) > _CENT:
        row |= dict.fromkeys(_OF_QUANTITY) | dict.fromkeys(("ContractedCost", "ListCost"), line.amount)
    return row


def _negative(number: str | int | None) -> str | None:
    """Of a decimal as text; null stays null."""
    if number is None:
        return None
    text = str(number)
    if text.startswith("-"):
        return text[1:]
    return text if Fraction(text) == 0 else f"-{text}"
