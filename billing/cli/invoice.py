"""`billing invoice INV-2026-000001 -o october.pdf`: one invoice as a file."""

from typing import BinaryIO, get_args

import click

from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.db.pool import Pool
from billing.invoices import store
from billing.invoices.render import FORMATS
from billing.invoices.settlement import reading
from billing.invoices.view import InvoiceView, view
from billing.prices.words import Language
from billing.settings import Settings


@click.command("invoice")
@click.argument("named", metavar="INVOICE")
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), help="[default: what the name of FILE ends in; else json]"
)
@click.option("--lang", type=click.Choice(get_args(Language)), default="en", show_default=True, help="Of HTML and PDF.")
@click.option(
    "-o", "--output", type=click.File("wb"), default="-", metavar="FILE", help="Standard output, if not given."
)
def command(named: str, kind: str | None, lang: Language, output: BinaryIO) -> None:
    """Write an invoice, called by its id or its number, as a file. HTML and PDF also say when it is void, credited or
    paid by now."""
    form = FORMATS[kind or ending(output.name)]

    async def work(pool: Pool, _settings: Settings) -> InvoiceView | None:
        async with pool.connection() as conn:
            invoice = await store.find_named(conn, named)
            if invoice is None:
                return None
            return (await reading.current(conn, [invoice]))[0] if form.read else view(invoice)

    shown = run_with_pool(work)
    if shown is None:
        raise Failure(f"There is no invoice {named}.")
    output.write(form.print(shown, lang))


def ending(name: str) -> str:
    """The format whose name a file's ends in: focus.csv goes before csv."""
    return max((kind for kind in FORMATS if name.endswith(f".{kind}")), key=len, default="json")
