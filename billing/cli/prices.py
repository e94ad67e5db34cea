"""`billing prices`: what everything costs. It needs no database, unless it is asked for the terms in it."""

from datetime import UTC, datetime

import click

from billing.cli._calculation import basis, basis_options
from billing.cli._input import Instant
from billing.cli._price_check import OrCheck
from billing.cli._print import as_json_option, console, exact, print_json, table
from billing.prices import catalogue
from pricing import money
from pricing.entries import ANY_MODEL


@click.command("prices", cls=OrCheck)
@click.argument("model", required=False)
@click.option("--at", type=Instant(), help="When.  [default: now]")
@basis_options
@as_json_option
def command(model: str | None, at: datetime | None, live: bool, account: str | None, as_json: bool) -> None:
    """List the prices of a model, by any of its names, or of all: the official ones, and ours.

    `billing prices check` looks for what is wrong or open in the price book.
    """
    when = at or datetime.now(UTC)
    terms = basis(when, live=live, account=account)
    models = [model] if model else [*terms.book.models, ANY_MODEL]
    found = catalogue.prices(terms.book, models, when, terms.multiplier)
    if as_json:
        print_json(found)
        click.echo(f"Terms: {terms.said}", err=True)
        return
    columns = ("model", "dimension", "official", "×", "ours", "unit", "price entry")
    shown = table(*columns, numbers=("official", "×", "ours"), title=f"Prices at {when:%Y-%m-%d %H:%M}Z")
    for price in found:
        shown.add_row(
            "any model" if price.model == ANY_MODEL else price.model,
            " ".join(filter(None, (price.dimension, price.variant))),
            exact(money.parse(price.official_unit_price)),
            price.multiplier,
            exact(money.parse(price.unit_price)),
            price.unit,
            price.entry,
        )
    printer = console()
    printer.print(shown)
    printer.print(f"Terms: {terms.said}", markup=False, soft_wrap=True, style="dim")
