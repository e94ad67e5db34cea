"""The accounts room's SQL."""

from datetime import datetime

import msgspec

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.errors import Conflict, NotFound
from billing.pages import Page, rows_of


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A customer. Periods and days are those of `time_zone`; name, email and address are printed on invoices."""

    id: str
    name: str
    email: str | None
    address: str | None
    time_zone: str
    created_at: datetime


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What wallet and credits hold, and the credits alone, in picodollars, as of an instant of the database's clock.

    `credits_due`: credits have begun or expired by then and are not posted yet.
    """

    account_id: str
    posted: int
    credits: int
    credits_due: bool
    as_of: datetime


async def create(
    conn: Connection, *, account_id: str, name: str, email: str | None, address: str | None, time_zone: str
) -> Account:
    """Make an account with an empty balance. Raises Conflict when the name of the account is taken."""
    row = await (
        await conn.execute(
            """
            WITH account AS (
              INSERT INTO accounts (id, name, email, address, time_zone)
              VALUES (%(id)s, %(name)s, %(email)s, %(address)s, %(time_zone)s)
              ON CONFLICT (id) DO NOTHING
              RETURNING *
            ),
            balance AS (
              INSERT INTO balances (account_id) SELECT id FROM account
            )
            SELECT * FROM account
            """,
            {"id": account_id, "name": name, "email": email, "address": address, "time_zone": time_zone},
        )
    ).fetchone()
    if row is None:
        raise Conflict("account_exists", f"There is an account {account_id} already.")
    return msgspec.convert(row, Account)


async def get(conn: Connection, account_id: str) -> Account:
    """Raises NotFound."""
    row = await (await conn.execute("SELECT * FROM accounts WHERE id = %s", [account_id])).fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    return msgspec.convert(row, Account)


async def update(conn: Connection, account_id: str, changes: dict[str, str | None]) -> Account:
    """Change the given fields of an account and leave the others. Raises NotFound."""
    before = msgspec.structs.asdict(await get(conn, account_id))
    row = await (
        await conn.execute(
            """
            UPDATE accounts SET name = %(name)s, email = %(email)s, address = %(address)s
            WHERE id = %(id)s
            RETURNING *
            """,
            {**before, **changes},
        )
    ).fetchone()
    return msgspec.convert(row, Account)


async def listed(conn: Connection, page: Page) -> tuple[list[Account], bool]:
    """A page of all accounts, and whether more follow."""
    rows, more = await rows_of(conn, "SELECT * FROM accounts", {}, newest_by="created_at", page=page)
    return [msgspec.convert(row, Account) for row in rows], more


async def balance(conn: Connection, account_id: str) -> Balance:
    """Raises NotFound for an unknown account."""
    row = await (
        await conn.execute(
            """
            SELECT posted, credits, coalesce(credits_due_at <= now(), false) AS credits_due, now() AS as_of
            FROM balances
            WHERE account_id = %s
            """,
            [account_id],
        )
    ).fetchone()
    if row is None:
        raise NotFound("unknown_account", f"There is no account {account_id}.")
    return Balance(
        account_id=account_id,
        posted=picos(row["posted"]),
        credits=picos(row["credits"]),
        credits_due=row["credits_due"],
        as_of=row["as_of"],
    )
