"""HTML of one file, for reading and printing: no script, no resource from elsewhere, a policy that allows neither."""

import base64
import hashlib
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from billing.invoices.formats.printable import printable, seen
from billing.invoices.formats.sheet import Sheet, note_sheet, sheet
from billing.invoices.settlement.views import CreditNoteView
from billing.invoices.view import InvoiceView
from billing.prices.words import Language

_HERE = Path(__file__).parent
_STYLE = (_HERE / "invoice.css").read_text()
_templates = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def document(shown: InvoiceView, language: Language) -> bytes:
    return _page(sheet(shown, language))


def note(shown: CreditNoteView, language: Language) -> bytes:
    return _page(note_sheet(shown, language))


def _page(laid_out: Sheet) -> bytes:
    parts = printable(msgspec.to_builtins(laid_out), seen)
    page = _templates.get_template("invoice.html").render(**parts, style=Markup(_STYLE))  # noqa: S704, our own file
    return page.encode()
