"""`billing verify`: the proof that no cent is missing."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from billing import proof
from billing.accounts.store import get as get_account
from billing.cli._database import run_with_pool
from billing.db.pool import Connection, Pool
from billing.examined import Scope
from billing.ledger import heads
from billing.settings import Settings


@click.command()
@click.option("--account", metavar="ACCOUNT", help="Only what concerns this account.")
@click.option("--incremental", is_flag=True, help="Only what is new since each account was proved.")
@click.option(
    "--heads",
    "kept",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the heads of all chains there, to be kept elsewhere.",
)
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Heads that were kept before: nothing before them may have changed.",
)
def command(account: str | None, incremental: bool, kept: Path | None, against: Path | None) -> None:
    """Prove that every sum in the book is right; name each difference and fail when one is not."""
    console = Console(highlight=False, soft_wrap=True)
    scope = Scope("incremental" if incremental else "full", account)
    started = time.monotonic()

    async def work(pool: Pool, _settings: Settings) -> list[str]:
        async with pool.connection() as conn:
            if account is not None:
                await get_account(conn, account)
            found = await _prove(conn, console, scope)
            if against is not None:
                found += await _compare(conn, console, against)
            if kept is not None:
                await _keep(conn, kept)
            console.print(f"Digest of the heads of all chains: {await heads.digest(conn)}")
            return found

    differences = run_with_pool(work)
    seconds = time.monotonic() - started
    if differences:
        many = "difference" if len(differences) == 1 else "differences"
        console.print(f"[red]{len(differences)} {many}[/], found in {seconds:.1f} s.")
        raise SystemExit(1)
    console.print(f"{_right(scope)} Proved in {seconds:.1f} s.")


async def _prove(conn: Connection, console: Console, scope: Scope) -> list[str]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        return await proof.differences(
            conn,
            lambda claim, found: _report(console, claim, found),
            scope,
            lambda claim: progress.reset(task, description=f"{claim} …"),
        )


async def _compare(conn: Connection, console: Console, file: Path) -> list[str]:
    with file.open("rb") as kept:
        found = await heads.changed(conn, kept)
    _report(console, f"Nothing has changed before the heads in {file}", found)
    return found


async def _keep(conn: Connection, file: Path) -> None:
    with file.open("wb") as kept:
        async for line in heads.lines(conn):
            kept.write(line)


def _report(console: Console, claim: str, found: list[str]) -> None:
    console.print(f"[red]✗[/] {claim}" if found else f"[green]✓[/] {claim}")
    for difference in found:
        console.print(f"    {difference}", markup=False)


def _right(scope: Scope) -> str:
    whose = "The book" if scope.account is None else f"Account {scope.account}"
    if scope.mode == "full":
        return f"{whose} is right."
    return f"{whose} is right in what is new. Sums over all time were not looked at: leave out --incremental for them."
