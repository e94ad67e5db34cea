"""`billing export 2026-10 -o FILE`: all invoices and credit notes of a month in one file."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from billing.cli import Failure
from billing.cli._database import run_with_pool
from billing.cli._print import console
from billing.db.pool import Pool
from billing.invoices.exports import month as months
from billing.invoices.exports.manifest import Summary
from billing.invoices.exports.writing import KINDS, Export, Kind, parts_of
from billing.prices.words import Language
from billing.settings import Settings


@click.command("export")
@click.argument("month", metavar="YYYY-MM")
@click.option("--format", "kind", type=click.Choice(KINDS), default="zip", show_default=True)
@click.option("-o", "--output", "file", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--pdf", is_flag=True, help="Put PDFs into the archive, too: some 15 ms a page.")
@click.option("--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Of HTML and PDF.")
@click.option("--force", is_flag=True, help="Put it in the place of a file that is there already.")
def command(month: str, kind: Kind, file: Path, pdf: bool, lang: Language, force: bool) -> None:
    """Export all invoices and credit notes of a month: an archive (zip) with JSON, CSV and HTML of each, all of them as
    CSV, NDJSON and FOCUS, and a manifest; or one table of all.

    FILE appears when it is complete; until then it is FILE.partial. Beside a table lies its manifest, as
    FILE.manifest.json. Exits with 1 when the ledger does not agree.
    """
    if pdf and kind != "zip":
        raise click.UsageError("--pdf goes with --format zip.")
    if file.exists() and not force:
        raise Failure(f"{file} is there already. Choose another name, or replace it with --force.")

    async def work(pool: Pool, _settings: Settings) -> Summary:
        async with pool.connection() as conn:
            found = await months.find(conn, month)
        documents = found.invoices.documents + found.credit_notes.documents
        with _progress(month, documents * parts_of(kind)) as progress:
            export = Export(pool, found, kind, pdf=pdf, language=lang, progress=progress)
            with export.manifest, _partial(file) as out:
                async for part in export.stream():
                    out.write(part)
                if kind != "zip":
                    with _partial(file.with_name(f"{file.name}.manifest.json")) as manifest:
                        manifest.write(export.document())
                return export.summary

    _tell(run_with_pool(work), file)


@contextmanager
def _progress(month: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn(f"Exporting {month}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("export", total=total)
        yield lambda documents: progress.update(task, advance=documents)


@contextmanager
def _partial(file: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when all of it is on disk, and is gone if that fails."""
    partial = file.with_name(f"{file.name}.partial")
    with partial.open("ab") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"Another export is being written to {partial}.") from None
        try:
            os.fchmod(out.fileno(), 0o600)  # who may read it may read every customer
            out.truncate(0)
            yield out
            out.flush()
            os.fsync(out.fileno())
            partial.replace(file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _tell(summary: Summary, file: Path) -> None:
    size = decimal(file.stat().st_size)
    console().print(
        f"{summary.invoices} invoices and {summary.credit_notes} credit notes of {summary.month}, "
        f"${summary.totals.net['total']} in all: {file} ({size})."
    )
    if summary.left_out:
        console().print(f"[yellow]Too long to be set as PDF: {len(summary.left_out)}; the manifest names them.[/]")
    if summary.unbilled_accounts:
        console().print(
            f"[yellow]{summary.unbilled_accounts} accounts have usage that is on no invoice: "
            f"`billing close {summary.month}` first.[/]"
        )
    if not summary.final:
        console().print("[yellow]This is not final: the month is not over, or not closed for every account.[/]")
    if not summary.ledger.agrees:
        different = summary.ledger.different_documents
        raise Failure(f"The ledger does not agree with {different} of them; `billing verify` says more.")
    books = summary.ledger
    console().print(f"The ledger agrees: ${books.revenue} revenue, ${books.rounding} rounding, ${books.taxes} taxes.")
