"""`billing prices check`: what a person should look at before trusting the book. It changes nothing."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from billing.cli import Failure
from billing.cli._calculation import LIVE, basis, terms_in_database
from billing.cli._print import as_json_option, console, print_json
from pricing import check, peers
from pricing.book import Book
from pricing.check import Finding
from pricing.peers import Prices

if TYPE_CHECKING:
    from billing.prices.store import MultiplierRow

PROMISED = "0.5"
"""What everybody is promised to pay of the official price."""

TITLES = {
    "gap": "Gaps in time: requests within them are unpriced",
    "off-list": "Prices that are not OpenAI's",
    "multiplier": f"Multipliers that are not {PROMISED}, now or later",
    "stale": "Prices nobody has compared with their source lately",
    "question": "Open questions",
    "drift": "Where other price lists differ",
}
ORDER = tuple(TITLES)


@click.command("check")
@click.option("--peers", "with_peers", is_flag=True, help="Compare with genai-prices and litellm, where installed.")
@click.option("--live", is_flag=True, help="What is in the database, too: operators' prices, and the multipliers.")
@as_json_option
def command(with_peers: bool, live: bool, as_json: bool) -> None:
    """Check the price book: gaps, prices off the list, stale rows, open questions, drift.

    Exits with 1 when a finding has no reason that somebody wrote down.
    """
    now = datetime.now(UTC)
    today = now.date()
    if live:
        terms, multipliers = terms_in_database()
        prices, standard = terms.standard.book, terms.standard.multiplier
        said = f"{LIVE}, customers' own prices, and all multipliers."
        found = [*check.findings(prices, today), *customers(prices, terms.books, today)]
        found = sorted([*found, *factors(standard, multipliers, now)], key=lambda one: ORDER.index(one.check))
    else:
        prices, _, said = basis(now, live=False, account=None)
        found = check.findings(prices, today)
    if with_peers:
        found += drift(prices, today)
    if as_json:
        print_json([finding._asdict() for finding in found])
        click.echo(f"Terms: {said}", err=True)
    else:
        show(console(), prices, found)
        console().print(f"Terms: {said}", markup=False, soft_wrap=True, style="dim")
    unexplained = sum(not finding.reason for finding in found)
    if unexplained:
        raise Failure(f"{unexplained} of {len(found)} findings have no reason yet.")


def customers(everybody: Book, books: Mapping[str, Book], today: date) -> list[Finding]:
    """What customers' own prices add to the findings about everybody's."""
    common = set(check.findings(everybody, today))
    return [
        finding._replace(subject=f"{account} {finding.subject}")
        for account, prices in sorted(books.items())
        for finding in check.findings(prices, today)
        if finding not in common
    ]


def factors(standard: str, rows: "Sequence[MultiplierRow]", now: datetime) -> list[Finding]:
    """The multipliers, in force or to come, that are not what everybody is promised. `rows` are newest first."""
    found = []
    if Fraction(standard) != Fraction(PROMISED):
        found.append(_factor("everybody", standard, "always", "BILLING_MULTIPLIER says so."))
    for row in standing(rows, now):
        if row.multiplier is not None and Fraction(row.multiplier) != Fraction(PROMISED):
            owner = row.account or f"plan {row.plan}"
            found.append(_factor(owner, row.multiplier, f"from {row.effective_from:%Y-%m-%d %H:%M}Z on", row.reason))
    return found


def standing(rows: "Sequence[MultiplierRow]", now: datetime) -> "list[MultiplierRow]":
    """Those that decide something from now on: of each owner the one in force, and those to come."""
    last: dict[tuple[str | None, str | None, datetime], MultiplierRow] = {}
    for row in rows:
        last.setdefault((row.plan, row.account, row.effective_from), row)
    begun: dict[tuple[str | None, str | None], MultiplierRow] = {}
    for row in sorted(last.values(), key=lambda row: row.effective_from):
        if row.effective_from <= now:
            begun[row.plan, row.account] = row
    return [row for row in last.values() if row.effective_from > now or begun[row.plan, row.account] is row]


def _factor(owner: str, multiplier: str, when: str, reason: str) -> Finding:
    side = "below" if Fraction(multiplier) < Fraction(PROMISED) else "above"
    return Finding("multiplier", owner, f"Pays {multiplier} of the official price, {side} {PROMISED}, {when}.", reason)


def drift(prices: Book, today: date) -> list[Finding]:
    """Where the installed peers say something else. Raises Failure when there are none to ask."""
    lists = {**litellm(), **genai_prices()}
    if not lists:
        raise Failure("Neither genai-prices nor litellm is installed here: pip install genai-prices litellm")
    return [finding for source, peer in lists.items() for finding in check.drift(prices, peer, source, today)]


def litellm() -> dict[str, Prices]:
    """LiteLLM's price file; the package itself, which is huge, is not imported."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    file = Path(spec.origin).with_name("model_prices_and_context_window_backup.json")
    return {"litellm": peers.from_litellm(json.loads(file.read_bytes()))}


def genai_prices() -> dict[str, Prices]:
    if importlib.util.find_spec("genai_prices") is None:
        return {}
    data: Any = importlib.import_module("genai_prices.data")
    (openai,) = (provider for provider in data.providers if provider.id == "openai")
    return {"genai-prices": peers.from_genai_prices(openai.models)}


def show(out: Console, prices: Book, found: Sequence[Finding]) -> None:
    """The findings by kind, each with its reason."""
    for kind, findings in groupby(found, key=lambda finding: finding.check):
        group = list(findings)
        out.print(f"\n[bold]{TITLES.get(kind, kind)}[/] ({len(group)})")
        for finding in group:
            mark = "[yellow]•[/]" if finding.reason else "[red]✗[/]"
            out.print(mark, end=" ")
            out.print(f"{finding.subject}: {finding.sentence}", markup=False, soft_wrap=True)
            if finding.reason:
                out.print(f"  {finding.reason}", markup=False, soft_wrap=True, style="dim")
    entries = sum(1 for _ in prices.entries())
    out.print(f"\n{entries} prices of {len(prices.models)} models, {len(found)} findings. Book {prices.digest[:16]}.")


class OrCheck(click.Command):
    """A command that becomes `check` when that is its first word: `billing prices check`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["check"]:
            return command.make_context(f"{info_name} check", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)
