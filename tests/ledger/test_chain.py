"""The chain of an account's transactions, computed again by the recipe of docs/evidence.md."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from billing.credits import giving
from billing.credits.grants import NewGrant
from billing.db.pool import Connection, Pool
from billing.ledger.movements import Movement, Refund, book, refund
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book as price_book
from pricing import money
from tests import factories
from tests.metering.events import batch, event

pytestmark = pytest.mark.anyio


def sha256(said: bytes) -> bytes:
    return hashlib.sha256(said).digest()


async def moved(pool: Pool) -> str:
    """An account with movements of every kind: money, credit that pays and expires, usage in several batches."""
    intake = Intake(pool, TermsKeeper(price_book.load(), "0.5"), Settings())
    async with pool.connection() as conn:
        account = await factories.account(conn)
        now = datetime.now(UTC)
        grant = NewGrant(
            account_id=account,
            category="promotional",
            amount=money.parse("0.002"),
            actor="cli",
            reference="a “b” \\ ü",
            expires_at=now + timedelta(days=1),
        )
        async with conn.transaction():
            await book(conn, Movement(account_id=account, kind="top_up", amount=money.parse("12.5"), actor="cli"))
            await giving.give(conn, grant)
        await intake.post(batch(*(event(account, f"a{number}") for number in range(5))))
        await intake.post(batch(event(account, "b", upstream={"name": "azure", "cost": "0.0001"})))
        async with conn.transaction():
            paid = NewGrant(account_id=account, category="paid", amount=money.parse("1"), actor="cli")
            taken = await giving.give(conn, paid)
            await giving.void(conn, account, taken.id, reason="a mistake", actor="cli")
        found = await (await conn.execute("SELECT transaction FROM postings WHERE kind = 'top_up'")).fetchall()
        async with conn.transaction():
            asked = Refund(
                account_id=account, transaction=found[0]["transaction"], amount=1, reason="asked", actor="cli"
            )
            await refund(conn, asked)
    return account


async def links(conn: Connection, account: str) -> list[tuple[bytes, bytes]]:
    """Of each link: what it says, and the chain that was kept with it."""
    postings = await (
        await conn.execute(
            """
            SELECT *, amount::text AS said_amount, extract(epoch FROM effective_at)::text AS epoch
            FROM postings WHERE account_id = %s ORDER BY seq, line
            """,
            [account],
        )
    ).fetchall()
    groups: dict[tuple[int, bool], list[dict]] = {}
    for posting in postings:
        groups.setdefault((posting["seq"], posting["kind"] == "burn"), []).append(posting)
    found = []
    for lines in groups.values():
        transaction = lines[0]["transaction"]
        if lines[0]["kind"] == "usage":
            charges = await (
                await conn.execute(
                    "SELECT digest, amount::text AS amount, cost::text AS cost FROM charges "
                    "WHERE account_id = %s AND transaction = %s ORDER BY position",
                    [account, transaction],
                )
            ).fetchall()
            said = b"".join(row["digest"] + f"{row['amount']} {row['cost'] or ''} ".encode() for row in charges)
        else:
            said = b"".join(line(posting) for posting in lines)
        found.append((sha256(f"{account} {transaction} ".encode() + said), lines[0]["chain"]))
    return found


def line(posting: dict) -> bytes:
    texts = [posting[name] for name in ("kind", "source", "destination")]
    numbers = [posting["said_amount"], posting["epoch"]]
    rest = [posting[name] for name in ("reference", "reason", "actor", "grant_id", "reverses")]
    parts = [*map(quoted, texts), *numbers, *map(quoted, rest)]
    return f"[{', '.join(parts)}]".encode()


def quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


async def test_the_recipe_makes_every_chain(relay_pool: Pool) -> None:
    account = await moved(relay_pool)
    async with relay_pool.connection() as conn:
        found = await links(conn, account)
        chain = None
        for link, kept in found:
            chain = link if chain is None else sha256(chain + link)
            assert chain == kept
        balance = await (await conn.execute("SELECT chain FROM balances WHERE account_id = %s", [account])).fetchone()
    assert len(found) == 8  # top-up, grant, usage, burn, usage, burn, grant, void … and the refund
    assert balance is not None
    assert balance["chain"] == chain
