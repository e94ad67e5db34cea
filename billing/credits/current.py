"""What an account has now, with the credits that are due."""

from billing.accounts import store as accounts
from billing.accounts.store import Balance
from billing.credits import store
from billing.db.pool import Connection


async def balance(conn: Connection, account_id: str) -> Balance:
    """The balance; grants that have begun or expired are posted first. Raises NotFound for an unknown account."""
    found = await accounts.balance(conn, account_id)
    if not found.credits_due:
        return found
    async with conn.transaction():
        await store.settle(conn, [account_id])
    return await accounts.balance(conn, account_id)
