"""What `billing demo` shows at the end: a page that a person enjoys reading."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from billing.cli._print import cents, exact, table
from billing.demo.checks import line_cost
from billing.demo.models import PROFILES
from billing.demo.month import Run
from pricing import money

TOP_CUSTOMERS = 10
BAR_WIDTH = 28
BLOCKS = " ▏▎▍▌▋▊▉█"
LINES_SHOWN_MAX = 14


def show(console: Console, run: Run, folder: Path) -> None:
    """Everything but the proof."""
    console.print()
    for part in (
        _intake(run),
        _customers(run),
        _models(run),
        _savings(run),
        *_one_invoice(run, folder),
        _files(run, folder),
    ):
        console.print(part)


def _intake(run: Run) -> RenderableType:
    tally = run.tally
    rate = f"{tally.posted / run.seconds:,.0f} events/s" if run.seconds else ""
    facts = table("", "events", "", numbers=("events",), title=f"Traffic of {run.demo.month}, posted at {rate}")
    facts.show_header = False
    facts.add_row("accepted", f"{tally.accepted:,}", "booked, each in one transaction with its charge")
    failed = sum(post.kind == "usage" and "usage" not in post.event for post in run.traffic)
    facts.add_row("failed", f"{failed:,}", "of them: the upstream did, so they are kept and cost nothing", style="dim")
    facts.add_row("unpriced", f"{tally.unpriced:,}", "of them: kept for review, not billed, not guessed", style="dim")
    facts.add_row("duplicates", f"{tally.duplicates:,}", "sent twice, billed once")
    facts.add_row("refused", f"{tally.rejected:,}", "each with its reason:")
    for (status, _), reason in sorted(tally.reasons.items(), key=lambda item: (item[0][0], -item[1].count)):
        if status != "unpriced":
            facts.add_row("", f"[dim]{reason.count:,}[/]", Text(reason.sentence, style="dim", overflow="fold"))
    if run.retries:
        facts.add_row("sent again", f"{run.retries:,}", "requests that got no answer at first")
    if tally.duplicates and tally.accepted == 0:
        return Group(facts, _welcome_back())
    return facts


def _welcome_back() -> RenderableType:
    sentence = (
        "Nothing new this time: all of this traffic was here already, so every event came back as a duplicate, and "
        "nobody was billed twice. Another --seed makes another month."
    )
    return Padding(Text(sentence, style="green"), (0, 2, 1, 2))


def _customers(run: Run) -> RenderableType:
    columns = ("customer", "time zone", "invoice", "invoiced", "topped up", "balance")
    shown = table(*columns, numbers=("invoiced", "topped up", "balance"), title="Top customers")
    ranked = sorted(run.traffic.customers, key=lambda customer: -_total(run, customer.account))
    for customer in ranked[:TOP_CUSTOMERS]:
        invoice = run.invoices.get(customer.account)
        shown.add_row(
            customer.name,
            customer.time_zone,
            invoice["number"] if invoice else "",
            cents(_total(run, customer.account)),
            cents(money.parse(invoice["statement"]["top_ups"])) if invoice else "",
            cents(run.balances[customer.account]),
        )
    others = [customer.account for customer in ranked[TOP_CUSTOMERS:]]
    if others:
        total = cents(sum(_total(run, account) for account in others))
        balance = cents(sum(run.balances[account] for account in others))
        shown.add_row(f"{len(others)} others", "", "", total, "", balance, style="dim")
    return shown


def _total(run: Run, account: str) -> int:
    return money.parse(run.invoices[account]["total"]) if account in run.invoices else 0


def _lines(run: Run) -> Iterator[dict[str, Any]]:
    for invoice in run.invoices.values():
        yield from invoice["lines"]


def _models(run: Run) -> RenderableType:
    amounts: dict[str, int] = defaultdict(int)
    quantities: dict[str, int] = defaultdict(int)
    things: dict[str, str] = {}
    for line in _lines(run):
        amounts[line["model"]] += money.parse(line["amount_exact"])
        quantities[line["model"]] += line["quantity"]
        things[line["model"]] = thing(line["dimension"])
    shown = table("model", "revenue", "", "used", "", numbers=("revenue", "used"), title="Revenue by model")
    most = max(amounts.values(), default=0)
    for model, amount in sorted(amounts.items(), key=lambda item: -item[1]):
        shown.add_row(model, cents(amount), Text(bar(amount, most), "green"), f"{quantities[model]:,}", things[model])
    missing = [profile.model for profile in PROFILES if profile.model not in amounts]
    if missing:
        shown.caption = f"Without revenue: {', '.join(missing)}"
    return shown


def thing(dimension: str) -> str:
    """What a quantity counts, for people."""
    return {"image": "images", "input_characters": "characters"}.get(dimension, "tokens")


def bar(amount: int, most: int) -> str:
    """A bar in eighths of a character, as long as the amount's part of the largest one."""
    eighths = max(1, 8 * BAR_WIDTH * amount // most) if most else 0
    return BLOCKS[-1] * (eighths // 8) + BLOCKS[eighths % 8].strip()


def _savings(run: Run) -> RenderableType:
    official = sum((line_cost(line, "1") for line in _lines(run)), Fraction()) * money.PICOS_PER_DOLLAR
    full = money.round_half_away(official.numerator, official.denominator)
    ours = sum(money.parse(line["amount_exact"]) for line in _lines(run))
    sentence = Text.assemble(
        "At the official price this month is ",
        (cents(full), "bold"),
        "; here it is ",
        (cents(ours), "bold"),
        ": customers saved ",
        (cents(full - ours), "bold green"),
        ".",
    )
    return Padding(sentence, (0, 2, 1, 2))


def _one_invoice(run: Run, folder: Path) -> Sequence[RenderableType]:
    """The invoice in the middle: neither the largest customer's nor the smallest's."""
    by_total = sorted(run.invoices.values(), key=lambda invoice: money.parse(invoice["total"]))
    if not by_total:
        return ()
    invoice = by_total[len(by_total) // 2]
    period = invoice["period"]
    head = f"{invoice['customer']['name']}\n{run.demo.month} in {period['time_zone']}: "
    head += f"from {period['start']} to before {period['end']}"
    body = Group(Text(head), _invoice_lines(invoice), _totals(invoice))
    title = f"[bold]Invoice {invoice['number']}[/] · {folder / invoice['number']}.json"
    return (Padding(Panel(body, title=title, title_align="left", padding=(1, 2), expand=False), (0, 1)),)


def _invoice_lines(invoice: dict[str, Any]) -> Table:
    """The largest lines, in the invoice's order, and the sum of the others."""
    columns = ("model", "dimension", "quantity", "official price", "×", "exact", "amount")
    shown = table(*columns, numbers=("quantity", "official price", "×", "exact", "amount"))
    lines = invoice["lines"]
    large = sorted(lines, key=lambda line: -money.parse(line["amount_exact"]))[:LINES_SHOWN_MAX]
    for line in (line for line in lines if line in large):
        shown.add_row(
            line["model"],
            " ".join(filter(None, (line["dimension"], line["variant"]))),
            f"{line['quantity']:,}",
            f"{exact(money.parse(line['official_unit_price']))} / {line['unit']}",
            line["multiplier"],
            exact(money.parse(line["amount_exact"])),
            exact(money.parse(line["amount"])),
        )
    others = [line for line in lines if line not in large]
    if others:
        sums = (exact(sum(money.parse(line[name]) for line in others)) for name in ("amount_exact", "amount"))
        shown.add_row(f"{len(others)} smaller lines", "", "", "", "", *sums, style="dim")
    return shown


def _totals(invoice: dict[str, Any]) -> Table:
    shown = Table.grid(padding=(0, 3))
    shown.add_column()
    shown.add_column(justify="right")
    amounts = {name: money.parse(amount) for name, amount in invoice["statement"].items()}
    shown.add_row("Lines, exact", exact(money.parse(invoice["amount_exact"])))
    shown.add_row("Rounding to cents, line by line", exact(money.parse(invoice["residue"])), style="dim")
    shown.add_row("[bold]Total[/]", f"[bold]{exact(money.parse(invoice['total']))}[/]")
    shown.add_row()
    shown.add_row("Balance at the start", exact(amounts["opening"]))
    shown.add_row("+ top-ups", exact(amounts["top_ups"]))
    shown.add_row("− usage, as invoiced", exact(amounts["usage"]))
    for name in ("grants", "expired", "adjustments"):
        if amounts[name]:
            shown.add_row(name, exact(amounts[name]))
    shown.add_row("[bold]Balance at the end[/]", f"[bold]{exact(amounts['closing'])}[/]")
    return shown


def _files(run: Run, folder: Path) -> RenderableType:
    total = sum(money.parse(invoice["total"]) for invoice in run.invoices.values())
    late = sum(run.late.values())
    text = Text.assemble(
        f"{len(run.invoices)} invoices of {cents(total)} in all are in ",
        (str(folder), "bold"),
        ", each as JSON and CSV.",
    )
    if late:
        text.append(f"\nUsage of {exact(late)} came after closing: it waits for the next invoices, its time kept.")
    return Padding(text, (1, 2, 0, 2))
