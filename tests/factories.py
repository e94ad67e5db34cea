"""Accounts and keys for tests; every call makes new ones."""

from billing import ids
from billing.accounts import keys
from billing.accounts.keys import Scope
from billing.db.pool import Connection


async def account(conn: Connection, *, time_zone: str = "UTC") -> str:
    """A new account with an empty wallet; its id."""
    account_id = ids.new("acct")
    async with conn.transaction():
        await conn.execute("INSERT INTO accounts (id, name, time_zone) VALUES (%s, 'Ada', %s)", [account_id, time_zone])
        await conn.execute("INSERT INTO balances (account_id) VALUES (%s)", [account_id])
    return account_id


async def key(conn: Connection, scope: Scope, account_id: str | None = None) -> str:
    """A new key; the secret, as a client sends it."""
    _, secret = await keys.create(conn, scope=scope, name="test", account_id=account_id)
    return secret
