"""`billing quote`: what a request would cost. It needs no database, unless it is asked for the terms in it."""

from datetime import UTC, datetime

import click
import msgspec
from rich.markup import escape

from billing.cli import Failure
from billing.cli._calculation import Basis, basis, basis_options, calculation, evidence
from billing.cli._input import Instant
from billing.cli._print import as_json_option, console, print_json
from billing.prices.api import Quote
from pricing import usage
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
@basis_options
@as_json_option
def command(
    model: str,
    report: str | None,
    input_tokens: int | None,
    output_tokens: int | None,
    at: datetime | None,
    tier: str | None,
    batch: bool,
    live: bool,
    account: str | None,
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
    terms = basis(when, live=live, account=account)
    charge = _charge(terms, model, report, when, tier, batch)
    quote = msgspec.convert(charge.as_dict(), Quote)
    if as_json:
        print_json(quote)
        click.echo(f"Terms: {terms.said}", err=True)
        return
    printer = console()
    printer.print(f"\n  [bold]{escape(quote.model)}[/] at {when:%Y-%m-%d %H:%M}Z\n")
    printer.print(calculation(quote.lines, quote.amount))
    printer.print(evidence(quote.lines))
    printer.print(f"  Terms: {terms.said}", markup=False, soft_wrap=True, style="dim")


def _charge(terms: Basis, model: str, report: str, at: datetime, tier: str | None, batch: bool) -> Charge:
    try:
        used = usage.read(report)
    except UsageError as fault:
        raise Failure(f"The usage is not acceptable: {fault}") from None
    return rate_request(
        terms.book, used, model=model, at=at, service_tier=tier, batch=batch, multiplier=terms.multiplier
    )
