"""Who may spend how much: the decision on each authorisation. Pure: no database, no clock.

The order of the refusals is part of the interface: whose it is, the account, the key, the model, the address, the
price, the account's money, the key's limits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

from billing.errors import Conflict, Fault, Forbidden, Invalid, NotFound, Problem, Unpayable
from billing.prices.terms import Terms
from pricing import money

Span = Literal["day", "month", "total"]
SPANS: tuple[Span, ...] = ("day", "month", "total")
State = Literal["open", "captured", "released", "expired"]
LIMIT_OF: Mapping[Span, str] = {"day": "a day (UTC)", "month": "a month (UTC)", "total": "all"}

AMOUNT_MAX = 9 * 10**18
"""Picodollars: as for the charge of a single event (metering), nine million dollars. It fits 64 bits."""

Price = Callable[[Terms, str, datetime], int]
"""What a request may cost at most, in picodollars, at an account's terms at an instant; raises Problem."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request for an authorisation, by an account's id or by the hash of a customer's key."""

    owner: str | bytes
    model: str
    price: Price
    max_cost: int | None
    seconds: int
    ip: str | None = None
    id: str | None = None
    new_id: str
    """What the hold is called unless `id` says."""
    __repr__ = object.__repr__  # names a key


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Money set aside, in picodollars. `event` is the (source, id) of the usage that captured it."""

    id: str
    account_id: str
    key_id: str | None
    model: str
    amount: int
    state: State
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None
    event: tuple[str, str] | None = None

    def state_at(self, now: datetime) -> State:
        """What has expired has expired, also before it is swept."""
        return "expired" if self.state == "open" and self.expires_at <= now else self.state


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of an account under its lock. `due` is what of its holds has expired and is not freed yet;
    `credits_due`: credits have begun or expired and are not posted yet."""

    id: str
    available: int
    closed: bool
    suspended: bool
    credits_due: bool
    due: int = 0


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a customer's key. `limits` and `spent` have the spans that are limited."""

    id: str
    account_id: str
    revoked: bool
    expired: bool
    limits: Mapping[Span, int]
    spent: Mapping[Span, int]
    held: int
    models: Sequence[str] | None
    ips: Sequence[str] | None
    due: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that a batch needs to know, as of `now`, with the accounts locked. `holds` has those that are named."""

    now: datetime
    accounts: Mapping[str, Account]
    keys: Mapping[bytes, Key]
    holds: Mapping[tuple[str, str], Hold]


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The hold, and what remains `available`. `new`: it is to be stored; otherwise it was asked for before."""

    hold: Hold
    available: int
    new: bool


def decide(batch: Iterable[Asked], seen: Seen, terms: Terms) -> list[Granted | Problem]:
    """Grant or refuse each, in order of arrival; what one is granted is gone for the next."""
    decision = _Decision(seen, terms)
    return [decision.on(asked) for asked in batch]


def is_short(found: Granted | Problem) -> bool:
    """Whether money is what is missing, so that holds which are due would matter."""
    return isinstance(found, Unpayable)


class _Decision:
    """What a batch has been granted so far."""

    def __init__(self, seen: Seen, terms: Terms) -> None:
        self.seen = seen
        self.terms = terms
        self.available = {account.id: account.available + account.due for account in seen.accounts.values()}
        self.key_held = {key.id: key.held - key.due for key in seen.keys.values()}
        self.holds = dict(seen.holds)

    def on(self, asked: Asked) -> Granted | Problem:
        try:
            return self._granted(asked)
        except Problem as refusal:
            return refusal

    def _granted(self, asked: Asked) -> Granted:
        account, key = self._owner(asked)
        before = self.holds.get((account.id, asked.id)) if asked.id is not None else None
        if before is not None:
            return self._again(before, asked, key)
        _check_account(account)
        if key is not None:
            _check_key(key, asked)
        amount = asked.price(self.terms, account.id, self.seen.now)
        if amount > AMOUNT_MAX:
            detail = "No single request costs more than nine million dollars."
            raise Invalid("invalid_amount", detail, (Fault("invalid_amount", detail, "$"),))
        self._check_money(amount, account, key)
        hold = Hold(
            id=asked.id or asked.new_id,
            account_id=account.id,
            key_id=key.id if key else None,
            model=asked.model,
            amount=amount,
            state="open",
            created_at=self.seen.now,
            expires_at=self.seen.now + timedelta(seconds=asked.seconds),
        )
        self.holds[account.id, hold.id] = hold
        self.available[account.id] -= amount
        if key is not None:
            self.key_held[key.id] += amount
        return Granted(hold=hold, available=self.available[account.id], new=True)

    def _owner(self, asked: Asked) -> tuple[Account, Key | None]:
        key = self.seen.keys.get(asked.owner) if isinstance(asked.owner, bytes) else None
        if key is None and isinstance(asked.owner, bytes):
            raise NotFound("unknown_key", "No customer has this API key.")
        account = self.seen.accounts.get(key.account_id if key else str(asked.owner))
        if account is None:
            raise NotFound("unknown_account", "There is no such account.")
        return account, key

    def _again(self, before: Hold, asked: Asked, key: Key | None) -> Granted:
        """The same request again gets the same hold, while that holds anything."""
        same = before.model == asked.model and before.key_id == (key.id if key else None)
        if not same or asked.max_cost not in (None, before.amount):
            raise Conflict(
                "authorization_exists", "This id names another authorization of the account. Nothing was held."
            )
        if (state := before.state_at(self.seen.now)) != "open":
            raise Conflict("authorization_ended", f"This authorization holds nothing any more: it is {state}.")
        return Granted(hold=before, available=self.available[before.account_id], new=False)

    def _check_money(self, amount: int, account: Account, key: Key | None) -> None:
        available = self.available[account.id]
        if amount > available:
            sentence = f"The request may cost {money.format(amount)} dollars; {money.format(available)} are available."
            raise Unpayable("insufficient_quota", sentence)
        for span, limit in key.limits.items() if key else ():
            assert key is not None
            left = limit - key.spent.get(span, 0) - self.key_held[key.id]
            if amount > left:
                raise Unpayable(
                    "key_limit_reached",
                    f"The request may cost {money.format(amount)} dollars; of the {money.format(limit)} that the key "
                    f"may spend in {LIMIT_OF[span]}, {money.format(left)} are left.",
                )


def _check_account(account: Account) -> None:
    if account.closed:
        raise Forbidden("account_closed", "The account is closed.")
    if account.suspended:
        raise Forbidden("account_suspended", "The account is suspended.")


def _check_key(key: Key, asked: Asked) -> None:
    if key.revoked:
        raise Forbidden("key_revoked", "The API key has been revoked.")
    if key.expired:
        raise Forbidden("key_expired", "The API key has expired.")
    if key.models is not None and not any(is_named(asked.model, pattern) for pattern in key.models):
        raise Forbidden("model_not_allowed", "The API key may not use this model.")
    if key.ips is not None and not _is_within(asked.ip, key.ips):
        place = "from this address" if asked.ip else "from an address that is not said (`ip`)"
        raise Forbidden("ip_not_allowed", f"The API key may not be used {place}.")


def is_named(model: str, pattern: str) -> bool:
    """A name, or the beginning of one: `gpt-4*`."""
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern


def _is_within(ip: str | None, networks: Sequence[str]) -> bool:
    if ip is None:
        return False
    address = ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:192.0.2.1 is 192.0.2.1, seen by a socket of both kinds
    return any((mapped or address) in ip_network(network) for network in networks)
