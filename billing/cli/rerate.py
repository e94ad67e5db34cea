"""`billing rerate`: bill late what waited for a price."""

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from billing.cli._database import run_with_pool
from billing.db.pool import Pool
from billing.metering.intake import Intake
from billing.metering.rerate import Summary, rerate
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings


@click.command()
@click.option("--account", help="Only this account's events.")
def command(account: str | None) -> None:
    """Bill the events that waited for a price and have one by now. Nothing is ever billed twice."""
    console = Console(soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.completed} events looked at"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("rerate", total=None)

        async def work(pool: Pool, settings: Settings) -> Summary:
            intake = Intake(pool, TermsKeeper.by(settings), settings)
            return await rerate(pool, intake.large, account, lambda seen: progress.update(task, advance=seen))

        summary = run_with_pool(work)
    console.print(f"Billed {summary.billed} events for ${summary.amount}; {summary.waiting} still wait for a price.")
