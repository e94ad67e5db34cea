"""`billing accounts`: who the customers are, and what they have."""

from datetime import UTC, datetime

import click
import msgspec
from rich.text import Text

from billing import ids
from billing.accounts import keys, store
from billing.accounts.api import AccountChanges, NewAccount, account_changes
from billing.accounts.keys import Key
from billing.accounts.store import Account
from billing.cli._database import run_with_pool
from billing.cli._input import TimeZone, checked
from billing.cli._print import as_json_option, console, exact, print_json, table
from billing.credits import current
from billing.db.pool import Connection, Pool
from billing.pages import Page
from billing.prices.keeper import TermsKeeper
from billing.prices.terms import Terms
from billing.settings import Settings
from pricing import money
from pricing.policies import Policy

PAGE = 100
COUNTRY = "Two letters (ISO 3166-1): the last line of the address."


class TermsNow(msgspec.Struct, frozen=True, kw_only=True):
    """What an account pays by now."""

    plan: str | None
    multiplier: str
    verification_policy: Policy


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An account, what is in its wallet, and its terms and keys where they are asked for."""

    account: Account
    balance: str
    held: str
    available: str
    as_of: datetime
    terms: TermsNow | msgspec.UnsetType = msgspec.UNSET
    keys: list[Key] | msgspec.UnsetType = msgspec.UNSET


@click.group("accounts", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, make and show customers' accounts. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_accounts)


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@as_json_option
def list_accounts(limit: int = 100, as_json: bool = False) -> None:
    """List accounts with their balances, the newest first."""

    async def work(pool: Pool, _settings: Settings) -> tuple[list[Shown], bool]:
        async with pool.connection() as conn:
            return await _newest(conn, limit)

    shown, more = run_with_pool(work)
    if as_json:
        print_json(shown)
        return
    printed = table("account", "name", "time zone", "balance", "created", numbers=("account", "balance"))
    printed.columns[0].justify = "left"
    for one in shown:
        account, balance = one.account, exact(money.parse(one.balance))
        printed.add_row(account.id, Text(account.name), account.time_zone, balance, f"{account.created_at:%Y-%m-%d}")
    console().print(printed if shown else "There are no accounts yet: `billing accounts create NAME` makes one.")
    if more:
        console().print(f"  There are more: --limit {limit * 10} shows them.", style="dim")


async def _newest(conn: Connection, limit: int) -> tuple[list[Shown], bool]:
    found: list[Account] = []
    more, last = True, None
    while more and len(found) < limit:
        page, more = await store.listed(conn, Page(min(PAGE, limit - len(found)), last))
        found += page
        last = found[-1].id if found else None
    return [await _shown(conn, account) for account in found], more


async def _shown(conn: Connection, account: Account) -> Shown:
    balance = await current.balance(conn, account.id)
    return Shown(
        account=account,
        balance=money.format(balance.posted),
        held=money.format(balance.held),
        available=money.format(balance.available),
        as_of=balance.as_of,
    )


@command.command("create")
@click.argument("name")
@click.option("--id", "account_id", metavar="ACCOUNT", help="acct_…; made up if you give none.")
@click.option("--email")
@click.option("--address", help="As invoices print it.")
@click.option("--country", help=COUNTRY)
@click.option(
    "--time-zone", type=TimeZone(), default="UTC", show_default=True, help="Whose midnights begin its months."
)
@as_json_option
def create(
    name: str,
    account_id: str | None,
    email: str | None,
    address: str | None,
    country: str | None,
    time_zone: str,
    as_json: bool,
) -> None:
    """Make an account."""
    named = {"name": name, "email": email, "address": address, "country": country, "time_zone": time_zone}
    asked = checked(NewAccount, id=account_id, **named)

    async def work(pool: Pool, _settings: Settings) -> Account:
        async with pool.connection() as conn:
            return await store.create(
                conn,
                account_id=asked.id or ids.new("acct"),
                name=asked.name,
                email=asked.email,
                address=asked.address,
                country=asked.country,
                time_zone=asked.time_zone,
            )

    account = run_with_pool(work)
    if as_json:
        print_json(account)
    else:
        console().print(f"Made the account {account.id}. A key for it: billing keys create --account {account.id}")


@command.command("show")
@click.argument("account_id", metavar="ACCOUNT")
@as_json_option
def show(account_id: str, as_json: bool) -> None:
    """Show one account: its details, balance, terms and keys."""

    async def work(pool: Pool, settings: Settings) -> Shown:
        async with pool.connection() as conn:
            shown = await _shown(conn, await store.get(conn, account_id))
            terms = _terms_now(await TermsKeeper.by(settings).fresh(conn), account_id)
            return msgspec.structs.replace(shown, terms=terms, keys=await keys.listed(conn, account_id))

    shown = run_with_pool(work)
    if as_json:
        print_json(shown)
        return
    details = table("", "", title=shown.account.id)
    details.show_header = False
    for field in ("name", "email", "address", "country", "tax_id", "time_zone"):
        details.add_row(field.replace("_", " "), Text(getattr(shown.account, field) or "–"))
    details.add_row("created", f"{shown.account.created_at:%Y-%m-%d %H:%M:%S}Z")
    details.add_row("state", Text(_state(shown.account)))
    details.add_row("balance", f"[bold]{exact(money.parse(shown.balance))}[/]")
    for name, amount in (
        ("held", shown.held),
        ("credit limit", shown.account.credit_limit),
        ("available", shown.available),
    ):
        details.add_row(name, exact(money.parse(amount)))
    for name, term in msgspec.structs.asdict(shown.terms).items() if shown.terms else ():
        details.add_row(name.replace("_", " "), term or "–")
    for key in shown.keys or ():
        details.add_row("key", Text(f"{key.id}  idr_…{key.hint}  {key.name}{' (revoked)' if key.revoked_at else ''}"))
    console().print(details)


def _terms_now(terms: Terms, account_id: str) -> TermsNow:
    now = datetime.now(UTC)
    agreed = terms.of(account_id, now)
    return TermsNow(
        plan=terms.plan_of(account_id, now), multiplier=agreed.multiplier, verification_policy=agreed.policy
    )


def _state(account: Account) -> str:
    if account.closed_at is not None:
        return f"closed since {account.closed_at:%Y-%m-%d}"
    if account.suspended_at is not None:
        return f"suspended since {account.suspended_at:%Y-%m-%d}: {account.suspension or 'no reason given'}"
    return "open"


@command.command("suspend")
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--reason", help="Shown with the account.")
def suspend(account_id: str, reason: str | None) -> None:
    """Authorize nothing more for an account, from now on. Usage is booked all the same."""
    _change(account_id, checked(AccountChanges, suspended=True, reason=reason))
    console().print(f"The account {account_id} is suspended. `billing accounts resume {account_id}` ends that.")


@command.command("resume")
@click.argument("account_id", metavar="ACCOUNT")
def resume(account_id: str) -> None:
    """End the suspension of an account."""
    _change(account_id, checked(AccountChanges, suspended=False))
    console().print(f"The account {account_id} is not suspended.")


@command.command("credit-limit")
@click.argument("account_id", metavar="ACCOUNT")
@click.argument("dollars")
def credit_limit(account_id: str, dollars: str) -> None:
    """Set how far below zero the balance of an account may go."""
    account = _change(account_id, checked(AccountChanges, credit_limit=dollars))
    console().print(f"The account {account.id} has a credit limit of {exact(money.parse(account.credit_limit))}.")


@command.command("balance-low")
@click.argument("account_id", metavar="ACCOUNT")
@click.argument("dollars")
def balance_low(account_id: str, dollars: str) -> None:
    """Have webhooks told when less than this is left of a balance, with its credit limit. `none`: no more."""
    account = _change(account_id, checked(AccountChanges, balance_low=None if dollars == "none" else dollars))
    told = f"told below {exact(money.parse(account.balance_low))}" if account.balance_low else "not told of"
    console().print(f"A low balance of the account {account.id} is {told}.")


@command.command("billing")
@click.argument("account_id", metavar="ACCOUNT")
@click.option("--time-zone", type=TimeZone(), help="Whose midnights begin its periods, from the next one on.")
@click.option("--anchor-day", type=click.IntRange(1, 31), help="Of the month: its periods begin on it, likewise.")
@click.option("--tax-id", help="As invoices print it.")
@click.option("--country", help=COUNTRY)
@click.option("--payment-days", type=click.IntRange(0, 365), help="From an invoice to the day it is due.")
def billing(account_id: str, **given: str | int | None) -> None:
    """Change how an account is invoiced; what is not named stays."""
    named = {name: value for name, value in given.items() if value is not None}
    account = _change(account_id, checked(AccountChanges, **named))
    terms = "as everybody" if account.payment_days is None else f"within {account.payment_days} days"
    begun = f"begin on day {account.anchor_day} in {account.time_zone}"
    console().print(f"The periods of the account {account.id} {begun}; it pays {terms}.")


@command.command("close")
@click.argument("account_id", metavar="ACCOUNT")
@click.confirmation_option(prompt="This is for ever, and revokes the account's keys. Go on?")
def close(account_id: str) -> None:
    """Close an account for ever: no authorization, key or top-up more. Usage of before is still booked."""

    async def work(pool: Pool, _settings: Settings) -> Account:
        async with pool.connection() as conn:
            return await store.close(conn, account_id)

    account = run_with_pool(work)
    console().print(f"The account {account.id} is {_state(account)}.")


def _change(account_id: str, changes: AccountChanges) -> Account:
    async def work(pool: Pool, _settings: Settings) -> Account:
        async with pool.connection() as conn:
            return await store.change(conn, account_id, account_changes(changes))

    return run_with_pool(work)
