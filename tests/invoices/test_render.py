"""The same numbers in every format, and nothing a spreadsheet would run."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.formats import csv as tables
from billing.invoices.formats import json as documents
from billing.invoices.invoice import Customer, Invoice, Issuer, Statement
from billing.invoices.lines import Factors, Line
from billing.invoices.periods import Period
from billing.invoices.view import InvoiceView, plain, view
from pricing.money import parse as usd
from tests.invoices.formats.samples import INVOICES, VIEWS

INVOICE = Invoice(
    id="inv_1",
    number="INV-2026-000001",
    account_id="acct_1",
    period=Period(datetime(2026, 9, 30, 16, tzinfo=UTC), datetime(2026, 10, 31, 16, tzinfo=UTC)),
    time_zone="Asia/Shanghai",
    issuer=Issuer(name="OpenAI Relay", address=""),
    customer=Customer(name='=HYPERLINK("http://evil")', email=None, address="1 Main St\nTown"),
    lines=(
        Line(
            factors=Factors(
                model="gpt-4",
                dimension="input",
                variant="",
                entry="gpt-4/input@2023-03-14",
                official=Decimal("30.000"),
                multiplier=Decimal("0.50"),
                unit="1M_tokens",
                unit_size=1_000_000,
            ),
            price_ids=(3, 17),
            quantity=1001,
            amount_exact=usd("0.015015"),
            amount=usd("0.02"),
            events=2,
            first_at=datetime(2026, 10, 1, tzinfo=UTC),
            last_at=datetime(2026, 10, 2, 3, 4, 5, 678000, tzinfo=UTC),
            evidence=bytes(range(32)),
        ),
    ),
    statement=Statement(
        opening=usd("-0.000000000001"),
        top_ups=usd("10"),
        grants=usd("3"),
        usage=usd("0.02"),
        expired=usd("3"),
        adjustments=usd("-1"),
    ),
    amount_exact=usd("0.015015"),
    subtotal=usd("0.02"),
    residue=usd("0.004985"),
    transaction=7,
    finalized_at=datetime(2026, 11, 1, 1, tzinfo=UTC),
)


def rows(invoice: Invoice) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tables.lines(view(invoice)).decode(), newline="")))


def test_json_has_the_agreed_shape() -> None:
    shown = json.loads(documents.document(view(INVOICE)))
    assert shown["period"] == {
        "start": "2026-09-30T16:00:00Z",
        "end": "2026-10-31T16:00:00Z",
        "time_zone": "Asia/Shanghai",
    }
    assert shown["lines"][0] == {
        "model": "gpt-4",
        "dimension": "input",
        "variant": "",
        "quantity": 1001,
        "unit": "1M_tokens",
        "unit_size": 1_000_000,
        "official_unit_price": "30",
        "multiplier": "0.5",
        "entry": "gpt-4/input@2023-03-14",
        "per_event_rounding": "0",
        "amount_exact": "0.015015",
        "amount": "0.02",
        "events": 2,
        "first_event_at": "2026-10-01T00:00:00Z",
        "last_event_at": "2026-10-02T03:04:05.678000Z",
        "price_ids": [3, 17],
        "evidence": bytes(range(32)).hex(),
        "correction_of": None,
    }
    assert shown["statement"] == {
        "opening": "-0.000000000001",
        "top_ups": "10",
        "payments": "0",
        "grants": "3",
        "credit_notes": "0",
        "usage": "0.02",
        "tax": "0",
        "expired": "3",
        "adjustments": "-1",
        "closing": "8.979999999999",
    }
    assert (shown["status"], shown["currency"], shown["subtotal"], shown["tax"], shown["total"], shown["residue"]) == (
        *("final", "USD", "0.02", "0", "0.02", "0.004985"),
    )
    assert msgspec.json.decode(documents.document(view(INVOICE)), type=InvoiceView) == view(INVOICE)


def flat(name: str, value: object) -> str:
    """What JSON has, as a cell of CSV."""
    return {"price_ids": "3 17", "correction_of": ""}.get(name, str(value))


def test_csv_says_the_same() -> None:
    document = tables.lines(view(INVOICE))
    assert document.endswith(b"\r\n")
    assert document.count(b"\r\n") == document.count(b"\n")
    shown = json.loads(documents.document(view(INVOICE)))
    records = {row["record"]: row for row in rows(INVOICE)}
    line = records.pop("line")
    for name, value in shown["lines"][0].items():
        assert line[name] == flat(name, value)
    assert {name: row["amount"] for name, row in records.items()} == {
        **{name: shown[name] for name in tables.TOTALS},
        **{f"applied.{name}": amount for name, amount in shown["applied"].items()},
        **{f"statement.{name}": amount for name, amount in shown["statement"].items()},
    }
    for row in rows(INVOICE):
        assert (row["number"], row["account"], row["currency"]) == ("INV-2026-000001", "acct_1", "USD")
        assert (row["period_start"], row["period_end"]) == ("2026-09-30T16:00:00Z", "2026-10-31T16:00:00Z")


def test_csv_names_taxes_and_corrected_periods() -> None:
    found = rows(INVOICES["mixed"])
    assert [row["amount"] for row in found if row["record"] == "tax.VAT"] == [VIEWS["mixed"].tax]
    corrected = {row["correction_of"] for row in found if row["record"] == "line"}
    assert corrected == {"", "2026-09-01T00:00:00Z/2026-10-01T00:00:00Z"}


def test_ndjson_is_the_same_on_one_line() -> None:
    line = documents.line(view(INVOICE))
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert json.loads(line) == json.loads(documents.document(view(INVOICE)))


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "-", "=", "-1e5"])
def test_a_text_that_could_be_a_formula_is_neutralised(start: str) -> None:
    invoice = msgspec.structs.replace(INVOICE, customer=Customer(name=start, email=None, address=None))
    assert {row["customer"] for row in rows(invoice)} == {"'" + start}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_cell_begins_a_formula(name: str) -> None:
    invoice = msgspec.structs.replace(INVOICE, customer=Customer(name=name, email=None, address=None))
    for row in rows(invoice):
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", cell)


@pytest.mark.parametrize(
    ("number", "text"),
    [("30.000", "30"), ("0.50", "0.5"), ("1E+3", "1000"), ("0E-12", "0"), ("1E-12", "0.000000000001"), ("100", "100")],
)
def test_factors_are_printed_plainly(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
