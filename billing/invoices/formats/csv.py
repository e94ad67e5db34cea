"""CSV: the lines, totals and statement of an invoice as one table."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from billing.invoices.view import InvoiceView, LineView

SAME_COLUMNS = ("number", "account", "customer", "period_start", "period_end", "currency", "record", "position")
LINE_COLUMNS = LineView.__struct_fields__
TOTALS = ("amount_exact", "subtotal", "tax", "tax_included", "total", "amount_due", "earlier_due", "residue")


def lines(shown: InvoiceView) -> bytes:
    """RFC 4180 in UTF-8: a header, then one record for each line, tax, total and amount of the statement.

    The column `record` says which it is (`line`, `tax.VAT`, `total`, `applied.credits`, `statement.closing`, …); the
    money is in `amount`. `correction_of` is the earlier period, `start/end`, in which a line was used.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*SAME_COLUMNS, *LINE_COLUMNS))
    for record in records(shown):
        writer.writerow([cell(record.get(column, "")) for column in (*SAME_COLUMNS, *LINE_COLUMNS)])
    return text.getvalue().encode()


def records(shown: InvoiceView) -> Iterator[dict[str, object]]:
    """A dict for each line, tax, total and amount of the statement."""
    document = msgspec.to_builtins(shown)
    same = {
        "number": shown.number or "",
        **{name: document[name] for name in ("account", "currency")},
        "customer": shown.customer.name,
        "period_start": document["period"]["start"],
        "period_end": document["period"]["end"],
    }
    for position, line in enumerate(document["lines"], start=1):
        yield {**same, "record": "line", "position": position, **line, **_flat(line)}
    for tax in shown.taxes:
        yield {**same, "record": f"tax.{tax.name}", "amount": tax.amount}
    for name in TOTALS:
        yield {**same, "record": name, "amount": document[name]}
    for part in ("applied", "statement"):
        for name, amount in document[part].items():
            yield {**same, "record": f"{part}.{name}", "amount": amount}


def _flat(line: dict[str, Any]) -> dict[str, str]:
    return {"price_ids": " ".join(map(str, line["price_ids"])), "correction_of": corrected(line)}


def corrected(line: dict[str, Any]) -> str:
    """The earlier period of a line's usage, if it came late."""
    period = line["correction_of"]
    return f"{period['start']}/{period['end']}" if period else ""


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: text that could be one gets an apostrophe; a number cannot be."""
    text = str(value)
    return "'" + text if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
