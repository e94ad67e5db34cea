"""An invoice as a file over HTTP."""

from typing import Any

from anyio import to_thread
from litestar import Response

from billing.errors import NotFound
from billing.http import StrictRequest
from billing.invoices import render
from billing.invoices.view import InvoiceView
from billing.prices.words import Language, preferred


def split(name: str) -> tuple[str, str]:
    """`inv_1.focus.csv` as the invoice's id and the kind of file, "" for none. Raises NotFound for no such kind."""
    invoice_id, _, kind = name.partition(".")
    if kind not in ("", *render.FORMATS):
        *others, last = render.FORMATS
        known = f"{', '.join(others)} or {last}"
        raise NotFound("unknown_format", f"An invoice comes as {known}, not as {kind[:20]!r}.")
    return invoice_id, kind


async def file(request: StrictRequest, shown: InvoiceView, kind: str, lang: Language | None) -> Response[Any]:
    """The invoice as a file of a kind there is: for people in `lang`, else in the browser's language."""
    form = render.FORMATS[kind]
    language = lang or preferred(request.headers.get("Accept-Language", ""))
    content = await to_thread.run_sync(form.print, shown, language)
    headers = {
        "Content-Disposition": f'{form.disposition}; filename="{shown.number or "draft"}.{kind}"',
        "X-Content-Type-Options": "nosniff",
    }
    if form.read:
        headers |= {"Content-Language": "zh-CN" if language == "zh" else "en", "Vary": "Accept-Language"}
    if form.policy:
        headers["Content-Security-Policy"] = form.policy
    return Response(content, media_type=form.media_type, headers=headers)
