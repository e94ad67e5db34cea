"""Taxes over HTTP: which there are, and who pays which from when on."""

from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from msgspec import Meta

from billing.db.pool import Pool
from billing.http import requires
from billing.invoices import tax_store
from billing.invoices.tax_store import RateRow, TaxesRow
from billing.invoices.taxes import Rate
from billing.pages import Listing
from billing.text import END, AccountId, Instant, Lines, Name, PlanId
from billing.times import bounded

Percent = Annotated[
    str, Meta(pattern=rf"^(100|[0-9]{{1,2}}(\.[0-9]{{1,6}})?){END}", description="Such as 19 or 8.875.")
]


class NewRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tax to be added; `name` and `note` are printed on invoices. Its rate never changes: that is another tax."""

    id: PlanId
    name: Name
    percent: Percent
    inclusive: bool = False
    reverse_charge: bool = False
    note: Lines | None = None

    def __post_init__(self) -> None:
        if self.reverse_charge and (Decimal(self.percent) != 0 or self.inclusive):
            raise ValueError(
                "A tax with `reverse_charge` is not charged: its `percent` is 0, and it is not `inclusive`"
            )


class NewTaxes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The taxes of an account from an instant on (now, if not said); without `account`, of all that have none of
    their own. `rates` are ids; empty: none; null: what everybody pays."""

    rates: Annotated[list[PlanId], Meta(max_length=10)] | None
    account: AccountId | None = None
    effective_from: Instant | None = None


@post("/v1/tax-rates", guards=[requires("admin")], tags=["taxes"])
async def create_tax_rate(data: JSONBody[NewRate], pool: NamedDependency[Pool]) -> RateRow:
    """Add a tax."""
    rate = Rate(**{**msgspec.structs.asdict(data), "percent": Decimal(data.percent)})
    async with pool.connection() as conn:
        return await tax_store.add_rate(conn, rate)


@get("/v1/tax-rates", guards=[requires("admin")], tags=["taxes"])
async def list_tax_rates(pool: NamedDependency[Pool]) -> Listing[RateRow]:
    """All taxes."""
    async with pool.connection() as conn:
        return Listing(url="/v1/tax-rates", has_more=False, data=await tax_store.rates(conn))


@post("/v1/taxes", guards=[requires("admin")], tags=["taxes"])
async def set_taxes(data: JSONBody[NewTaxes], pool: NamedDependency[Pool]) -> TaxesRow:
    """Say which taxes an account pays, or everybody. An invoice bears those in force when its period ends."""
    bounded(data.effective_from, "$.effective_from")
    async with pool.connection() as conn:
        return await tax_store.assign(conn, data.account, data.rates, data.effective_from)


@get("/v1/taxes", guards=[requires("admin")], tags=["taxes"])
async def list_taxes(pool: NamedDependency[Pool], account: FromQuery[str | None] = None) -> Listing[TaxesRow]:
    """What was said of an account's taxes, or of everybody's, the newest first."""
    async with pool.connection() as conn:
        found = await tax_store.assigned(conn, account)
    return Listing(url="/v1/taxes", has_more=False, data=found)


router = Router("/", route_handlers=[create_tax_rate, list_tax_rates, set_taxes, list_taxes])
