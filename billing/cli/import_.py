"""`billing import`: usage events from files."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import IO

import click
import msgspec
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from billing.cli import Failure, failure
from billing.cli._database import run_with_pool
from billing.cli._print import console, exact
from billing.db.pool import Pool
from billing.imports import refusals
from billing.imports.files import FORMATS, FileError, Source, format_of, opened
from billing.imports.importing import Importing, Tally
from billing.imports.items import Item, items
from billing.metering.answers import Result
from billing.metering.intake import Intake
from billing.observe.logs import masked
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings

BATCH = 2000
VERIFICATION_SECONDS_MAX = 60
"""Nobody waits for an answer here, so texts may take as long as a setting may say (BILLING_VERIFICATION_…)."""
VERIFICATION_WAITING_BYTES_MAX = 1 << 32


class Options(msgspec.Struct, frozen=True):
    kind: str
    batch: int
    skip: int
    refused_to: Path | None


@click.command("import")
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    show_default=True,
    help="auto: by its first character.",
)
@click.option("--batch", type=click.IntRange(1, 10_000), default=BATCH, show_default=True, help="Events a transaction.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Pass over the first events of the one FILE.")
@click.option(
    "--refused",
    "refused_to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a line of JSON here for each event that was not kept. With --skip they are added to it.",
)
def command(files: tuple[Path, ...], kind: str, batch: int, skip: int, refused_to: Path | None) -> None:
    """Book the usage events in files: NDJSON, JSON or CSV, gzipped or not; - is standard input.

    Each event is taken as POST /v1/events would take it. It can be stopped and run again: what is booked already is
    not booked twice. Exits with 1 when an event was refused or a file could not be read to its end.
    """
    if skip and len(files) > 1:
        raise click.UsageError("--skip is for one file: import the others on their own.")
    options = Options(kind, batch, skip, refused_to)

    async def work(pool: Pool, settings: Settings) -> bool:
        patient = msgspec.structs.replace(
            settings,
            verification_seconds_max=VERIFICATION_SECONDS_MAX,
            verification_waiting_bytes_max=VERIFICATION_WAITING_BYTES_MAX,
        )
        intake = Intake(pool, TermsKeeper.by(settings), patient)
        try:
            return await _import_all(files, options, intake)
        finally:
            await intake.close()

    if not run_with_pool(work):
        raise SystemExit(1)


async def _import_all(files: tuple[Path, ...], options: Options, intake: Intake) -> bool:
    """Whether all that the files hold is booked."""
    whole = True
    with _report(options) as report:
        for path in files:
            try:
                with opened(path) as source:
                    whole &= await _import(source, options, intake, report)
            except FileError as damage:
                click.echo(f"Error: {damage}", err=True)
                whole = False
    return whole


def _report(options: Options) -> AbstractContextManager[IO[str] | None]:
    if options.refused_to is None:
        return nullcontext()
    return options.refused_to.open("a" if options.skip else "w", encoding="utf-8")


async def _import(source: Source, options: Options, intake: Intake, report: IO[str] | None) -> bool:
    """Whether all of a file is booked. Raises FileError where it cannot be read any further."""
    kind = format_of(source) if options.kind == "auto" else options.kind

    def note(item: Item, result: Result) -> None:
        if report is not None:
            refusals.write(report, refusals.told(source.name, item, result))

    importing = Importing(intake, options.batch, note, by_column=kind == "csv")
    found = islice(items(source, kind, intake.settings.body_bytes_max), options.skip, None)
    started = time.monotonic()
    try:
        with _stopped_by_signals(importing), _progress(source, importing.tally, started) as progress:
            await importing.run(found, progress)
    except FileError:
        _show(source.name, importing.tally, started)
        raise
    except Exception as error:
        raise Failure(f"{failure(error).message} {_how_to_go_on(source, importing, options)}") from error
    _show(source.name, importing.tally, started)
    if importing.stopped:
        raise Failure(f"Stopped. {_how_to_go_on(source, importing, options)}")
    return importing.tally.refused == 0


def _how_to_go_on(source: Source, importing: Importing, options: Options) -> str:
    done = options.skip + importing.done
    return (
        f"The first {done:,} events of {source.name} are done. To go on: the same command with --skip {done}; "
        "without it they are only looked at again, and nothing is booked twice."
    )


@contextmanager
def _stopped_by_signals(importing: Importing) -> Iterator[None]:
    """Ctrl-C or SIGTERM lets the batch in work end; the second one ends the process."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        importing.stop()
        for each in signals:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in signals:
        loop.add_signal_handler(each, stop)
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


@contextmanager
def _progress(source: Source, tally: Tally, started: float) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]:,} events, {task.fields[rate]:,}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    printer = console(stderr=True)
    with Progress(*columns, console=printer, transient=True, disable=not printer.is_terminal) as bars:
        task = bars.add_task(Path(source.name).name, total=source.size, events=0, rate=0)

        def update() -> None:
            rate = round(tally.seen / (time.monotonic() - started))
            bars.update(task, completed=source.position, events=tally.seen, rate=rate)

        yield update


def _show(name: str, tally: Tally, started: float) -> None:
    printer = console()
    seconds = time.monotonic() - started
    printer.print(
        Text(
            f"{name}: {tally.seen:,} events in {seconds:.1f} s ({round(tally.seen / seconds):,}/s). "
            f"{tally.accepted:,} booked now for {exact(tally.charged)}, {tally.duplicates:,} booked before, "
            f"{tally.unpriced:,} waiting for a price, {tally.refused:,} refused."
        ),
        soft_wrap=True,
    )
    for (status, code), reason in tally.reasons.items():
        kind = status if code == status else f"{status}, {code}"
        said = f"  {reason.count:,} × {kind}; the first in line {reason.line}: {reason.sentence}"
        printer.print(Text(masked(said), style="yellow" if status == "unpriced" else "red"), soft_wrap=True)
