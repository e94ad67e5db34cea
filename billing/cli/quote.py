"""`billing quote`: what a request would cost. It needs no database."""

import os
from datetime import UTC, datetime

import click
import msgspec
from rich.markup import escape

from billing.cli import Failure
from billing.cli._calculation import calculation, evidence
from billing.cli._input import Instant
from billing.cli._print import as_json_option, console, print_json
from billing.prices.api import Quote
from billing.settings import load
from pricing import book, usage
from pricing.charge import Charge
from pricing.errors import UsageError
from pricing.rating import rate_request


@click.command("quote")
@click.argument("model")
@click.option("--usage", "report", metavar="JSON", help="As the API reports it, such as '{\"prompt_tokens\": 19}'.")
@click.option(
    "--input", "input_tokens", type=click.IntRange(min=0), metavar="TOKENS", help="Or the tokens of the prompt"
)
@click.option("--output", "output_tokens", type=click.IntRange(min=0), metavar="TOKENS", help="and of the answer.")
@click.option("--at", type=Instant(), help="When.  [default: now]")
@click.option("--tier", metavar="TIER", help="The service tier: flex, priority …")
@click.option("--batch", is_flag=True, help="By the Batch API.")
@as_json_option
def command(
    model: str,
    report: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    at: datetime | None,
    tier: str | None,
    batch: bool,
    as_json: bool,
) -> None:
    """Work out what a request would cost, line by line. Nothing is booked."""
    counted = input_tokens is not None or output_tokens is not None
    if (report is not None) == counted:
        raise click.UsageError("Say what is used: either --usage JSON, or --input and --output tokens.")
    if report is None:
        tokens = {"prompt_tokens": input_tokens or 0, "completion_tokens": output_tokens or 0}
        report = msgspec.json.encode(tokens).decode()
    when = at or datetime.now(UTC)
    charge = _charge(model, report, when, tier, batch)
    quote = msgspec.convert(charge.as_dict(), Quote)
    if as_json:
        print_json(quote)
        return
    printer = console()
    printer.print(f"\n  [bold]{escape(quote.model)}[/] at {when:%Y-%m-%d %H:%M}Z\n")
    printer.print(calculation(quote.lines, quote.amount))
    printer.print(evidence(quote.lines))


def _charge(model: str, report: str, at: datetime, tier: str | None, batch: bool) -> Charge:
    settings = load(os.environ)
    prices = book.load(settings.price_file, published=settings.published_prices)
    try:
        used = usage.read(report)
    except UsageError as fault:
        raise Failure(f"The usage is not acceptable: {fault}") from None
    return rate_request(
        prices, used, model=model, at=at, service_tier=tier, batch=batch, multiplier=settings.multiplier
    )
