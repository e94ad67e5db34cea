"""`billing verify`: the proof that no cent is missing."""

import time

import click
from rich.console import Console

from billing import proof
from billing.cli._database import run_with_pool
from billing.db.pool import Pool
from billing.settings import Settings


@click.command()
def command() -> None:
    """Prove that every sum in the book is right; name each difference and fail when one is not."""
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()

    def report(claim: str, found: list[str]) -> None:
        console.print(f"[red]✗[/] {claim}" if found else f"[green]✓[/] {claim}")
        for difference in found:
            console.print(f"    {difference}", markup=False)

    async def work(pool: Pool, _settings: Settings) -> list[str]:
        async with pool.connection() as conn:
            return await proof.differences(conn, report)

    differences = run_with_pool(work)
    seconds = time.monotonic() - started
    if differences:
        many = "difference" if len(differences) == 1 else "differences"
        console.print(f"[red]{len(differences)} {many}[/], found in {seconds:.1f} s.")
        raise SystemExit(1)
    console.print(f"The book is right. Proved in {seconds:.1f} s.")
