"""A charge as a calculation that can be followed with a pencil."""

from collections.abc import Sequence
from typing import Protocol

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from billing.cli._print import aligned, exact
from pricing import money, units


class CalculationLine(Protocol):
    """A line of a quote or of a booked event: they say the same."""

    @property
    def dimension(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def quantity(self) -> int: ...
    @property
    def unit_size(self) -> int: ...
    @property
    def official_unit_price(self) -> str | None: ...
    @property
    def multiplier(self) -> str: ...
    @property
    def amount(self) -> str: ...
    @property
    def entry(self) -> str: ...
    @property
    def source(self) -> str: ...


def calculation(lines: Sequence[CalculationLine], total: str) -> RenderableType:
    """quantity ÷ size of the unit × official price × multiplier = amount, a line for each; then the sum."""
    grid = Table.grid(padding=(0, 1))
    for justify in ("left", "right", "left", "left", "left", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    *amounts, charge = aligned([money.parse(amount) for amount in (*(line.amount for line in lines), total)])
    for line, amount in zip(lines, amounts, strict=True):
        name = " ".join(filter(None, (line.dimension, line.variant)))
        counted = f"{line.quantity:,} {things(line)}"
        if line.official_unit_price is None:
            grid.add_row(name, counted, "", "no price is known", "", "=", amount)
            continue
        size = f"÷ {line.unit_size:,}" if line.unit_size > 1 else ""
        official = f"× {exact(money.parse(line.official_unit_price))}"
        grid.add_row(name, counted, size, official, f"× {line.multiplier}", "=", amount)
    grid.add_row("", "", "", "", "", "", "─" * len(charge))
    grid.add_row("[bold]charge[/]", "", "", "", "", "", f"[bold]{charge}[/]")
    return Padding(grid, (0, 2, 1, 2))


def things(line: CalculationLine) -> str:
    """What the quantity counts: `1 token`, `12 images`."""
    name = line.dimension if not line.variant else f"{line.dimension}:{line.variant}"
    thing = units.thing_counted(line.dimension) or units.thing_counted(name) or ""
    return thing if line.quantity == 1 else f"{thing}s"


def evidence(lines: Sequence[CalculationLine]) -> RenderableType:
    """Where each price comes from."""
    grid = Table.grid(padding=(0, 2))
    for line in lines:
        name = " ".join(filter(None, (line.dimension, line.variant)))
        grid.add_row(Text(name, "dim"), Text(line.entry), Text(line.source, "dim"))
    return Padding(grid, (0, 2, 1, 2))
