"""How the commands print: money, tables for people, JSON for programs."""

import sys
from collections.abc import Sequence

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from pricing import money

WIDTH_WITHOUT_TERMINAL = 120

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def console(*, stderr: bool = False) -> Console:
    """Rich, and wide enough for tables where there is no terminal to ask."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else WIDTH_WITHOUT_TERMINAL)


def print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(*columns: str, numbers: tuple[str, ...] = (), title: str | None = None) -> Table:
    """An empty table; the columns named in `numbers` stand to the right."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", header_style="dim")
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", no_wrap=column in numbers)
    return made


def exact(picos: int) -> str:
    """`$0.0000045`, `$1,234.50`: every decimal there is, and at least cents."""
    whole, _, decimals = money.format(abs(picos)).partition(".")
    return f"{'-' if picos < 0 else ''}${int(whole):,}.{decimals.ljust(2, '0')}"


def aligned(amounts: Sequence[int]) -> list[str]:
    """Amounts with as many decimals as the one that needs most, so that their points stand below each other."""
    shown = [exact(picos) for picos in amounts]
    decimals = max((len(text.partition(".")[2]) for text in shown), default=0)
    return [text + "0" * (decimals - len(text.partition(".")[2])) for text in shown]


def cents(picos: int) -> str:
    """`$1,234.50`: to the nearest cent, for overviews."""
    return exact(money.from_cents(money.to_cents(picos)))
