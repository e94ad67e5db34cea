"""An invoice or a credit note as a file over HTTP."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from anyio import to_thread
from litestar import Response
from litestar.response import Stream

from billing.errors import NotFound
from billing.http import StrictRequest
from billing.invoices.render import Format, Shown
from billing.prices.words import Language, preferred


def split(name: str, kinds: Iterable[str], what: str) -> tuple[str, str]:
    """`inv_1.focus.csv` as an id and the kind of file, "" for none. Raises NotFound for a kind there is not."""
    thing_id, _, kind = name.partition(".")
    *others, last = kinds
    if kind not in ("", *others, last):
        raise NotFound("unknown_format", f"{what} comes as {', '.join(others)} or {last}, not as {kind[:20]!r}.")
    return thing_id, kind


async def file(
    request: StrictRequest, form: Format[Shown], shown: Shown, name: str, lang: Language | None
) -> Response[Any]:
    """What is shown as a file of this name: for people in `lang`, else in the browser's language."""
    language = lang or preferred(request.headers.get("Accept-Language", ""))
    content = await to_thread.run_sync(form.print, shown, language)
    headers = _headers(form.disposition, name)
    if form.read:
        headers |= {"Content-Language": "zh-CN" if language == "zh" else "en", "Vary": "Accept-Language"}
    if form.policy:
        headers["Content-Security-Policy"] = form.policy
    return Response(content, media_type=form.media_type, headers=headers)


def stream(content: AsyncIterator[bytes], media_type: str, name: str) -> Response[Any]:
    """What is written as it is read, as a file of this name."""
    return Stream(content, media_type=media_type, headers=_headers("attachment", name))


def _headers(disposition: str, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'{disposition}; filename="{name}"', "X-Content-Type-Options": "nosniff"}
