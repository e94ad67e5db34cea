"""`billing terms`: who pays which part of the official price, by which number, and what upstreams take of it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar, get_args

import click
import msgspec
from rich.text import Text

from billing.audit.log import COMMAND_LINE as ACTOR
from billing.cli._database import run_with_pool
from billing.cli._input import Instant, checked
from billing.cli._print import as_json_option, console, print_json, table
from billing.db.pool import Connection, Pool
from billing.prices import store
from billing.prices.keeper import TermsKeeper
from billing.prices.store import FactorRow, Kind, MultiplierRow, PolicyRow, Row, SpecialRow
from billing.prices.terms import OTHERS
from billing.prices.terms_api import NewFactor, NewMultiplier, NewPlan, NewPolicy, NewSpecial
from billing.settings import Settings
from pricing.policies import Policy

NONE = "none"
"""Given instead of a value: it ends special terms."""
SECOND = "%Y-%m-%d %H:%M:%SZ"

F = TypeVar("F", bound=Callable[..., None])
T = TypeVar("T")
Added = MultiplierRow | PolicyRow | FactorRow


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """All terms there ever were but prices: the newest first, the plans by name."""

    plans: list[str]
    multipliers: list[MultiplierRow]
    policies: list[PolicyRow]
    factors: list[FactorRow]


@click.group("terms", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List and add terms: plans, multipliers, verification policies, upstreams' factors. Without a subcommand: list.

    All but plans hold from an instant on, and are never taken back: a later one says otherwise, or `none`.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_terms)


@command.command("list")
@as_json_option
def list_terms(as_json: bool = False) -> None:
    """List all terms there ever were, the newest first."""
    found = run_with_pool(_all_terms)
    if as_json:
        print_json(found)
        return
    printed = table("term", "whose", "value", "from", "reason", "by")
    rows: list[Added] = [*found.multipliers, *found.policies, *found.factors]
    for row in rows:
        term, whose, value = _told(row)
        printed.add_row(term, Text(whose), value, f"{row.effective_from:{SECOND}}", Text(row.reason), row.actor)
    console().print(printed if printed.rows else "There are no special terms.")
    console().print(f"  Plans: {', '.join(found.plans) or 'none'}.", style="dim")


async def _all_terms(pool: Pool, _settings: Settings) -> Listed:
    async with pool.connection() as conn:
        return Listed(
            plans=await store.plans(conn),
            multipliers=await store.special_rows(conn, store.MULTIPLIERS),
            policies=await store.special_rows(conn, store.POLICIES),
            factors=await store.factor_rows(conn),
        )


def _told(row: Added) -> tuple[str, str, str]:
    """Which term it is, whose, and its value."""
    match row:
        case MultiplierRow():
            return "multiplier", _owner(row), row.multiplier or NONE
        case PolicyRow():
            return "policy", _owner(row), row.policy or NONE
        case FactorRow():
            whose = "all other upstreams" if row.upstream == OTHERS else f"upstream {row.upstream}"
            return "factor", whose, row.factor or NONE


def _owner(row: SpecialRow) -> str:
    return f"plan {row.plan}" if row.plan else str(row.account)


@command.command("create-plan")
@click.argument("plan", metavar="PLAN")
def create_plan(plan: str) -> None:
    """Make a plan: a group of customers that buy at the same terms."""
    asked = checked(NewPlan, id=plan)
    _change(lambda conn: store.create_plan(conn, asked.id))
    console().print(f"Made the plan {asked.id}. Put a customer on it: billing terms join ACCOUNT --plan {asked.id}")


@command.command("join")
@click.argument("account", metavar="ACCOUNT")
@click.option("--plan", metavar="PLAN", help="The plan it is to be on.")
@click.option("--standard", is_flag=True, help="On none, but on the standard terms.")
@click.option("--from", "since", type=Instant(), help="The instant it holds from.  [default: now]")
def join(account: str, plan: str | None, standard: bool, since: datetime | None) -> None:
    """Put a customer on a plan, or back to the standard terms."""
    if (plan is None) != standard:
        raise click.UsageError("Say where to: --plan PLAN, or --standard.")
    at = since or datetime.now(UTC)
    _change(lambda conn: store.put_on_plan(conn, account=account, plan=plan, effective_from=at, actor=ACTOR))
    where = f"on the plan {plan}" if plan else "on the standard terms"
    console().print(f"{account} is {where} from {at:{SECOND}} on.")


def _dated(work: F) -> F:
    """The options of everything that holds from an instant on, and why."""
    work = as_json_option(work)
    work = click.option("--from", "since", type=Instant(), help="The instant it holds from.  [default: now]")(work)
    return click.option("--reason", required=True, help="Why.")(work)


def _owned(work: F) -> F:
    """The options that say whose special terms these are."""
    work = click.option("--account", metavar="ACCOUNT", help="Of one customer, whatever plan it is on.")(work)
    return click.option("--plan", metavar="PLAN", help="Of all customers on a plan.")(work)


@command.command("multiplier")
@click.argument("multiplier", metavar="MULTIPLIER")
@_owned
@_dated
def add_multiplier(
    multiplier: str, plan: str | None, account: str | None, reason: str, since: datetime | None, as_json: bool
) -> None:
    """Say what a plan or a customer pays of the official price, such as 0.45; `none` ends it."""
    asked = checked(NewMultiplier, multiplier=_value_of(multiplier), reason=reason, effective_from=since)
    _say(_add_special(store.MULTIPLIERS, asked, asked.multiplier, plan=plan, account=account), as_json)


@command.command("policy")
@click.argument("policy", type=click.Choice([*get_args(Policy), NONE]), metavar="POLICY")
@_owned
@_dated
def add_policy(
    policy: str, plan: str | None, account: str | None, reason: str, since: datetime | None, as_json: bool
) -> None:
    """Say which number is billed to a plan or a customer for events that carry their text: reported, counted, lower.

    `none` ends it.
    """
    asked = checked(NewPolicy, policy=_value_of(policy), reason=reason, effective_from=since)
    _say(_add_special(store.POLICIES, asked, asked.policy, plan=plan, account=account), as_json)


@command.command("factor")
@click.argument("upstream", metavar="UPSTREAM")
@click.argument("factor", metavar="FACTOR")
@_dated
def add_factor(upstream: str, factor: str, reason: str, since: datetime | None, as_json: bool) -> None:
    """Say what an upstream takes of the official price, such as 0.3; `none` ends it.

    The UPSTREAM '*' stands for all that have no factor, and for that of events that name none.
    """
    asked = checked(NewFactor, upstream=upstream, factor=_value_of(factor), reason=reason, effective_from=since)
    row = _change(
        lambda conn: store.add_factor(
            conn,
            upstream=asked.upstream,
            factor=asked.factor,
            effective_from=asked.effective_from or datetime.now(UTC),
            reason=asked.reason,
            actor=ACTOR,
        )
    )
    _say(row, as_json)


def _value_of(given: str) -> str | None:
    return None if given == NONE else given


def _add_special(
    kind: Kind[Row], asked: NewSpecial, value: str | None, *, plan: str | None, account: str | None
) -> Row:
    if (plan is None) == (account is None):
        raise click.UsageError("Say whose it is: --plan PLAN, or --account acct_….")
    return _change(
        lambda conn: store.add_special(
            conn,
            kind,
            plan=plan,
            account=account,
            value=value,
            effective_from=asked.effective_from or datetime.now(UTC),
            reason=asked.reason,
            actor=ACTOR,
        )
    )


def _change(change: Callable[[Connection], Awaitable[T]]) -> T:
    async def work(pool: Pool, settings: Settings) -> T:
        return await TermsKeeper.by(settings).change(pool, change)

    return run_with_pool(work)


def _say(row: Added, as_json: bool) -> None:
    if as_json:
        print_json(row)
        return
    term, whose, value = _told(row)
    console().print(f"The {term} of {whose} is {value} from {row.effective_from:{SECOND}} on.", markup=False)
