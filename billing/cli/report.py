"""`billing report`: the operator's reports."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click

from billing.cli import _reports
from billing.cli._database import run_with_pool
from billing.cli._input import TimeZone
from billing.cli._print import as_json_option, console, print_json
from billing.db.pool import Connection, Pool
from billing.reports import verification
from billing.reports.asked import LENGTHS, span
from billing.reports.grouped import Asked, Columns
from billing.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])
R = TypeVar("R")

EDGE = "a day such as 2026-11-01 in the time zone, or an instant"


@click.group("report")
def command() -> None:
    """What the operator wants to know: sums over any span, in any time zone's days."""


def report_options(columns: Columns, grouped_by: Sequence[str]) -> Callable[[Command], Command]:
    """The options of every report; those to filter and group by are what its roll-up has."""
    options = [
        click.option("--from", "since", metavar="TIME", help=f"From {EDGE}.  [default: 30 days before]"),
        click.option("--to", "until", metavar="TIME", help=f"To before {EDGE}.  [default: now]"),
        click.option("--interval", type=click.Choice(list(LENGTHS)), help="Divide the span."),
        click.option("--time-zone", type=TimeZone(), default="UTC", show_default=True, help="Whose days and hours."),
        click.option(
            "--group-by",
            type=click.Choice(list(columns)),
            multiple=True,
            default=tuple(grouped_by),
            show_default=True,
            help="May be repeated.",
        ),
        *(click.option(f"--{name}", multiple=True, help="Only this; may be repeated.") for name in columns),
        as_json_option,
    ]

    def add(made: Command) -> Command:
        for option in reversed(options):
            made = option(made)
        return made

    return add


def asked_of(
    settings: Settings,
    *,
    since: str | None,
    until: str | None,
    interval: Any,
    time_zone: str,
    group_by: Sequence[str],
    **only: Sequence[str],
) -> Asked:
    rows_max = settings.report_rows_max
    return Asked(
        span=span(since, until, time_zone, interval, rows_max=rows_max),
        group_by=list(dict.fromkeys(group_by)),
        filters={name: values for name, values in only.items() if values},
        rows_max=rows_max,
    )


def read(work: Callable[[Connection, Asked], Awaitable[R]], given: dict[str, Any]) -> R:
    """A report, asked for by the options that were given."""

    async def read_it(pool: Pool, settings: Settings) -> R:
        asked = asked_of(settings, **given)
        async with pool.connection() as conn:
            return await work(conn, asked)

    return run_with_pool(read_it)


@command.command("verification")
@report_options(verification.COLUMNS, verification.GROUPED_BY)
@click.option(
    "--worst",
    type=click.IntRange(0, verification.WORST_MAX),
    default=10,
    show_default=True,
    help="List so many of the worst events.",
)
def show_verification(worst: int, as_json: bool, **given: Any) -> None:
    """How reported token counts compare with ours, of the events that carried their text."""
    found = read(lambda conn, asked: verification.report(conn, asked, worst=worst), given)
    if as_json:
        print_json(found)
        return
    for part in _reports.verification(found):
        console().print(part)
