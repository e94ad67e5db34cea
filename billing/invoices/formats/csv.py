"""CSV: the lines, totals and statement of an invoice as one table."""

import csv
import io
import re
from collections.abc import Iterator

import msgspec

from billing.invoices.view import InvoiceView, LineView

SAME_COLUMNS = ("number", "account", "customer", "period_start", "period_end", "currency", "record", "position")
LINE_COLUMNS = LineView.__struct_fields__
TOTALS = ("amount_exact", "subtotal", "tax", "total", "residue")


def lines(shown: InvoiceView) -> bytes:
    """RFC 4180 in UTF-8: a header, then one record for each line, total and amount of the statement.

    The column `record` says which it is (`line`, `total`, `statement.closing`, …); the money is in `amount`.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*SAME_COLUMNS, *LINE_COLUMNS))
    for record in _records(shown):
        writer.writerow([_cell(record.get(column, "")) for column in (*SAME_COLUMNS, *LINE_COLUMNS)])
    return text.getvalue().encode()


def _records(shown: InvoiceView) -> Iterator[dict[str, object]]:
    document = msgspec.to_builtins(shown)
    same = {
        **{name: document[name] for name in ("number", "account", "currency")},
        "customer": shown.customer.name,
        "period_start": document["period"]["start"],
        "period_end": document["period"]["end"],
    }
    for position, line in enumerate(document["lines"], start=1):
        price_ids = " ".join(map(str, line["price_ids"]))
        yield {**same, "record": "line", "position": position, **line, "price_ids": price_ids}
    for name in TOTALS:
        yield {**same, "record": name, "amount": document[name]}
    for name, amount in document["statement"].items():
        yield {**same, "record": f"statement.{name}", "amount": amount}


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: text that could be one gets an apostrophe; a number cannot be."""
    text = str(value)
    return "'" + text if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
