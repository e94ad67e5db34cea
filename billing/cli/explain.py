"""`billing explain`: what an event cost, and why."""

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from billing.cli import Failure
from billing.cli._calculation import calculation, evidence
from billing.cli._database import run_with_pool
from billing.cli._print import as_json_option, console, exact, print_json, table
from billing.db.pool import Pool
from billing.metering import reads
from billing.metering.judging import Span, VerdictView
from billing.metering.reads import EventView
from billing.settings import Settings
from pricing import money

REVIEWS = {
    "no_usage": "It said nothing of its usage, so it waits for review and is not billed.",
    "unpriced_model": "Nobody knows a price for its model, so it waits for review and is not billed.",
    "unpriced_dimension": "Something it used has no price, so it waits for review and is not billed.",
}


@click.command("explain")
@click.argument("event_id", metavar="EVENT")
@click.option("--source", help="Which gateway's, if there are several events of this id.")
@click.option("--account", metavar="ACCOUNT", help="Which customer's, likewise.")
@as_json_option
def command(event_id: str, source: str | None, account: str | None, as_json: bool) -> None:
    """Explain a charge: what was used, at which price, worked out line by line, and how it was booked."""

    async def work(pool: Pool, _settings: Settings) -> list[EventView]:
        async with pool.connection() as conn:
            return await reads.find(conn, event_id=event_id, source=source, account_id=account)

    found = run_with_pool(work)
    if not found:
        raise Failure(f"There is no event {event_id}{f' of source {source}' if source else ''}.")
    if len(found) > 1:
        named = " and ".join(f"--account {event.account} --source {event.source}" for event in found)
        raise Failure(f"More than one event is called {event_id}. Choose between {named}.")
    if as_json:
        print_json(found[0])
    else:
        _show(console(), found[0])


def _show(printer: Console, event: EventView) -> None:
    printer.print(f"\n  [bold]{escape(event.id)}[/] from {escape(event.source)}\n")
    printer.print(_facts(event))
    if event.review:
        printer.print(Text(f"  {REVIEWS.get(event.review, event.review)}\n", "yellow"))
    elif money.parse(event.charge) == 0 and any(line.entry == "nothing-delivered" for line in event.lines):
        printer.print(Text("  The request failed and nothing was delivered, so nothing is charged.\n", "green"))
    printer.print(calculation(event.lines, event.charge))
    printer.print(evidence(event.lines))
    if event.verification:
        printer.print(_verdict(event.verification))
    _postings(printer, event)


def _verdict(found: VerdictView) -> Table:
    """Both numbers of both sides, and what was billed of them."""
    verdict = found.verdict.replace("_", " ")
    shown = table(
        "", "reported", "counted", "billed", numbers=("reported", "counted", "billed"), title=f"Verdict: {verdict}"
    )
    for side, reported, counted, billed in (
        ("input", found.reported.input, found.counted.input, found.billed.input),
        ("output", found.reported.output, found.counted.output, found.billed.output),
    ):
        shown.add_row(f"{side} {found.unit}", _number(reported), _span(counted), _number(billed))
    shown.caption = f"Policy {found.policy}. {found.reason}".strip()
    return shown


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _span(counted: Span | None) -> str:
    if counted is None:
        return "-"
    low, high = counted
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _facts(event: EventView) -> Text:
    sent = event.event or {}
    facts = {
        "account": event.account,
        "time": f"{event.time:%Y-%m-%d %H:%M:%S.%f}Z",
        "model": event.model
        if sent.get("model") in (None, event.model)
        else f"{sent['model']}, served by {event.model}",
        "ended": f"{sent.get('ended', 'completed')}, status {sent.get('status', 200)}" if sent else None,
        "user": sent.get("user"),
        "book": next((line.book for line in event.lines if line.book), None),
    }
    return Text("".join(f"  {name:<8} {value}\n" for name, value in facts.items() if value))


def _postings(printer: Console, event: EventView) -> None:
    title = f"Transaction {event.transaction}: all usage of this account that came in the same batch"
    columns = ("from", "to", "amount", "effective", "balance after it", "grant")
    shown = table(*columns, numbers=("amount", "balance after it"), title=title)
    for posting in event.postings:
        shown.add_row(
            posting.source,
            posting.destination,
            exact(money.parse(posting.amount)),
            f"{posting.effective_at:%Y-%m-%d %H:%M}Z",
            exact(money.parse(posting.balance)),
            posting.grant or "",
        )
    printer.print(shown)
