"""The month's export over HTTP: streamed, so that it takes no more memory however large it is."""

from collections.abc import AsyncIterator

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from billing.db.pool import Pool
from billing.http import requires
from billing.invoices.exports import month as months
from billing.invoices.exports.writing import MEDIA_TYPES, Export, Kind, file_name
from billing.prices.words import Language


@get("/v1/periods/{period:str}/export", guards=[requires("admin")], tags=["invoices"])
async def export_period(
    period: FromPath[str],
    pool: NamedDependency[Pool],
    format: FromQuery[Kind] = "zip",
    pdf: FromQuery[bool] = False,
    lang: FromQuery[Language] = "en",
    manifest: FromQuery[bool] = False,
) -> Response[bytes] | Stream:
    """All invoices and credit notes of a month (`YYYY-MM`): an archive with JSON, CSV and HTML of each (and PDF), all
    of them as CSV, NDJSON and FOCUS, and a manifest as the last file; or one of these tables alone.

    The same documents give the same bytes. The manifest has counts, totals, whether the ledger agrees, and the SHA-256
    of each file; with `manifest=true` it is all that is sent, made from the same bytes.
    """
    async with pool.connection() as conn:
        month = await months.find(conn, period)
    export = Export(pool, month, format, pdf=pdf, language=lang)
    if manifest:
        with export.manifest:
            async for _ in export.stream():
                pass
            return Response(export.document(), media_type="application/json")
    headers = {"Content-Disposition": f'attachment; filename="{file_name(period, format)}"'}
    return Stream(_sent(export), media_type=MEDIA_TYPES[format], headers=headers)


async def _sent(export: Export) -> AsyncIterator[bytes]:
    with export.manifest:
        async for part in export.stream():
            if part:
                yield part


router = Router("/", route_handlers=[export_period])
