"""`billing replay`: a recorded trace, posted as a gateway's traffic."""

import asyncio
from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from billing.cli import Failure
from billing.cli._print import console, exact, table
from billing.demo.gateway import Gateway, GatewayError
from billing.demo.replay import Plan, Replayed, Total, replay, report, total_of
from billing.demo.trace import BadRow, TraceError, read

LISTED_MAX = 20
"""Bad rows and refusals shown of each; the report has more."""


class Model(click.ParamType[tuple[str, int]]):
    """`gpt-4` or `gpt-4:3`: a name and how often it is drawn. A name may have colons itself (`ft:gpt-4:org`)."""

    name = "model[:weight]"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        name, _, weight = value.rpartition(":")
        if not (weight.isascii() and weight.isdecimal()):
            name, weight = value, "1"
        if not name or not 0 < int(weight) < 1_000_000:
            self.fail(f"{value!r} is not a model with a weight such as gpt-4:3.", param, ctx)
        return name, int(weight)


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model", "models", type=Model(), multiple=True, help="Repeat it to mix models.  [default: gpt-3.5-turbo]"
)
@click.option("--customers", type=click.IntRange(1, 999), default=10, show_default=True, help="By a power law.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides whose and which model each row is.")
@click.option("--shift-to", type=click.DateTime(["%Y-%m-%d"]), help="Day of the first row. Default: as recorded.")
@click.option("--url", metavar="URL", default="http://127.0.0.1:8000", show_default=True, help="The service.")
@click.option(
    "--key",
    envvar="BILLING_ADMIN_KEY",
    required=True,
    help="A gateway key; with an admin key, missing accounts are made too. Default: BILLING_ADMIN_KEY.",
)
@click.option("--batch-size", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Events a request.")
@click.option("--source", default="replay", show_default=True, help="Part of each event's identity.")
@click.option("--report", "report_to", type=click.Path(dir_okay=False, path_type=Path), help="Totals as JSON.")
def command(
    file: Path,
    models: tuple[tuple[str, int], ...],
    customers: int,
    seed: int,
    shift_to: datetime | None,
    url: str,
    key: str,
    batch_size: int,
    source: str,
    report_to: Path | None,
) -> None:
    """Post a trace (TIMESTAMP,ContextTokens,GeneratedTokens; .csv or .csv.gz), each row as one request.

    It can be stopped and run again: rows that are booked already are duplicates. Exits with 1 when a row could not be
    read or was refused; the others are posted all the same.
    """
    plan = Plan(
        path=file,
        source=source,
        models=models or (("gpt-3.5-turbo", 1),),
        customers=customers,
        seed=seed,
        shift_to=shift_to.date() if shift_to else None,
    )
    try:
        done = asyncio.run(_replay(plan, url, key, batch_size))
    except (GatewayError, TraceError) as error:
        raise Failure(str(error)) from None
    except KeyboardInterrupt:
        raise Failure("Stopped. Run it again to go on: what is booked already will not be billed twice.") from None
    if report_to:
        report_to.write_bytes(msgspec.json.format(msgspec.json.encode(report(plan, done)), indent=2) + b"\n")
    _show(console(), plan, done)
    _fail_on(done)


async def _replay(plan: Plan, url: str, key: str, batch_size: int) -> Replayed:
    rows = sum(not isinstance(row, BadRow) for row in read(plan.path))
    columns = (TextColumn("Posting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True)) as bars:
        task = bars.add_task("replay", total=rows)
        async with Gateway(url, key) as gateway:
            return await replay(gateway, plan, batch_size, lambda done: bars.update(task, completed=done))


def _show(printer: Console, plan: Plan, done: Replayed) -> None:
    columns = ("customer", "model", "requests", "context tokens", "generated tokens", "charge")
    shown = table(*columns, numbers=columns[2:], title=f"{plan.name} as {plan.source}")
    shown.show_footer = True
    for (account, model), total in sorted(done.totals.items()):
        shown.add_row(account, model, *_numbers(total))
    for column, footer in zip(shown.columns, ("all", "", *_numbers(total_of(done))), strict=True):
        column.footer = footer
    printer.print(shown)
    tally = done.tally
    printer.print(
        f"  {tally.accepted:,} booked now, {tally.duplicates:,} booked before, {tally.unpriced:,} waiting for a price, "
        f"{tally.rejected:,} refused, {len(done.bad_rows):,} not readable; {done.retries:,} requests sent again."
    )
    for reason in (reason for (status, _), reason in tally.reasons.items() if status == "unpriced"):
        printer.print(Text(f"  {reason.count:,} × {reason.sentence}", style="yellow"))


def _numbers(total: Total) -> tuple[str, str, str, str]:
    return f"{total.requests:,}", f"{total.context_tokens:,}", f"{total.generated_tokens:,}", exact(total.charge)


def _fail_on(done: Replayed) -> None:
    """Name the rows that did not make it, and fail if there are any."""
    for rows, what in ((done.bad_rows, "cannot be read"), (done.refused, "was refused")):
        for row in sorted(rows)[:LISTED_MAX]:
            click.echo(f"line {row.line} {what}: {row.reason}", err=True)
        if len(rows) > LISTED_MAX:
            click.echo(f"… and {len(rows) - LISTED_MAX:,} more", err=True)
    failed = len(done.bad_rows) + done.tally.rejected
    if failed:
        raise Failure(f"{failed:,} row{'s are' if failed != 1 else ' is'} not billed. Mend the file and run it again.")
