"""Invoices of every sort, as closing makes them: lines rounded once, taxes on their sum, a statement that closes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from billing.invoices import taxes
from billing.invoices.invoice import Customer, Invoice, Issuer, Statement
from billing.invoices.lines import Factors, Line, sums_of
from billing.invoices.periods import Period
from billing.invoices.settlement.note import Credited, CreditNote, Wanted, take
from billing.invoices.settlement.views import CreditNoteView, note_view
from billing.invoices.taxes import Rate, taxes_of
from billing.invoices.view import InvoiceView, view
from pricing import money
from pricing.money import parse as usd

MODELS = (
    "gpt-4o-2024-08-06",
    "gpt-4",
    "whisper-1",
    "ft:gpt-4o-mini-2024-07-18:an-organization:with-a-long-name:AbCdEfGh",
)
PRICES = (
    ("input", "1M_tokens", 1_000_000, "2.5"),
    ("image:hd:1024x1792", "image", 1, "0.12"),
    ("audio_input_duration", "minute", 60, "0.0061"),
    ("tool:web_search", "1K_calls", 1000, "10"),
)
SEPTEMBER = Period(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
VAT = Rate(id="vat", name="VAT", percent=Decimal("23"))
INSIDE = Rate(id="inside", name="MwSt.", percent=Decimal("19"), inclusive=True)
INSIDE_TOO = Rate(id="inside-too", name="City", percent=Decimal("1.5"), inclusive=True)
REVERSE = Rate(
    id="reverse",
    name="VAT",
    percent=Decimal(0),
    reverse_charge=True,
    note="Reverse charge: the recipient owes the tax.",
)
ZERO = Rate(id="zero", name="Zero", percent=Decimal(0))
EXEMPT = Rate(id="exempt", name="VAT", percent=Decimal(0), note="Exempt: Article 132.")
STATE, CITY = (Rate(id=name, name=name, percent=Decimal(percent)) for name, percent in (("GST", "5"), ("QST", "9.975")))


def line(number: int, quantity: int | None = None, correction_of: Period | None = None) -> Line:
    """The line of this number, of its own model and price; every fifth of a variant."""
    dimension, unit, size, price = PRICES[number // 2 % len(PRICES)]
    model = MODELS[number % len(MODELS)]
    factors = Factors(
        model=model,
        dimension=dimension,
        variant="batch|>272k" if number % 5 == 4 else "",
        entry=f"{model}/{dimension}@2025-08-07",
        official=Decimal(price),
        multiplier=Decimal("0.5"),
        unit=unit,
        unit_size=size,
    )
    used = 12_345_678 * (number + 1) // (7 if size > 1000 else 9_999) if quantity is None else quantity
    product = factors.product(used)
    exact = money.round_half_away(product.numerator, product.denominator) + (7 if number == 3 else 0)
    return Line(
        factors=factors,
        price_ids=(number,),
        quantity=used,
        amount_exact=exact,
        amount=money.round_to_exponent(exact, 2),
        events=31 * number + 1,
        first_at=datetime(2026, 10, 1, 0, 0, 3, tzinfo=UTC),
        last_at=datetime(2026, 10, 29, 3, 4, 5, tzinfo=UTC),
        evidence=bytes((number * 7 + place) % 256 for place in range(32)),
        correction_of=correction_of,
    )


def invoice(
    lines: tuple[Line, ...],
    *rates: Rate,
    opening: str = "0",
    top_ups: str = "0",
    credits_used: str = "0",
    **changes: Any,
) -> Invoice:
    """An invoice of October 2026 with these lines."""
    sums, taxed = sums_of(lines), taxes_of(sums_of(lines).subtotal, rates)
    statement = Statement(
        opening=usd(opening),
        top_ups=usd(top_ups),
        grants=usd(credits_used),
        usage=sums.subtotal,
        tax=taxes.added(taxed),
        expired=0,
        adjustments=0,
    )
    made = Invoice(
        id="inv_1",
        number="INV-2026-000042",
        account_id="acct_example",
        period=Period(SEPTEMBER.end, datetime(2026, 11, 1, tzinfo=UTC)),
        time_zone="UTC",
        issuer=Issuer(name="OpenAI Relay Ltd.", address="10 Harbour Road\nCork\nIE", tax_id="IE1234567T"),
        customer=Customer(
            name="Example Trading Co.",
            email="billing@example.com",
            address="Suite 4\n1 Main Street\nDublin\nIE",
            tax_id="IE6388047V",
        ),
        lines=lines,
        statement=statement,
        amount_exact=sums.amount_exact,
        subtotal=sums.subtotal,
        taxes=taxed,
        residue=sums.residue,
        credits_used=usd(credits_used),
        transaction=7,
        finalized_at=datetime(2026, 11, 1, 1, tzinfo=UTC),
    )
    due = date(2026, 11, 15) if made.amount_due else None
    return msgspec.structs.replace(made, **{"due_date": due, **changes})


def lines(count: int) -> tuple[Line, ...]:
    return tuple(line(number) for number in range(count))


LATE = (line(2, correction_of=SEPTEMBER), line(0, -61_729, SEPTEMBER))
CHINESE = Customer(name="深圳市堃喆人工智能科技有限公司", email=None, address="广东省深圳市\nCN")
SHANGHAI = Period(datetime(2026, 9, 30, 16, tzinfo=UTC), datetime(2026, 10, 31, 16, tzinfo=UTC))

INVOICES: dict[str, Invoice] = {
    "postpaid": invoice(lines(9)),
    "prepaid": invoice(
        lines(9), opening="12.5", top_ups="5000", customer=CHINESE, period=SHANGHAI, time_zone="Asia/Shanghai"
    ),
    "mixed": invoice((*lines(12), *LATE), VAT, opening="40", credits_used="8.25"),
    "with fractions of cents": invoice(lines(5), VAT, opening="1.000000000001"),
    "tax inside": invoice(lines(12), INSIDE, opening="40"),
    "reverse charge": invoice((*lines(30), *LATE), REVERSE),
    "zero rated": invoice(lines(3), ZERO),
    "exempt": invoice(lines(3), EXEMPT),
    "two taxes": invoice(lines(7), STATE, CITY),
    "reverse charge beside a tax": invoice(lines(7), REVERSE, CITY),
    "no vat ids": invoice(
        lines(7),
        STATE,
        CITY,
        issuer=Issuer(name="Relay Inc.", address="", tax_id="12345 6789 RT0001", country="CA"),
        customer=Customer(name="Érable", email=None, address="Montréal\nCA", tax_id="NEQ 1", country="CA"),
    ),
    "gives back": invoice((line(2, -61_729), line(0, -90_000_000)), VAT),
    "empty": invoice((), top_ups="20"),
}
VIEWS: dict[str, InvoiceView] = {name: view(made) for name, made in INVOICES.items()}


def note(of: Invoice, *wanted: Wanted) -> CreditNoteView:
    return note_view(credit_note(of, *wanted), of)


def credit_note(of: Invoice, *wanted: Wanted) -> CreditNote:
    """A credit note over these parts of lines, or over the whole invoice."""
    nothing = Credited(lines={}, subtotal=0, taxes=[(0, 0) for _ in of.taxes])
    taking = take(of, nothing, wanted or None)
    return CreditNote(
        id="cn_1",
        number="CN-2026-000003",
        account_id=of.account_id,
        invoice_id=of.id,
        currency=of.currency,
        issuer=of.issuer,
        customer=of.customer,
        taking=taking,
        settle="wallet",
        off_due=min(of.amount_due, taking.total),
        reason="The model answered 深圳 in the wrong language 😀",
        transaction=9,
        tax_transaction=None,
        issued_at=datetime(2026, 11, 20, 9, tzinfo=UTC),
    )


PARTS = (Wanted(position=1, amount=usd("0.07")), Wanted(position=5, quantity=1000), Wanted(position=2))
NOTES: dict[str, CreditNoteView] = {
    "parts, taxed": note(INVOICES["mixed"], *PARTS),
    "parts, tax inside": note(INVOICES["tax inside"], *PARTS),
    "whole": note(INVOICES["postpaid"]),
    "whole, reverse charge": note(INVOICES["reverse charge"]),
    "parts, two taxes": note(INVOICES["two taxes"], *PARTS),
    "whole, no vat ids": note(INVOICES["no vat ids"]),
}
