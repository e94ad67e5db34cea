"""What an account has now, with the credits that are due."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from billing.accounts import keys
from billing.accounts import store as accounts
from billing.accounts.keys import Principal
from billing.accounts.store import Balance
from billing.credits import store
from billing.db.pool import Connection, Pool
from billing.gather import Bounds, Gatherer

READ_MAX = 500
"""Balances read with one query."""


class Asked(NamedTuple):
    """A bearer token, and the account named beside it, which a customer's need not be."""

    token: str
    account: str | None


Told = tuple[Principal, Balance | None]
"""Who holds the token, and what the account has that it asks about (see `keys.authenticate_with_balances`)."""

Balances = Gatherer[Asked, Told]


def gathered(pool: Pool, bounds: Bounds) -> Balances:
    """Reads who asks and balances, for all who ask at the same time with one query."""

    async def read(asked: Sequence[Asked]) -> list[Told | Exception]:
        async with pool.connection() as conn:
            found = await keys.authenticate_with_balances(conn, asked)
            if await _settled(conn, [one[1] for one in found if not isinstance(one, Exception)]):
                found = await keys.authenticate_with_balances(conn, asked)
        return found

    return Gatherer(read, lanes=1, items_max=READ_MAX, bounds=bounds)


async def balances(conn: Connection, account_ids: set[str]) -> dict[str, Balance]:
    """What these accounts have; grants that have begun or expired are posted first."""
    found = await accounts.balances(conn, account_ids)
    if await _settled(conn, found.values()):
        return await accounts.balances(conn, account_ids)
    return found


async def balance(conn: Connection, account_id: str) -> Balance:
    """The same of one account. Raises NotFound for an unknown one."""
    found = await balances(conn, {account_id})
    if account_id not in found:
        raise accounts.unknown(account_id)
    return found[account_id]


async def _settled(conn: Connection, found: Iterable[Balance | None]) -> bool:
    """Posts the grants of these that have begun or expired, and says whether there were any."""
    due = {one.account_id for one in found if one is not None and one.credits_due}
    if due:
        async with conn.transaction():
            await store.settle(conn, due)
    return bool(due)
