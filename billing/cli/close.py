"""`billing close 2026-10`: an invoice for each account that used something in the month."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.db.pool import Pool
from billing.invoices import store
from billing.invoices.close import OUTCOMES, Outcome, Result, Summary, close_month
from billing.invoices.render import FORMATS
from billing.invoices.view import view
from billing.settings import Settings
from pricing import money

LISTED_MAX = 20
"""Accounts that need attention are listed up to this many."""

WRITTEN = ("json", "csv")
WRITTEN_AT_ONCE = 200

MEANINGS: dict[Outcome, str] = {
    "invoiced": "invoices made now",
    "empty": "nothing used, nothing to invoice",
    "already_closed": "closed by an earlier run",
    "parked": "statement and ledger differ: not invoiced",
    "refused": "not over yet, or an earlier month is open",
    "failed": "stopped by an error: run it again",
}


@click.command("close")
@click.argument("month", metavar="YYYY-MM")
@click.option("--account", metavar="ACCOUNT", help="Only this account.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the month's invoices there, as JSON and CSV.",
)
def command(month: str, account: str | None, out: Path | None) -> None:
    """Close a month: one invoice for each account that used something, in its own time zone.

    Of an account whose periods begin on another day than the first, the period that ends within the month.
    Running it again changes nothing and does what was left. Exits with 1 when an account could not be closed.
    """
    console = Console(highlight=False)
    if out:
        out.mkdir(parents=True, exist_ok=True)
    summary = run_with_pool(lambda pool, settings: _close(pool, settings, month, account, out))
    console.print(table(summary))
    if out:
        console.print(f"The invoices are in {out}.")
    attention = [result for result in summary.results if result.needs_attention]
    for result in attention[:LISTED_MAX]:
        console.print(f"[yellow]{result.outcome}[/] {result.account}: ", end="")
        console.print(result.detail, markup=False)
    if attention:
        raise Failure(f"{len(attention)} of {len(summary.results)} accounts could not be closed.")


async def _close(pool: Pool, settings: Settings, month: str, account: str | None, out: Path | None) -> Summary:
    columns = (TextColumn(f"Closing {month}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("close", total=None)

        def advance(_result: Result, total: int) -> None:
            progress.update(task, advance=1, total=total)

        summary = await close_month(pool, settings, month, account, advance)
    if out:
        await _write(pool, [result.invoice for result in summary.results if result.invoice], out)
    return summary


async def _write(pool: Pool, ids: list[str], folder: Path) -> None:
    async with pool.connection() as conn:
        for first in range(0, len(ids), WRITTEN_AT_ONCE):
            for invoice in await store.find_all(conn, ids[first : first + WRITTEN_AT_ONCE]):
                for kind in WRITTEN:
                    (folder / f"{invoice.number}.{kind}").write_bytes(FORMATS[kind].print(view(invoice), "en"))


def table(summary: Summary) -> Table:
    """Accounts by outcome, and what the month's invoices come to."""
    shown = Table(title=f"Closing {summary.period}", title_justify="left", show_footer=True)
    shown.add_column("outcome", footer="invoiced in all")
    shown.add_column("accounts", justify="right", footer=str(sum(bool(result.invoice) for result in summary.results)))
    shown.add_column("dollars", justify="right", footer=money.format(summary.total))
    shown.add_column("", footer=f"rounding {money.format(summary.residue)}")
    for outcome in OUTCOMES:
        results = [result for result in summary.results if result.outcome == outcome]
        if results:
            total = sum(result.total for result in results)
            shown.add_row(outcome.replace("_", " "), str(len(results)), money.format(total), MEANINGS[outcome])
    return shown
