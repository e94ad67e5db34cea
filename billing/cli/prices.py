"""`billing prices`: what everything costs. It needs no database."""

import os
from datetime import UTC, datetime

import click

from billing.cli._input import Instant
from billing.cli._price_check import OrCheck
from billing.cli._print import as_json_option, console, exact, print_json, table
from billing.prices import catalogue
from billing.settings import load
from pricing import book, money
from pricing.entries import ANY_MODEL


@click.command("prices", cls=OrCheck)
@click.argument("model", required=False)
@click.option("--at", type=Instant(), help="When.  [default: now]")
@as_json_option
def command(model: str | None, at: datetime | None, as_json: bool) -> None:
    """List the prices of a model, by any of its names, or of all: the official ones, and ours.

    `billing prices check` looks for what is wrong or open in the price book.
    """
    settings = load(os.environ)
    prices = book.load(settings.price_file, published=settings.published_prices)
    when = at or datetime.now(UTC)
    models = [model] if model else [*prices.models, ANY_MODEL]
    found = catalogue.prices(prices, models, when, settings.multiplier)
    if as_json:
        print_json(found)
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
    console().print(shown)
