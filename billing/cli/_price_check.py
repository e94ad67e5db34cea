"""`billing prices check`: what a person should look at before trusting the book. It changes nothing."""

import importlib.util
import json
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from billing.cli import Failure
from billing.cli._print import as_json_option, console, print_json
from billing.settings import load
from pricing import book, check, peers
from pricing.book import Book
from pricing.check import Finding
from pricing.peers import Prices

TITLES = {
    "gap": "Gaps in time: requests within them are unpriced",
    "off-list": "Prices that are not OpenAI's",
    "stale": "Prices nobody has compared with their source lately",
    "question": "Open questions",
    "drift": "Where other price lists differ",
}


@click.command("check")
@click.option("--peers", "with_peers", is_flag=True, help="Compare with genai-prices and litellm, where installed.")
@as_json_option
def command(with_peers: bool, as_json: bool) -> None:
    """Check the price book: gaps, prices off the list, stale rows, open questions, drift.

    Exits with 1 when a finding has no reason that somebody wrote down.
    """
    settings = load(os.environ)
    prices = book.load(settings.price_file, published=settings.published_prices)
    today = datetime.now(UTC).date()
    found = check.findings(prices, today)
    if with_peers:
        found += drift(prices, today)
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        show(console(), prices, found)
    unexplained = sum(not finding.reason for finding in found)
    if unexplained:
        raise Failure(f"{unexplained} of {len(found)} findings have no reason yet.")


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
