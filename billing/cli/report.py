"""`billing report`: the operator's reports."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import click
from rich.console import RenderableType

from billing.cli import _reports
from billing.cli._database import run_with_pool
from billing.cli._input import TimeZone
from billing.cli._print import as_json_option, console, print_json
from billing.db.pool import Connection, Pool
from billing.reports import status, sums, verification
from billing.reports.asked import LENGTHS, Interval, span
from billing.reports.grouped import Asked, Reader
from billing.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
R = TypeVar("R")

EDGE = "a day such as 2026-11-01 in the time zone, or an instant"


@click.group("report")
def command() -> None:
    """What the operator wants to know: sums over any span, in any time zone's days."""


def report_options(
    only: Iterable[str], groups: Iterable[str] = (), grouped_by: Sequence[str] = (), *, divided: bool = True
) -> Callable[[Command], Command]:
    """The options of every report, and those to filter and group by that it has."""
    options = [
        click.option("--from", "since", metavar="TIME", help=f"From {EDGE}.  [default: 30 days before]"),
        click.option("--to", "until", metavar="TIME", help=f"To before {EDGE}.  [default: now]"),
        click.option("--time-zone", type=TimeZone(), default="UTC", show_default=True, help="Whose days and hours."),
        *(click.option(f"--{name}", multiple=True, help="Only this; may be repeated.") for name in only),
        as_json_option,
    ]
    if divided:
        options.insert(2, click.option("--interval", type=click.Choice(list(LENGTHS)), help="Divide the span."))
    if choices := list(groups):
        kind, default = click.Choice(choices), tuple(grouped_by)
        options.insert(
            3, click.option("--group-by", type=kind, multiple=True, default=default, help="By what; may be repeated.")
        )

    def add(made: Command) -> Command:
        for option in reversed(options):
            made = option(made)
        return made

    return add


def read(
    report: Callable[[Connection, Asked], Awaitable[R]],
    *,
    since: str | None,
    until: str | None,
    time_zone: str,
    interval: Interval | None = None,
    **asked: Sequence[str],
) -> R:
    """A report, asked for by the options that were given."""

    async def read_it(pool: Pool, settings: Settings) -> R:
        rows_max = settings.report_rows_max
        reader = Reader(pool, span(since, until, time_zone, interval, rows_max=rows_max), rows_max)
        return await reader.read(report, **asked)

    return run_with_pool(read_it)


def show(report: Any, as_json: bool, parts: Callable[[Any], Iterable[RenderableType]]) -> None:
    if as_json:
        print_json(report)
        return
    for part in parts(report):
        console().print(part)


MONEY_ONLY = ("model", "upstream", "account")


@command.command("revenue")
@report_options((*sums.COLUMNS, "account"), sums.COLUMNS)
def show_revenue(as_json: bool, **given: Any) -> None:
    """Requests and what they were charged."""
    show(read(sums.revenue, **given), as_json, _reports.sums)


@command.command("usage")
@report_options((*sums.COLUMNS, "account"), sums.COLUMNS)
def show_usage(as_json: bool, **given: Any) -> None:
    """How much was used of each dimension, such as input tokens."""
    show(read(sums.usage, **given), as_json, _reports.sums)


@command.command("models")
@report_options(MONEY_ONLY)
def show_models(as_json: bool, **given: Any) -> None:
    """The models, those first that were charged most."""
    show(read(sums.models, **given), as_json, _reports.sums)


@command.command("margin")
@report_options(MONEY_ONLY, sums.COLUMNS, sums.MARGIN_BY)
def show_margin(as_json: bool, **given: Any) -> None:
    """What requests were charged, what they cost us, and what is left."""
    show(read(sums.margin, **given), as_json, _reports.sums)


@command.command("customers")
@report_options(("account",), divided=False)
@click.option(
    "--limit", type=click.IntRange(1, sums.CUSTOMERS_MAX), default=20, show_default=True, help="So many customers."
)
def show_customers(limit: int, as_json: bool, **given: Any) -> None:
    """The customers who were charged most; the total is of all."""
    found = read(partial(sums.customers, limit=limit), **given)
    show(found, as_json, _reports.sums)


@command.command("status")
@report_options(status.COLUMNS, status.COLUMNS, status.GROUPED_BY)
def show_status(as_json: bool, **given: Any) -> None:
    """How many requests failed, and how long they took."""
    show(read(status.report, **given), as_json, _reports.status)


@command.command("verification")
@report_options(verification.COLUMNS, verification.COLUMNS, verification.GROUPED_BY)
@click.option(
    "--worst",
    type=click.IntRange(0, verification.WORST_MAX),
    default=10,
    show_default=True,
    help="List so many of the worst events.",
)
def show_verification(worst: int, as_json: bool, **given: Any) -> None:
    """How reported token counts compare with ours, of the events that carried their text."""
    found = read(partial(verification.report, worst=worst), **given)
    show(found, as_json, _reports.verification)
