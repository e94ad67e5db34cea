"""`billing invoice inv_… --format pdf -o FILE`: one invoice as a file."""

from typing import BinaryIO, get_args

import click

from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.db.pool import Pool
from billing.invoices import store
from billing.invoices.invoice import Invoice
from billing.invoices.render import FORMATS
from billing.invoices.view import view
from billing.prices.words import Language
from billing.settings import Settings


@click.command("invoice")
@click.argument("invoice_id", metavar="INVOICE")
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), default="json", show_default=True)
@click.option("--lang", type=click.Choice(get_args(Language)), default="en", show_default=True, help="Of HTML and PDF.")
@click.option(
    "-o", "--output", type=click.File("wb"), default="-", metavar="FILE", help="Standard output, if not given."
)
def command(invoice_id: str, kind: str, lang: Language, output: BinaryIO) -> None:
    """Write an invoice as a file."""

    async def work(pool: Pool, _settings: Settings) -> Invoice | None:
        async with pool.connection() as conn:
            return await store.find(conn, invoice_id, None)

    invoice = run_with_pool(work)
    if invoice is None:
        raise Failure(f"There is no invoice {invoice_id}.")
    output.write(FORMATS[kind].print(view(invoice), lang))
