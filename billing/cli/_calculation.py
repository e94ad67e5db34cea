"""A charge as a calculation that can be followed with a pencil, and the terms that it is made by."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import click
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from billing.cli._print import aligned, exact
from billing.settings import load
from pricing import book, money, units
from pricing.book import Book

if TYPE_CHECKING:
    from billing.prices.store import MultiplierRow
    from billing.prices.terms import Terms

F = TypeVar("F", bound=Callable[..., Any])
SHIPPED = "the price book of this release and BILLING_ settings; the database was not asked (--live asks it)"
LIVE = "the database's: the price book with operators' prices over it"


class Basis(NamedTuple):
    """What prices are worked out by; `said` tells people where it comes from."""

    book: Book
    multiplier: str
    said: str


def basis_options(command: F) -> F:
    """--live and --account: whose terms to go by, instead of the shipped book's."""
    live = click.option("--live", is_flag=True, help="By the terms in the database, with what operators have added.")
    account = click.option("--account", metavar="ACCOUNT", help="By this customer's terms in the database.")
    return live(account(command))


def basis(at: datetime, *, live: bool, account: str | None) -> Basis:
    """The terms at an instant. The database is asked only if it has to be. Raises NotFound for an unknown account."""
    if not live and account is None:
        settings = load(os.environ)
        return Basis(_shipped(), settings.multiplier, f"{SHIPPED}; multiplier {settings.multiplier}.")
    terms, _ = terms_in_database(account)
    agreed = terms.of(account or "", at)
    if account is None:
        return Basis(agreed.book, agreed.multiplier, f"{LIVE}; the standard multiplier {agreed.multiplier}.")
    own = "with prices of its own" if account in terms.books else "without prices of its own"
    said = f"those of {account} in the database: multiplier {agreed.multiplier}, {own}."
    return Basis(agreed.book, agreed.multiplier, said)


def terms_in_database(account: str | None = None) -> "tuple[Terms, list[MultiplierRow]]":
    """What `billing serve` goes by, and every multiplier there ever was, with its reason."""
    # Here, since whoever needs no database need not wait for its modules.
    from billing.accounts import store as accounts
    from billing.cli._database import run_with_pool
    from billing.db.pool import Pool
    from billing.prices import store
    from billing.prices.keeper import TermsKeeper
    from billing.settings import Settings

    async def work(pool: Pool, settings: Settings) -> "tuple[Terms, list[MultiplierRow]]":
        keeper = TermsKeeper.by(settings)
        async with pool.connection() as conn:
            if account is not None:
                await accounts.get(conn, account)
            return await keeper.fresh(conn), await store.special_rows(conn, store.MULTIPLIERS)

    return run_with_pool(work)


def _shipped() -> Book:
    settings = load(os.environ)
    return book.load(settings.price_file, published=settings.published_prices)


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
