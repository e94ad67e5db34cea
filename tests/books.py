"""What tests ask of a book."""

from billing import proof
from billing.accounts.store import Balance, balances
from billing.db.pool import Connection, Pool


async def balance(conn: Connection, account_id: str) -> Balance:
    return (await balances(conn, [account_id]))[account_id]


async def differences(pool: Pool) -> list[str]:
    """What is not right in it (`billing verify`)."""
    async with pool.connection() as conn:
        return await proof.differences(conn)
