"""What an account has now, with the credits that are due."""

from billing.accounts import store as accounts
from billing.accounts.store import Balance
from billing.credits import store
from billing.db.pool import Connection, Pool
from billing.errors import NotFound
from billing.gather import Bounds, Gatherer

READ_MAX = 500
"""Accounts read with one query."""

Balances = Gatherer[str, Balance]


def gathered(pool: Pool, bounds: Bounds) -> Balances:
    """Reads balances, for all who ask at the same time with one query."""

    async def read(account_ids: list[str]) -> list[Balance | NotFound]:
        async with pool.connection() as conn:
            found = await balances(conn, set(account_ids))
        return [found.get(account_id) or accounts.unknown(account_id) for account_id in account_ids]

    return Gatherer(read, lanes=1, items_max=READ_MAX, bounds=bounds)


async def balances(conn: Connection, account_ids: set[str]) -> dict[str, Balance]:
    """What these accounts have; grants that have begun or expired are posted first."""
    found = await accounts.balances(conn, account_ids)
    due = {account_id for account_id, balance in found.items() if balance.credits_due}
    if not due:
        return found
    async with conn.transaction():
        await store.settle(conn, due)
    return found | await accounts.balances(conn, due)


async def balance(conn: Connection, account_id: str) -> Balance:
    """The same of one account. Raises NotFound for an unknown one."""
    found = await balances(conn, {account_id})
    if account_id not in found:
        raise accounts.unknown(account_id)
    return found[account_id]
