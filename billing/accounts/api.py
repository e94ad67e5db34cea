"""Accounts, keys and balances over HTTP."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from billing import ids
from billing.accounts import keys, limits, store, zones
from billing.accounts.keys import Key, Principal
from billing.accounts.limits import KeySpending
from billing.accounts.networks import network
from billing.accounts.store import Account, Balance, Changes
from billing.countries import Country
from billing.credits.current import Asked, Balances
from billing.db.pool import Connection, Pool
from billing.errors import Fault, Invalid, Unprocessable
from billing.http import AnyConnection, StrictRequest, look_up, requires
from billing.ledger.reads import PastBalance, balance_at
from billing.pages import Listing, Page
from billing.text import AccountId, Instant, Lines, Name, Price
from billing.times import bounded, instant
from pricing import money

ALLOWED_MAX = 200

AnchorDay = Annotated[int, Meta(ge=1, le=31, description="In a shorter month its last day.")]
PaymentDays = Annotated[int, Meta(ge=0, le=365)]
Allowed = Annotated[list[Name], Meta(min_length=1, max_length=ALLOWED_MAX)]


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An account to be made. An `id` of your own makes the request safe to send again; without one it is given."""

    name: Name
    id: AccountId | None = None
    email: Name | None = None
    address: Lines | None = None
    time_zone: Name = "UTC"
    anchor_day: AnchorDay = 1
    tax_id: Name | None = None
    country: Country | None = None
    payment_days: PaymentDays | None = None


class AccountChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to change; what is not named stays. Invoices made before keep what they said.

    `credit_limit` is how far below zero the balance may go. Of a `suspended` account nothing more is authorized.
    Another `time_zone` or `anchor_day` takes effect with the next period. `payment_days`: null: as for everybody.
    When less than `balance_low` is left, with the credit limit, webhooks are told; null: they are not.
    """

    name: Name | msgspec.UnsetType = msgspec.UNSET
    email: Name | msgspec.UnsetType | None = msgspec.UNSET
    address: Lines | msgspec.UnsetType | None = msgspec.UNSET
    credit_limit: Price | msgspec.UnsetType = msgspec.UNSET
    balance_low: Price | msgspec.UnsetType | None = msgspec.UNSET
    suspended: bool | msgspec.UnsetType = msgspec.UNSET
    reason: Name | None = None
    time_zone: Name | msgspec.UnsetType = msgspec.UNSET
    anchor_day: AnchorDay | msgspec.UnsetType = msgspec.UNSET
    tax_id: Name | msgspec.UnsetType | None = msgspec.UNSET
    country: Country | msgspec.UnsetType | None = msgspec.UNSET
    payment_days: PaymentDays | msgspec.UnsetType | None = msgspec.UNSET

    def __post_init__(self) -> None:
        if self.reason is not None and self.suspended is not True:
            raise ValueError("A `reason` says why an account is `suspended`")


class LimitChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Dollars a key may spend in a day and a month (UTC) and in all; null: no limit; what is not named stays."""

    day: Price | msgspec.UnsetType | None = msgspec.UNSET
    month: Price | msgspec.UnsetType | None = msgspec.UNSET
    total: Price | msgspec.UnsetType | None = msgspec.UNSET


class KeyChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to change; what is not named stays. `models` are names and prefixes (`gpt-4*`) it may use, `ips` networks
    it may be used from (192.0.2.0/24); null: all."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    expires_at: Instant | msgspec.UnsetType | None = msgspec.UNSET
    limits: LimitChanges = LimitChanges()
    models: Allowed | msgspec.UnsetType | None = msgspec.UNSET
    ips: Allowed | msgspec.UnsetType | None = msgspec.UNSET


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A customer's key to be made, for one account."""

    name: Name = "default"
    expires_at: Instant | None = None


class NewServiceKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key to be made for a gateway, which posts usage, or for an administrator."""

    scope: Literal["gateway", "admin"]
    name: Name
    expires_at: Instant | None = None


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key just made. `secret` is the key itself, shown this once."""

    key: Key
    secret: str


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """Dollars. `available` = posted + credit_limit - held is what can still be spent; `credits` is part of `posted`."""

    account: str
    currency: str
    posted: str
    credits: str
    held: str
    credit_limit: str
    available: str
    as_of: datetime


@post("/v1/accounts", guards=[requires("admin")], tags=["accounts"])
async def create_account(data: JSONBody[NewAccount], pool: NamedDependency[Pool]) -> Account:
    """Make an account."""
    async with pool.connection() as conn:
        await _check_zone(conn, data.time_zone)
        return await store.create(
            conn,
            account_id=data.id or ids.new("acct"),
            name=data.name,
            email=data.email,
            address=data.address,
            time_zone=data.time_zone,
            anchor_day=data.anchor_day,
            tax_id=data.tax_id,
            country=data.country,
            payment_days=data.payment_days,
        )


@get("/v1/accounts", guards=[requires("admin")], tags=["accounts"])
async def list_accounts(
    pool: NamedDependency[Pool],
    page: NamedDependency[Page],
) -> Listing[Account]:
    """All accounts, newest first."""
    async with pool.connection() as conn:
        found, more = await store.listed(conn, page)
    return Listing(url="/v1/accounts", has_more=more, data=found)


@get("/v1/accounts/{account_id:str}", guards=[requires("admin")], tags=["accounts"])
async def get_account(account_id: FromPath[str], pool: NamedDependency[Pool]) -> Account:
    """One account."""
    async with pool.connection() as conn:
        return await store.get(conn, account_id)


@patch("/v1/accounts/{account_id:str}", guards=[requires("admin")], tags=["accounts"])
async def change_account(
    account_id: FromPath[str], data: JSONBody[AccountChanges], pool: NamedDependency[Pool]
) -> Account:
    """Change what an account is called, where its invoices go, and how far it may spend; suspend it, or end that.

    Another time zone or anchor day takes effect with its next period: the one that runs ends as it began.
    A suspension takes effect with this answer: from then on nothing is authorized. Usage is booked all the same.
    """
    async with pool.connection() as conn:
        if isinstance(data.time_zone, str):
            await _check_zone(conn, data.time_zone)
        return await store.change(conn, account_id, account_changes(data))


def account_changes(data: AccountChanges) -> Changes:
    amounts = {name: _picos(getattr(data, name)) for name in ("credit_limit", "balance_low")}
    return Changes(**{**msgspec.structs.asdict(data), **amounts})


@post("/v1/accounts/{account_id:str}/close", guards=[requires("admin")], status_code=200, tags=["accounts"])
async def close_account(account_id: FromPath[str], pool: NamedDependency[Pool]) -> Account:
    """Close an account for ever: its keys are revoked, nothing more is authorized and no top-up taken.

    Usage of before is still booked, invoices are still made, and an adjustment can pay back what is left.
    """
    async with pool.connection() as conn:
        return await store.close(conn, account_id)


async def _with_balance(connection: AnyConnection, token: str) -> Principal:
    """Who holds a token and, with the same question to the database, the balance that the request asks for."""
    given = dict(connection.query_params.multi_items())
    if "at" in given:
        return await look_up(connection, token)
    asked = Asked(token, connection.path_params.get("account_id", given.get("account")))
    balances: Balances = connection.app.state.balances
    principal, connection.state.balance = await balances.ask(asked)
    return principal


@get("/v1/accounts/{account_id:str}/balance", guards=[requires("admin", look=_with_balance)], tags=["accounts"])
async def get_account_balance(
    request: StrictRequest, account_id: FromPath[str], pool: NamedDependency[Pool], at: FromQuery[str | None] = None
) -> BalanceView | PastBalance:
    """An account's balance, now or as it was booked by an instant (`at`)."""
    return _balance(request, account_id) if at is None else await _past_balance(pool, account_id, at)


@get("/v1/balance", guards=[requires("customer", "gateway", "admin", look=_with_balance)], tags=["accounts"])
async def get_balance(
    request: StrictRequest,
    pool: NamedDependency[Pool],
    account: FromQuery[str | None] = None,
    at: FromQuery[str | None] = None,
) -> BalanceView | PastBalance:
    """The balance of the customer whose key this is; with another key, of `account`. `at` asks for a past instant."""
    account_id = request.auth.account(account)
    return _balance(request, account_id) if at is None else await _past_balance(pool, account_id, at)


async def _past_balance(pool: Pool, account_id: str, text: str) -> PastBalance:
    at = instant(text, ZoneInfo("UTC"), "at")
    if at is None or at > datetime.now(UTC):
        raise Unprocessable("future", "The balance of the future is not known: `at` is after now.")
    async with pool.connection() as conn:
        return await balance_at(conn, account_id, at)


def _balance(request: StrictRequest, account_id: str) -> BalanceView:
    """What the guard found. Raises NotFound."""
    balance: Balance | None = request.state.balance
    if balance is None:
        raise store.unknown(account_id)
    return BalanceView(
        account=balance.account_id,
        currency="USD",
        posted=money.format(balance.posted),
        credits=money.format(balance.credits),
        held=money.format(balance.held),
        credit_limit=money.format(balance.credit_limit),
        available=money.format(balance.available),
        as_of=balance.as_of,
    )


@post("/v1/accounts/{account_id:str}/keys", guards=[requires("admin")], tags=["keys"])
async def create_key(account_id: FromPath[str], data: JSONBody[NewKey], pool: NamedDependency[Pool]) -> IssuedKey:
    """Make a key for a customer. The secret is in this answer and nowhere else."""
    _check_expiry(data.expires_at)
    async with pool.connection() as conn:
        key, secret = await keys.create(
            conn, scope="customer", name=data.name, account_id=account_id, expires_at=data.expires_at
        )
    return IssuedKey(key=key, secret=secret)


@get("/v1/accounts/{account_id:str}/keys", guards=[requires("admin")], tags=["keys"])
async def list_account_keys(account_id: FromPath[str], pool: NamedDependency[Pool]) -> Listing[Key]:
    """A customer's keys, newest first."""
    async with pool.connection() as conn:
        await store.get(conn, account_id)
        found = await keys.listed(conn, account_id)
    return Listing(url=f"/v1/accounts/{account_id}/keys", has_more=False, data=found)


@post("/v1/keys", guards=[requires("admin")], tags=["keys"])
async def create_service_key(data: JSONBody[NewServiceKey], pool: NamedDependency[Pool]) -> IssuedKey:
    """Make a key for a gateway or an administrator. The secret is in this answer and nowhere else."""
    _check_expiry(data.expires_at)
    async with pool.connection() as conn:
        key, secret = await keys.create(conn, scope=data.scope, name=data.name, expires_at=data.expires_at)
    return IssuedKey(key=key, secret=secret)


@get("/v1/keys", guards=[requires("admin")], tags=["keys"])
async def list_service_keys(pool: NamedDependency[Pool]) -> Listing[Key]:
    """The keys of gateways and administrators, newest first."""
    async with pool.connection() as conn:
        found = await keys.listed(conn, None)
    return Listing(url="/v1/keys", has_more=False, data=found)


@get("/v1/keys/{key_id:str}", guards=[requires("admin")], tags=["keys"])
async def get_key(key_id: FromPath[str], pool: NamedDependency[Pool]) -> KeySpending:
    """One key, with what it may do and what it has spent."""
    async with pool.connection() as conn:
        return await limits.spending(conn, key_id)


@patch("/v1/keys/{key_id:str}", guards=[requires("admin")], tags=["keys"])
async def change_key(key_id: FromPath[str], data: JSONBody[KeyChanges], pool: NamedDependency[Pool]) -> Key:
    """Change what a key may do, from this answer on. It is enforced when its spending is authorized."""
    changes = key_changes(data)
    async with pool.connection() as conn:
        return await limits.change(conn, key_id, changes)


def key_changes(data: KeyChanges) -> limits.Changes:
    """Raises Invalid for an expiry that is past, and for what is no network."""
    if isinstance(data.expires_at, datetime):
        _check_expiry(data.expires_at)
    spans = {f"{span}_limit": _picos(getattr(data.limits, span)) for span in keys.SPANS}
    ips = data.ips
    if isinstance(ips, list):
        ips = [network(text, f"$.ips[{place}]") for place, text in enumerate(ips)]
    return limits.Changes(name=data.name, expires_at=data.expires_at, models=data.models, ips=ips, **spans)


def _picos(amount: str | msgspec.UnsetType | None) -> int | msgspec.UnsetType | None:
    return money.parse(amount) if isinstance(amount, str) else amount


@delete("/v1/keys/{key_id:str}", guards=[requires("admin")], status_code=200, tags=["keys"])
async def revoke_key(key_id: FromPath[str], pool: NamedDependency[Pool]) -> Key:
    """Revoke a key: from this answer on it is not accepted any more. What it used before is still billed."""
    async with pool.connection() as conn:
        return await keys.revoke(conn, key_id)


async def _check_zone(conn: Connection, name: str) -> None:
    if not await zones.known(conn, name):
        detail = f"There is no time zone {name}; a name looks like Europe/Berlin."
        raise Invalid("unknown_time_zone", detail, (Fault("unknown_time_zone", detail, "$.time_zone"),))


def _check_expiry(expires_at: datetime | None) -> None:
    bounded(expires_at, "$.expires_at")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        detail = "The key would have expired already."
        raise Invalid("expired", detail, (Fault("expired", detail, "$.expires_at"),))


router = Router(
    "/",
    route_handlers=[
        create_account,
        list_accounts,
        get_account,
        change_account,
        close_account,
        get_account_balance,
        get_balance,
        create_key,
        list_account_keys,
        create_service_key,
        list_service_keys,
        get_key,
        change_key,
        revoke_key,
    ],
)
