"""FOCUS 1.2 (FinOps Open Cost and Usage Specification): a row for each line, tax, credit and for what was topped up.

The sum of BilledCost by InvoiceId is what the invoice asks for. What the prepaid balance paid was billed when it was
topped up: it is taken off the BilledCost of the first rows, until it is used up. EffectiveCost is what was consumed, in
whole cents; ListCost and ContractedCost are exact. Tax that the prices contain is in their rows, and has none.
Quantities and prices that no decimal can give, as thirds of an hour, have 15 decimals.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from typing import Any

import msgspec

from billing.invoices.formats.csv import cell
from billing.invoices.formats.sheet import dimension
from billing.invoices.settlement.views import CreditLineView, CreditNoteView
from billing.invoices.view import InvoiceView, LineView, TaxView
from pricing import money, units

COLUMNS = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd"),
    *(
        "ChargePeriodStart",
        "CommitmentDiscountStatus",
        "ConsumedQuantity",
        "ConsumedUnit",
        "ContractedCost",
        "ContractedUnitPrice",
        "EffectiveCost",
    ),
    *("InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency"),
    *("PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"),
    *(
        "PricingQuantity",
        "PricingUnit",
        "ProviderName",
        "PublisherName",
        "ServiceCategory",
        "ServiceName",
        "ServiceSubcategory",
    ),
    *("SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags"),
    *("x_AmountExact", "x_CorrectedInvoiceId", "x_Events", "x_Evidence", "x_Multiplier"),
)
PUBLISHER, SERVICE = "OpenAI", "OpenAI API"
_PRICING_UNITS = {
    "1M_tokens": "1000000 Tokens",
    "1K_tokens": "1000 Tokens",
    "1M_characters": "1000000 Characters",
    "image": "Images",
    "second": "Seconds",
    "minute": "Minutes",
    "hour": "Hours",
    "audio_hour": "Hours",
    "1K_calls": "1000 Calls",
    "session": "Sessions",
    "request": "Requests",
}
_DECIMALS = Decimal(10) ** -15

DECIMAL_COLUMNS = (
    *("BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost"),
    *("ListUnitPrice", "PricingQuantity", "x_AmountExact", "x_Multiplier"),
    *("PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"),
)
_SAME_IN_PRICING_CURRENCY = ("ContractedUnitPrice", "EffectiveCost", "ListUnitPrice")

Record = dict[str, str | int | None]


def table(shown: InvoiceView) -> bytes:
    return as_csv(records(shown))


def as_csv(rows: Iterable[Record]) -> bytes:
    """A header and the rows; null is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for record in rows:
        writer.writerow(text_of(name, record[name]) for name in COLUMNS)
    return text.getvalue().encode()


def text_of(name: str, value: str | int | None) -> str:
    """A cell. Decimals have a point, so that who guesses the type of a column guesses right."""
    if name in DECIMAL_COLUMNS and value is not None and "." not in str(value):
        return f"{value}.0"
    return "" if value is None else cell(value)


def lines(shown: InvoiceView) -> bytes:
    return as_ndjson(records(shown))


def as_ndjson(rows: Iterable[Record]) -> bytes:
    """A row on each line: costs, quantities and prices are decimal strings."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in rows)


def records(shown: InvoiceView) -> Iterator[Record]:
    """One dict of all COLUMNS for each row."""
    charged = [(line.amount, _line(line)) for line in shown.lines]
    charged += [(row.amount, tax(row)) for row in shown.taxes if not row.inclusive]
    billed = billed_of([money.parse(amount) for amount, _ in charged], money.parse(shown.applied.balance))
    rows = [{**row, "BilledCost": money.format(cost)} for (_, row), cost in zip(charged, billed, strict=True)]
    if shown.applied.credits != "0":
        rows.append(credit(f"-{shown.applied.credits}"))
    if shown.statement.top_ups != "0":
        rows.append(top_ups(shown.statement.top_ups))
    yield from completed(_same(shown), rows)


def completed(same: Record, rows: Iterable[Record]) -> Iterator[Record]:
    """Rows with what they have in common, and with the columns that repeat others in the pricing currency."""
    for row in rows:
        yield {**same, **row, **{f"PricingCurrency{name}": row.get(name) for name in _SAME_IN_PRICING_CURRENCY}}


def billed_of(amounts: list[int], prepaid: int) -> list[int]:
    """What of each amount is asked for: nothing until the prepaid balance is used up, then all.

    Together they are what is due and what credit paid. An invoice that gives back asks for nothing.
    """
    if prepaid == 0:
        return amounts
    if sum(amounts) <= 0:
        return [0 for _ in amounts]
    billed, so_far, before = [], 0, 0
    for amount in amounts:
        so_far += amount
        billed.append(max(0, so_far - prepaid) - before)
        before += billed[-1]
    return billed


def _same(shown: InvoiceView) -> Record:
    """What all rows of an invoice have in common."""
    start, end = instant(shown.period.start), instant(shown.period.end)
    return {**common(shown), "BillingPeriodEnd": end, "BillingPeriodStart": start}


def common(shown: InvoiceView | CreditNoteView) -> Record:
    """What all rows of a document have in common, but for the period it is billed in."""
    return {
        **dict.fromkeys(COLUMNS),
        "BillingAccountId": shown.account,
        "BillingAccountName": shown.customer.name,
        "BillingCurrency": shown.currency,
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": instant(shown.period.end),
        "ChargePeriodStart": instant(shown.period.start),
        "InvoiceId": shown.number,
        "InvoiceIssuerName": shown.issuer.name,
        "PricingCurrency": shown.currency,
        "ProviderName": shown.issuer.name,
        "PublisherName": PUBLISHER,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "Generative AI",
    }


def _line(line: LineView) -> Record:
    return {
        **usage(line),
        "x_AmountExact": line.amount_exact,
        "x_Events": line.events,
        "x_Evidence": line.evidence,
    }


def usage(line: LineView | CreditLineView) -> Record:
    """The charge for a line's quantity, or what is credited of it; late usage in the period it was used in."""
    official, multiplier = Fraction(line.official_unit_price), Fraction(line.multiplier)
    quantity = Fraction(line.quantity, line.unit_size)
    said = dimension(line.dimension, "en")
    details = {"x_Dimension": line.dimension, "x_Variant": line.variant, "x_UnitSize": line.unit_size}
    record: Record = {
        "ChargeCategory": "Usage",
        "ChargeDescription": " ".join(filter(None, (line.model, said, line.variant))),
        "ConsumedQuantity": str(line.quantity),
        "ConsumedUnit": units.UNITS[line.unit].thing.capitalize() + "s",
        "ContractedCost": decimal(quantity * official * multiplier),
        "ContractedUnitPrice": decimal(official * multiplier),
        "EffectiveCost": line.amount,
        "ListCost": decimal(quantity * official),
        "ListUnitPrice": line.official_unit_price,
        "PricingCategory": "Standard",
        "PricingQuantity": decimal(quantity),
        "PricingUnit": _PRICING_UNITS[line.unit],
        "SkuId": f"{line.model}/{line.dimension}",
        "SkuMeter": said,
        "SkuPriceDetails": msgspec.json.encode(details).decode(),
        "SkuPriceId": line.entry,
        "x_Multiplier": line.multiplier,
    }
    if corrected := line.correction_of:
        late: dict[str, Any] = {"ChargePeriodStart": corrected.start, "ChargePeriodEnd": corrected.end}
        record |= {"ChargeClass": "Correction", **{name: instant(at) for name, at in late.items()}}
    return record


def tax(of: TaxView) -> Record:
    costs = dict.fromkeys(("ContractedCost", "EffectiveCost", "ListCost"), of.amount)
    return {"ChargeCategory": "Tax", "ChargeDescription": f"{of.name} {of.percent} %", **costs}


def credit(amount: str) -> Record:
    costs = dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), amount)
    return {"ChargeCategory": "Credit", "ChargeDescription": "Paid by credit", "ChargeFrequency": "One-Time", **costs}


def top_ups(amount: str) -> Record:
    """What was paid in advance within the period. No invoice asks for it: it was paid by then."""
    return {
        "BilledCost": amount,
        "ChargeCategory": "Purchase",
        "ChargeDescription": "Top-ups",
        "ChargeFrequency": "One-Time",
        "ContractedCost": amount,
        "ContractedUnitPrice": "1",
        "EffectiveCost": "0",
        "InvoiceId": None,
        "ListCost": amount,
        "ListUnitPrice": "1",
        "PricingCategory": "Standard",
        "PricingQuantity": amount,
        "PricingUnit": "USD",
        "SkuId": "top-up",
        "SkuMeter": "Top-up",
        "SkuPriceDetails": "{}",
        "SkuPriceId": "top-up",
    }


def decimal(number: Fraction) -> str:
    """Every digit, or 15 decimals where there is no end of them."""
    with localcontext(prec=80):
        quotient = Decimal(number.numerator) / number.denominator
        if Fraction(quotient) != number:
            quotient = quotient.quantize(_DECIMALS, ROUND_HALF_UP)
    text = f"{quotient:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
