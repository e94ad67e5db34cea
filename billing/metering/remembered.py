"""What a process remembers of the database, so that a batch need not ask: accounts, owners of keys, numbers of prices.

Only what never changes is remembered. Requests share this while they wait for the database, so nothing is ever taken
out of a memory in use: a full one is replaced, and each request goes on with what it has found itself.
"""

from collections.abc import Iterable

from billing.db.pool import Connection
from billing.metering import store
from billing.metering.assess import Nothing, stored
from pricing.charge import Rate

REMEMBERED_MAX = 100_000

Owner = tuple[str, str | None]
"""An account, and the key its event was sent with, if it names one."""
Numbers = dict[Rate | Nothing, tuple[int, ...]]


class Remembered:
    """`owners` by an account's name or the hash of a key; `prices` by rate."""

    def __init__(self) -> None:
        self.owners: dict[str | bytes, Owner] = {}
        self.prices: Numbers = {}
        self.prices_version = -1

    async def owners_of(self, conn: Connection, names: set[str | bytes]) -> dict[str | bytes, Owner]:
        """The owners that these names stand for; a name of nobody is left out."""
        found = {name: owner for name in names if (owner := self.owners.get(name)) is not None}
        unknown = names - found.keys()
        if not unknown:
            return found
        accounts = await store.account_ids(conn, [name for name in unknown if isinstance(name, str)])
        keys = await store.keys_by_hash(conn, [name for name in unknown if isinstance(name, bytes)])
        new: dict[str | bytes, Owner] = {name: (name, None) for name in accounts}
        for digest, owner in keys.items():
            new[digest] = owner
        self.owners = {**({} if len(self.owners) > REMEMBERED_MAX else self.owners), **new}
        return found | new

    async def numbers_of(self, conn: Connection, rates: Iterable[Rate | Nothing], version: int) -> Numbers:
        """The numbers of the prices of these rates, stored first where they are new.

        Apart from the events' transaction: what is remembered must be committed, whatever becomes of them. Rates belong
        to a `version` of the terms, and so does this memory.
        """
        if version != self.prices_version or len(self.prices) > REMEMBERED_MAX:
            self.prices, self.prices_version = {}, version
        shared = self.prices
        found: Numbers = {}
        for rate in rates:
            numbers = shared.get(rate)
            if numbers is None:
                numbers = shared[rate] = tuple(await store.price_numbers(conn, stored(rate)))
            found[rate] = numbers
        return found
