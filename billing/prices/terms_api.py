"""Terms over HTTP: plans, multipliers, verification policies, upstreams' factors, and prices an operator adds. Dated,
checked as a whole, and never taken back: a later row says otherwise."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from billing.accounts.keys import Principal
from billing.db.pool import Connection, Pool
from billing.http import requires
from billing.pages import Listing
from billing.prices import store
from billing.prices.keeper import TermsKeeper
from billing.prices.store import FactorRow, Kind, MultiplierRow, NewPrice, PolicyRow, PriceRow, Row
from billing.text import AccountId, Instant, Multiplier, Name, PlanId
from billing.times import bounded
from pricing.policies import Policy


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan: a group of customers that buy at the same terms."""

    id: PlanId


class NewMembership(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The plan a customer is on from an instant on (now, if not said); null for the standard terms."""

    plan: PlanId | None
    effective_from: Instant | None = None


class NewSpecial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A special term from an instant on (now, if not said), and why."""

    reason: Name
    effective_from: Instant | None = None


class NewMultiplier(NewSpecial, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is paid of the official price; null ends special terms."""

    multiplier: Multiplier | None


class NewPolicy(NewSpecial, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which number is billed for an event that carries its text; null ends special terms."""

    policy: Policy | None


class NewFactor(NewSpecial, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an upstream takes of the official price; null ends it. The upstream `*` stands for all others."""

    upstream: Name
    factor: Multiplier | None


class NewPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices to be laid over the shipped book: for everybody, or for one customer."""

    rows: Annotated[list[NewPrice], Meta(min_length=1, max_length=1000)]
    account: AccountId | None = None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Which plan an account is on, and since when."""

    account: str
    plan: str | None
    effective_from: datetime


@post("/v1/plans", guards=[requires("admin")], tags=["terms"])
async def create_plan(
    data: JSONBody[NewPlan], pool: NamedDependency[Pool], terms: NamedDependency[TermsKeeper]
) -> NewPlan:
    """Make a plan. It has the standard multiplier until it is given one."""
    await terms.change(pool, lambda conn: store.create_plan(conn, data.id))
    return data


@get("/v1/plans", guards=[requires("admin")], tags=["terms"])
async def list_plans(pool: NamedDependency[Pool]) -> Listing[NewPlan]:
    """All plans, by name."""
    async with pool.connection() as conn:
        found = await store.plans(conn)
    return Listing(url="/v1/plans", has_more=False, data=[NewPlan(plan) for plan in found])


@post("/v1/accounts/{account_id:str}/plan", guards=[requires("admin")], tags=["terms"])
async def put_on_plan(
    account_id: FromPath[str],
    data: JSONBody[NewMembership],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> Membership:
    """Put a customer on a plan, or back to the standard terms."""
    since = bounded(data.effective_from, "$.effective_from") or datetime.now(UTC)
    actor = principal.key_id
    await terms.change(
        pool,
        lambda conn: store.put_on_plan(conn, account=account_id, plan=data.plan, effective_from=since, actor=actor),
    )
    return Membership(account=account_id, plan=data.plan, effective_from=since)


@post("/v1/plans/{plan_id:str}/multipliers", guards=[requires("admin")], tags=["terms"])
async def add_plan_multiplier(
    plan_id: FromPath[str],
    data: JSONBody[NewMultiplier],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> MultiplierRow:
    """Say what customers on a plan pay of the official price."""
    return await _add(pool, terms, store.MULTIPLIERS, data.multiplier, data, principal.key_id, plan=plan_id)


@post("/v1/accounts/{account_id:str}/multipliers", guards=[requires("admin")], tags=["terms"])
async def add_account_multiplier(
    account_id: FromPath[str],
    data: JSONBody[NewMultiplier],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> MultiplierRow:
    """Say what one customer pays of the official price, whatever plan it is on."""
    return await _add(pool, terms, store.MULTIPLIERS, data.multiplier, data, principal.key_id, account=account_id)


@post("/v1/plans/{plan_id:str}/verification-policies", guards=[requires("admin")], tags=["terms"])
async def add_plan_policy(
    plan_id: FromPath[str],
    data: JSONBody[NewPolicy],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> PolicyRow:
    """Say which number is billed to customers on a plan when an event carries its text."""
    return await _add(pool, terms, store.POLICIES, data.policy, data, principal.key_id, plan=plan_id)


@post("/v1/accounts/{account_id:str}/verification-policies", guards=[requires("admin")], tags=["terms"])
async def add_account_policy(
    account_id: FromPath[str],
    data: JSONBody[NewPolicy],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> PolicyRow:
    """Say which number is billed to one customer when an event carries its text, whatever plan it is on."""
    return await _add(pool, terms, store.POLICIES, data.policy, data, principal.key_id, account=account_id)


async def _add(
    pool: Pool,
    terms: TermsKeeper,
    kind: Kind[Row],
    value: str | None,
    data: NewSpecial,
    actor: str,
    *,
    plan: str | None = None,
    account: str | None = None,
) -> Row:
    since = bounded(data.effective_from, "$.effective_from") or datetime.now(UTC)
    return await terms.change(
        pool,
        lambda conn: store.add_special(
            conn,
            kind,
            plan=plan,
            account=account,
            value=value,
            effective_from=since,
            reason=data.reason,
            actor=actor,
        ),
    )


@get("/v1/multipliers", guards=[requires("admin")], tags=["terms"])
async def list_multipliers(
    pool: NamedDependency[Pool], plan: FromQuery[str | None] = None, account: FromQuery[str | None] = None
) -> Listing[MultiplierRow]:
    """Every multiplier there ever was, the newest first: of a plan, of an account, or all."""
    async with pool.connection() as conn:
        found = await store.special_rows(conn, store.MULTIPLIERS, plan=plan, account=account)
    return Listing(url="/v1/multipliers", has_more=False, data=found)


@get("/v1/verification-policies", guards=[requires("admin")], tags=["terms"])
async def list_policies(
    pool: NamedDependency[Pool], plan: FromQuery[str | None] = None, account: FromQuery[str | None] = None
) -> Listing[PolicyRow]:
    """Every verification policy there ever was, the newest first: of a plan, of an account, or all."""
    async with pool.connection() as conn:
        found = await store.special_rows(conn, store.POLICIES, plan=plan, account=account)
    return Listing(url="/v1/verification-policies", has_more=False, data=found)


@post("/v1/upstream-factors", guards=[requires("admin")], tags=["terms"])
async def add_factor(
    data: JSONBody[NewFactor],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> FactorRow:
    """Say what an upstream takes of the official price: the cost of the events that do not bring their own.

    The upstream `*` stands for all that have no factor, and for that of events that name none.
    """
    since = bounded(data.effective_from, "$.effective_from") or datetime.now(UTC)
    return await terms.change(
        pool,
        lambda conn: store.add_factor(
            conn,
            upstream=data.upstream,
            factor=data.factor,
            effective_from=since,
            reason=data.reason,
            actor=principal.key_id,
        ),
    )


@get("/v1/upstream-factors", guards=[requires("admin")], tags=["terms"])
async def list_factors(pool: NamedDependency[Pool], upstream: FromQuery[str | None] = None) -> Listing[FactorRow]:
    """Every factor there ever was, the newest first: of one upstream, or all."""
    async with pool.connection() as conn:
        found = await store.factor_rows(conn, upstream)
    return Listing(url="/v1/upstream-factors", has_more=False, data=found)


@post("/v1/price-rows", guards=[requires("admin")], tags=["terms"])
async def add_prices(
    data: JSONBody[NewPrices],
    pool: NamedDependency[Pool],
    terms: NamedDependency[TermsKeeper],
    principal: NamedDependency[Principal],
) -> Listing[PriceRow]:
    """Add prices, or correct some, without a release: all of these rows or none.

    What was charged before stays as it was; events that waited for a price are billed by POST /v1/events/rerate.
    """
    for index, row in enumerate(data.rows):
        _check_days(row, f"$.rows[{index}]")
    actor = principal.key_id

    async def work(conn: Connection) -> list[PriceRow]:
        return [await store.add_price_row(conn, account=data.account, row=row, actor=actor) for row in data.rows]

    added = await terms.change(pool, work)
    return Listing(url="/v1/price-rows", has_more=False, data=added)


def _check_days(row: NewPrice, place: str) -> None:
    bounded(row.effective_from, f"{place}.effective_from")
    bounded(row.effective_to, f"{place}.effective_to")


@get("/v1/price-rows", guards=[requires("admin")], tags=["terms"])
async def list_price_rows(pool: NamedDependency[Pool], account: FromQuery[str | None] = None) -> Listing[PriceRow]:
    """The prices operators have added, in the order in which they came: with the key that did, and when."""
    async with pool.connection() as conn:
        found = await store.price_rows(conn, account)
    return Listing(url="/v1/price-rows", has_more=False, data=found)


router = Router(
    "/",
    route_handlers=[
        create_plan,
        list_plans,
        put_on_plan,
        add_plan_multiplier,
        add_account_multiplier,
        list_multipliers,
        add_plan_policy,
        add_account_policy,
        list_policies,
        add_factor,
        list_factors,
        add_prices,
        list_price_rows,
    ],
)
