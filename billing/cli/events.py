"""`billing events`: what is kept of the events."""

import re
from datetime import UTC, datetime

import click

from billing.cli._database import run_with_pool
from billing.cli._print import as_json_option, console, print_json, table
from billing.db.pool import Pool
from billing.metering.retention import Month, drop
from billing.settings import Settings


@click.group("events")
def command() -> None:
    """Look after the events that are kept."""


@command.command("drop")
@click.option("--before", metavar="YYYY-MM", required=True, help="Months of arrival (UTC) before this one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@as_json_option
def drop_months(before: str, dry_run: bool, as_json: bool) -> None:
    """Drop the events of old months, for ever. Their charges, sums and identities stay.

    A month stays while anything needs it: a period that is not closed, an event that waits for review, a proof of the
    whole book that was not made since. Exits with 1 when one stays.
    """
    if not re.fullmatch(r"20[0-9]{2}-(0[1-9]|1[0-2])", before):
        raise click.UsageError("--before is a month such as 2026-01.")
    first_kept = datetime(int(before[:4]), int(before[5:]), 1, tzinfo=UTC)
    if first_kept > datetime.now(UTC):
        raise click.UsageError("This month's events and later ones are kept: --before must have begun.")

    async def work(pool: Pool, _settings: Settings) -> list[Month]:
        async with pool.connection() as conn:
            return await drop(conn, first_kept, dry_run=dry_run)

    found = run_with_pool(work)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if any(month.needed for month in found):
        raise SystemExit(1)


def _print(found: list[Month]) -> None:
    printed = table("month", "events", "", numbers=("events",))
    for month in found:
        state = "dropped" if month.dropped else f"kept: {month.needed}" if month.needed else "could be dropped"
        printed.add_row(f"{month.start:%Y-%m}", f"{month.events:,}", state)
    console().print(printed if found else "There are no events of earlier months.")
