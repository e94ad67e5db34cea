"""`billing demo`: a month of a relay's business, made up, posted, closed and invoiced through the HTTP API."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from billing import proof
from billing.cli import Failure
from billing.cli._print import console
from billing.cli._summary import show
from billing.db.pool import open_pool
from billing.demo.checks import CHECKS
from billing.demo.gateway import Gateway, GatewayError
from billing.demo.month import Run, Stage, last_complete_month, run
from billing.demo.service import Service, data_folder, service
from billing.demo.traffic import Demo
from billing.settings import load

DESCRIPTIONS: dict[Stage, str] = {
    "making": "Making up a month",
    "customers": "Customers, keys, top-ups",
    "traffic": "Posting a month of traffic",
    "closing": "Closing the month",
    "invoices": "Writing the invoices",
}


@click.command("demo")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same traffic.")
@click.option("--events", type=click.IntRange(18, 5_000_000), default=80_000, show_default=True, help="Requests.")
@click.option("--customers", type=click.IntRange(1, 999), default=20, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("invoices"),
    show_default=True,
    help="Where the invoices go.",
)
@click.option("--url", metavar="URL", help="A running service, instead of one of its own.")
@click.option("--admin-key", metavar="KEY", help="Its admin key. Default: BILLING_ADMIN_KEY.")
def command(seed: int, events: int, customers: int, out: Path, url: str | None, admin_key: str | None) -> None:
    """Make customers, post a month of traffic, close it, write the invoices, and show what came of it.

    Nothing has to be prepared: it starts a service of its own on a database of its own, beside the real one.
    """
    demo = Demo(last_complete_month(datetime.now(UTC)), seed, customers, events)
    out.mkdir(parents=True, exist_ok=True)
    printer = console()
    try:
        if url:
            _on_running_service(printer, demo, out, url, admin_key or load(os.environ).admin_key)
        else:
            _on_own_service(printer, demo, out)
    except GatewayError as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        raise Failure("Stopped. Run it again to go on: what is booked already will not be billed twice.") from None


def _on_running_service(printer: Console, demo: Demo, out: Path, url: str, admin_key: str | None) -> None:
    if not admin_key:
        raise click.UsageError("--url needs the service's admin key too: --admin-key, or BILLING_ADMIN_KEY.")
    done = asyncio.run(_run(url, admin_key, demo, out))
    show(printer, done, out)
    differences = _check(printer, done)
    printer.print("  [dim]·[/] Where the service runs, `billing verify` proves the whole book.\n")
    _fail_on(differences)


def _on_own_service(printer: Console, demo: Demo, out: Path) -> None:
    settings = load(os.environ)
    folder = data_folder(settings)
    printer.print(
        f"Starting a service of its own, with PostgreSQL, in {folder.resolve()} …", style="dim", soft_wrap=True
    )
    with service(settings, folder) as own:
        done = asyncio.run(_run(own.url, own.admin_key, demo, out))
        show(printer, done, out)
        differences = _check(printer, done) + asyncio.run(_prove(printer, own))
    look = f"BILLING_DATA_DIR={folder.resolve()} BILLING_ADMIN_KEY=a-key-of-your-choice billing serve"
    printer.print(f"\n  To look around: {look}", style="dim", soft_wrap=True)
    _fail_on(differences)


async def _run(url: str, key: str, demo: Demo, out: Path) -> Run:
    async with Gateway(url, key) as admin:
        with _progress() as advance:
            return await run(admin, demo, out, advance)


class _Stages:
    """A progress bar for each stage, shown when it begins."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.tasks: dict[Stage, TaskID] = {}

    def __call__(self, stage: Stage, done: int, total: int) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(DESCRIPTIONS[stage], total=total)
        self.bars.update(self.tasks[stage], completed=done)


@contextmanager
def _progress() -> Iterator[_Stages]:
    columns = (TextColumn("{task.description:<27}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True)) as bars:
        yield _Stages(bars)


def _check(printer: Console, done: Run) -> list[str]:
    """Say of each claim of the demo whether it holds; answer what speaks against it."""
    printer.print("\n  [bold]Every cent accounted for[/]")
    found = []
    for claim, check in CHECKS.items():
        differences = list(check(done))
        _say(printer, claim, differences)
        found += differences
    return found


async def _prove(printer: Console, own: Service) -> list[str]:
    """The proof of `billing verify`, on the demo's own book."""
    pool = await open_pool(own.settings, own.database_url)
    async with pool, pool.connection() as conn:
        return await proof.differences(conn, lambda claim, found: _say(printer, claim, found))


def _say(printer: Console, claim: str, differences: list[str]) -> None:
    printer.print(f"  [red]✗[/] {claim}" if differences else f"  [green]✓[/] {claim}")
    for difference in differences:
        printer.print(f"      {difference}", markup=False)


def _fail_on(differences: list[str]) -> None:
    if differences:
        raise Failure(f"Something is not accounted for: {differences[0]}")
