"""JSON: the view itself, as an endpoint answers it; NDJSON: the same on one line, to be put behind others."""

import msgspec

from billing.invoices.view import InvoiceView


def document(shown: InvoiceView) -> bytes:
    return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"


def line(shown: InvoiceView) -> bytes:
    return msgspec.json.encode(shown) + b"\n"
