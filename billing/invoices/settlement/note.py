"""What a credit note takes back of an invoice, to the cent. Pure; amounts are picodollars.

Each line is credited at most once over, and so is each tax: whatever the parts, crediting all of an invoice gives back
every cent of it. A tax is shared out by what is credited in all, rounded once: so the note that completes the invoice
takes what the others left.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from billing.errors import Unprocessable
from billing.invoices import taxes
from billing.invoices.invoice import Customer, Draft, Issuer
from billing.invoices.lines import EXPONENT, Line
from billing.invoices.taxes import Tax
from pricing import money

CENT: int = 10 ** (money.PICO_DIGITS - EXPONENT)

Settle = Literal["wallet", "refund", "replacement"]
"""Where the money goes: into the wallet, out of the house, or nowhere, because another invoice takes the place."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be credited of the line at a position: an amount, a quantity's share, or (neither) what is left."""

    position: int
    amount: int | None = None
    quantity: int | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Of one line of an invoice: a quantity (0 for what was credited by its amount) and an amount."""

    quantity: int = 0
    amount: int = 0


NOTHING = Part()


class Credited(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier notes took of an invoice: by the position of a line, in all, of each tax (taxable, amount), and how
    much of it was paid out.
    """

    lines: Mapping[int, Part]
    subtotal: int
    taxes: Sequence[tuple[int, int]]
    paid_out: int = 0


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """What a note takes back: `lines` by their positions on the invoice."""

    lines: Mapping[int, Part]
    taxes: tuple[Tax, ...]

    @property
    def subtotal(self) -> int:
        return sum(part.amount for part in self.lines.values())

    @property
    def tax(self) -> int:
        return taxes.added(self.taxes)

    @property
    def tax_included(self) -> int:
        return taxes.included(self.taxes)

    @property
    def total(self) -> int:
        return self.subtotal + self.tax


class CreditNote(msgspec.Struct, frozen=True, kw_only=True):
    """A credit note, as it is kept; never changed. `number` is gapless within its series.

    `off_due` is what of a note to the wallet went off what was still open of the invoice; the rest is balance.
    """

    id: str
    number: str
    account_id: str
    invoice_id: str
    currency: str
    issuer: Issuer
    customer: Customer
    taking: Taking
    settle: Settle
    off_due: int
    reason: str
    transaction: int | None
    tax_transaction: int | None
    issued_at: datetime


def take(invoice: Draft, before: Credited, wanted: Sequence[Wanted] | None) -> Taking:
    """What a note over the wanted lines takes back of an invoice, or (None) over all that is left of it.

    Raises Unprocessable for a line that is not there, comes twice, or has not so much left.
    """
    if wanted is None:
        lines = _rest(invoice, before)
    else:
        lines = _parts(invoice, before, wanted)
        left = invoice.subtotal - before.subtotal
        if not 0 < sum(part.amount for part in lines.values()) <= left:
            detail = f"Of the whole invoice {money.format(left)} is left to be credited, before tax."
            raise Unprocessable("credit_too_large", detail)
    return Taking(lines=lines, taxes=_taxes(invoice, before, lines))


def _rest(invoice: Draft, before: Credited) -> dict[int, Part]:
    """What is left of every line that has anything left, or of every line when nothing was credited yet."""
    rest = {
        position: Part(quantity=line.quantity - taken.quantity, amount=line.amount - taken.amount)
        for position, line in enumerate(invoice.lines, start=1)
        for taken in [before.lines.get(position, NOTHING)]
    }
    return {position: part for position, part in rest.items() if part.amount or not before.lines}


def _parts(invoice: Draft, before: Credited, wanted: Sequence[Wanted]) -> dict[int, Part]:
    parts: dict[int, Part] = {}
    for one in wanted:
        if one.position > len(invoice.lines) or one.position in parts:
            raise Unprocessable("invalid_line", f"The invoice has no line {one.position} that is not named already.")
        line, taken = invoice.lines[one.position - 1], before.lines.get(one.position, NOTHING)
        parts[one.position] = _part(line, taken, one)
    return parts


def _part(line: Line, taken: Part, wanted: Wanted) -> Part:
    """What is wanted of a line. A line of less than nothing is credited whole or not at all."""
    left = Part(quantity=line.quantity - taken.quantity, amount=line.amount - taken.amount)
    everything = wanted.amount is None and wanted.quantity is None
    if everything or wanted.quantity == left.quantity:
        part = left
    elif wanted.quantity is not None:
        by_now = _share(line.amount, taken.quantity + wanted.quantity, line.quantity)
        amount = by_now - _share(line.amount, taken.quantity, line.quantity)
        part = Part(quantity=wanted.quantity, amount=min(amount, left.amount))
    else:
        part = Part(amount=wanted.amount or 0)
    whole = part == left and left.amount != 0
    if not whole and (not 0 < part.amount <= left.amount or part.quantity > left.quantity):
        raise Unprocessable(
            "credit_too_large",
            f"Line {wanted.position} has {money.format(left.amount)} and a quantity of {left.quantity} left: that, or "
            "a part of it that comes to a cent or more, can be credited.",
        )
    return part


def _taxes(invoice: Draft, before: Credited, lines: Mapping[int, Part]) -> tuple[Tax, ...]:
    subtotal = sum(part.amount for part in lines.values())
    after = before.subtotal + subtotal
    whole = _is_whole(invoice, before, lines)

    def rest(amount: int, taken: int) -> int:
        return (amount if whole else _share(amount, after, invoice.subtotal)) - taken

    shared = zip(invoice.taxes, before.taxes, strict=True)
    given = [
        msgspec.structs.replace(tax, taxable=rest(tax.taxable, taxable), amount=rest(tax.amount, amount))
        for tax, (taxable, amount) in shared
    ]
    net = subtotal - taxes.included(given)
    invoiced_net = invoice.subtotal - invoice.tax_included
    return tuple(
        msgspec.structs.replace(tax, taxable=net) if on.taxable == invoiced_net else tax
        for tax, on in zip(given, invoice.taxes, strict=True)
    )


def _is_whole(invoice: Draft, before: Credited, lines: Mapping[int, Part]) -> bool:
    """Whether nothing of any line is left after these."""
    return all(
        line.amount == before.lines.get(position, NOTHING).amount + lines.get(position, NOTHING).amount
        for position, line in enumerate(invoice.lines, start=1)
    )


def _share(amount: int, part: int, whole: int) -> int:
    """part ÷ whole of an amount, rounded once to cents, half away from zero; nothing of nothing or less."""
    return money.round_half_away(amount * part, whole * CENT) * CENT if whole > 0 else 0
