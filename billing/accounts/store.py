"""The accounts room's SQL."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from billing import outbox
from billing.audit import log as audit
from billing.db.arrays import TextArray
from billing.db.dollars import dollars, picos
from billing.db.pool import Connection
from billing.errors import Conflict, NotFound
from billing.pages import Page, rows_of
from pricing import money


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A customer. Days are those of `time_zone`; name, email, address, `country` and `tax_id` are printed on invoices.

    Periods begin on `anchor_day` of the month, by `time_zone`; what these are changed to, the next period follows.
    `payment_days` is how long an invoice may wait to be paid; null: as long as everybody's.

    `credit_limit` is how far below zero its balance may go, in dollars; `suspension` is why it is suspended. When less
    than `balance_low` is left, with the credit limit, that is told (docs/api.md, Webhooks); None: it is not.
    """

    id: str
    name: str
    email: str | None
    address: str | None
    time_zone: str
    anchor_day: int
    tax_id: str | None
    country: str | None
    payment_days: int | None
    created_at: datetime
    credit_limit: str
    balance_low: str | None
    suspended_at: datetime | None
    suspension: str | None
    closed_at: datetime | None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has, in picodollars, as of an instant of the database's clock. `held` has no expired holds.

    `credits` is part of `posted`; `credits_due`: some have begun or expired by then and are not posted yet.
    """

    account_id: str
    posted: int
    credits: int
    credits_due: bool
    held: int
    credit_limit: int
    as_of: datetime

    @property
    def available(self) -> int:
        """What can still be spent (rules.md Ledger 5)."""
        return self.posted + self.credit_limit - self.held


ACCOUNTS = (
    "SELECT accounts.*, balances.credit_limit, balances.balance_low FROM accounts JOIN balances ON account_id = id"
)

BALANCES = """
SELECT account_id, posted, credits, coalesce(credits_due_at <= now(), false) AS credits_due, credit_limit,
       now() AS as_of, held - coalesce((
  SELECT sum(amount) FROM holds
  WHERE holds.account_id = balances.account_id AND state = 'open' AND expires_at <= now()
), 0) AS held
FROM balances
"""


async def create(
    conn: Connection,
    *,
    account_id: str,
    name: str,
    email: str | None,
    address: str | None,
    time_zone: str,
    anchor_day: int = 1,
    tax_id: str | None = None,
    country: str | None = None,
    payment_days: int | None = None,
) -> Account:
    """Make an account with an empty balance. Raises Conflict when the name of the account is taken."""
    async with conn.transaction():
        cursor = await conn.execute(
            """
            WITH account AS (
              INSERT INTO accounts (id, name, email, address, time_zone, anchor_day, tax_id, country, payment_days)
              VALUES (
                %(id)s, %(name)s, %(email)s, %(address)s, %(time_zone)s, %(anchor_day)s, %(tax_id)s, %(country)s,
                %(payment_days)s
              )
              ON CONFLICT (id) DO NOTHING
              RETURNING *
            ),
            balance AS (
              INSERT INTO balances (account_id) SELECT id FROM account
            )
            SELECT *, 0::numeric AS credit_limit, NULL::numeric AS balance_low FROM account
            """,
            {
                "id": account_id,
                "name": name,
                "email": email,
                "address": address,
                "time_zone": time_zone,
                "anchor_day": anchor_day,
                "tax_id": tax_id,
                "country": country,
                "payment_days": payment_days,
            },
        )
        row = await cursor.fetchone()
        if row is None:
            raise Conflict("account_exists", f"There is an account {account_id} already.")
        await audit.record(conn, "account.create", account=account_id, subject=account_id, name=name)
    return _account(row)


async def get(conn: Connection, account_id: str) -> Account:
    """Raises NotFound."""
    row = await (await conn.execute(f"{ACCOUNTS} WHERE id = %s", [account_id])).fetchone()
    if row is None:
        raise unknown(account_id)
    return _account(row)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change of an account; what is UNSET stays. `credit_limit` and `balance_low` in picodollars."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    address: str | msgspec.UnsetType | None = msgspec.UNSET
    credit_limit: int | msgspec.UnsetType = msgspec.UNSET
    balance_low: int | msgspec.UnsetType | None = msgspec.UNSET
    suspended: bool | msgspec.UnsetType = msgspec.UNSET
    reason: str | None = None
    time_zone: str | msgspec.UnsetType = msgspec.UNSET
    anchor_day: int | msgspec.UnsetType = msgspec.UNSET
    tax_id: str | msgspec.UnsetType | None = msgspec.UNSET
    country: str | msgspec.UnsetType | None = msgspec.UNSET
    payment_days: int | msgspec.UnsetType | None = msgspec.UNSET


async def change(conn: Connection, account_id: str, changes: Changes) -> Account:
    """Change the given fields of an account and leave the others. Raises NotFound."""
    async with conn.transaction():
        await conn.execute("SELECT FROM accounts WHERE id = %s FOR NO KEY UPDATE", [account_id])
        before = await get(conn, account_id)
        named = {
            field: getattr(before, field) if (new := getattr(changes, field)) is msgspec.UNSET else new
            for field in ("name", "email", "address", "time_zone", "anchor_day", "tax_id", "country", "payment_days")
        }
        if (named["time_zone"], named["anchor_day"]) != (before.time_zone, before.anchor_day):
            await _set_calendar(conn, account_id, named["time_zone"], named["anchor_day"])
        await conn.execute(
            """
            UPDATE accounts
            SET name = %(name)s, email = %(email)s, address = %(address)s, time_zone = %(time_zone)s,
                anchor_day = %(anchor_day)s, tax_id = %(tax_id)s, country = %(country)s, payment_days = %(payment_days)s
            WHERE id = %(id)s
            """,
            {**named, "id": account_id},
        )
        if changes.suspended is not msgspec.UNSET:
            await _suspend(conn, account_id, changes.suspended, changes.reason)
        if changes.credit_limit is not msgspec.UNSET:
            await conn.execute(
                "UPDATE balances SET credit_limit = %s WHERE account_id = %s",
                [dollars(changes.credit_limit), account_id],
            )
        if changes.balance_low is not msgspec.UNSET:
            await conn.execute(
                "UPDATE balances SET balance_low = %s WHERE account_id = %s",
                [None if changes.balance_low is None else dollars(changes.balance_low), account_id],
            )
        await _record(conn, account_id, changes)
        return await get(conn, account_id)


async def _record(conn: Connection, account_id: str, changes: Changes) -> None:
    named = {True: "account.suspend", False: "account.resume", msgspec.UNSET: "account.change"}
    asked = msgspec.structs.asdict(changes)
    for name in ("credit_limit", "balance_low"):
        if isinstance(asked[name], int):
            asked[name] = money.format(asked[name])
    del asked["suspended"]
    await audit.record(conn, named[changes.suspended], account=account_id, subject=account_id, **asked)


async def _set_calendar(conn: Connection, account_id: str, time_zone: str, anchor_day: int) -> None:
    """Note what its periods follow from now on, and what they followed before if nothing is noted yet."""
    await conn.execute(
        """
        INSERT INTO account_calendars (account_id, set_at, time_zone, anchor_day)
        SELECT id, created_at, time_zone, anchor_day
        FROM accounts
        WHERE id = %(id)s AND NOT EXISTS (SELECT FROM account_calendars WHERE account_id = id)
        UNION ALL
        SELECT %(id)s, clock_timestamp(), %(time_zone)s, %(anchor_day)s
        """,
        {"id": account_id, "time_zone": time_zone, "anchor_day": anchor_day},
    )


async def _suspend(conn: Connection, account_id: str, suspended: bool, reason: str | None) -> None:
    """Suspend it from now on, or end that. One that is suspended already stays so since then, with the new reason."""
    await conn.execute(
        """
        UPDATE accounts
        SET suspended_at = CASE WHEN %(suspended)s THEN coalesce(suspended_at, now()) END,
            suspension = CASE WHEN %(suspended)s THEN coalesce(%(reason)s, suspension) END
        WHERE id = %(id)s
        """,
        {"suspended": suspended, "reason": reason, "id": account_id},
    )


async def close(conn: Connection, account_id: str) -> Account:
    """Close an account for ever and revoke its keys; again, it changes nothing. Raises NotFound.

    Keys are locked before balances, as by whoever changes a key's limits.
    """
    async with conn.transaction():
        cursor = await conn.execute(
            "UPDATE api_keys SET revoked_at = now() WHERE account_id = %s AND revoked_at IS NULL RETURNING *",
            [account_id],
        )
        revoked = await cursor.fetchall()
        await conn.execute(
            """
            WITH closed AS (
              UPDATE accounts SET closed_at = now() WHERE id = %s AND closed_at IS NULL RETURNING id
            )
            UPDATE balances SET period_ends_at = NULL FROM closed WHERE account_id = id
            """,
            [account_id],
        )
        for key in revoked:
            await tell_revoked(conn, key)
        account = await get(conn, account_id)
        await audit.record(conn, "account.close", account=account_id, subject=account_id)
        return account


async def tell_revoked(conn: Connection, key: dict[str, Any]) -> None:
    """Say that a key has just been revoked; of a gateway's or an admin's only the operator is told."""
    data = {
        "key": key["id"],
        "account": key["account_id"],
        "scope": key["scope"],
        "name": key["name"],
        "hint": key["hint"],
        "revoked_at": key["revoked_at"],
    }
    await outbox.add(conn, "key.revoked", key["account_id"], data)


async def check_not_closed(conn: Connection, account_id: str) -> None:
    """Raises Conflict for a closed account; one that is not stays open until the caller's transaction ends."""
    cursor = await conn.execute("SELECT closed_at FROM accounts WHERE id = %s FOR SHARE", [account_id])
    row = await cursor.fetchone()
    if row is not None and row["closed_at"] is not None:
        raise Conflict("account_closed", f"The account {account_id} is closed since {row['closed_at']:%Y-%m-%d}.")


async def listed(conn: Connection, page: Page) -> tuple[list[Account], bool]:
    """A page of all accounts, and whether more follow."""
    rows, more = await rows_of(conn, ACCOUNTS, {}, newest_by="created_at", page=page)
    return [_account(row) for row in rows], more


async def balances(conn: Connection, account_ids: Iterable[str]) -> dict[str, Balance]:
    """What these accounts have, by their id; one that is not there is left out."""
    cursor = await conn.execute(f"{BALANCES} WHERE account_id = ANY(%s)", [TextArray.of(account_ids)])
    return {row["account_id"]: balance_of(row) for row in await cursor.fetchall()}


def balance_of(row: dict[str, Any]) -> Balance:
    """A row of BALANCES."""
    return Balance(
        account_id=row["account_id"],
        posted=picos(row["posted"]),
        credits=picos(row["credits"]),
        credits_due=row["credits_due"],
        held=picos(row["held"]),
        credit_limit=picos(row["credit_limit"]),
        as_of=row["as_of"],
    )


def _account(row: dict[str, Any]) -> Account:
    amounts = {
        name: None if row[name] is None else money.format(picos(row[name])) for name in ("credit_limit", "balance_low")
    }
    return msgspec.convert({**row, **amounts}, Account)


def unknown(account_id: str) -> NotFound:
    return NotFound("unknown_account", f"There is no account {account_id}.")
