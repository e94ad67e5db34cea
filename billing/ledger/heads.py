"""The heads of all chains (docs/evidence.md): kept elsewhere, they show later that nothing before them was changed.

A head is a line `account seq chain`: the account's chain, in hexadecimal digits, after its transaction of that number.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterable

from billing.db.arrays import BytesArray, Int8Array, TextArray
from billing.db.pool import Connection

AT_ONCE = 500
LINE = re.compile(rb"(acct_[A-Za-z0-9_-]{1,59}) ([1-9][0-9]{0,17}) ([0-9a-f]{64})\n?")

HEADS = """
SELECT account_id, transactions, encode(chain, 'hex') AS chain
FROM balances
WHERE chain IS NOT NULL
ORDER BY account_id COLLATE "C"
"""

CHANGED = """
SELECT format('Transaction number %%s of account %%s is not what it was when its head was kept.', seq, account_id)
  AS difference
FROM unnest(%(account_ids)s, %(seqs)s, %(chains)s) AS head(account_id, seq, chain)
WHERE chain IS DISTINCT FROM (
  SELECT postings.chain
  FROM postings
  WHERE postings.account_id = head.account_id AND postings.seq = head.seq
  ORDER BY line DESC
  LIMIT 1
)
"""


async def lines(conn: Connection) -> AsyncIterator[bytes]:
    """Every head, by account."""
    async with conn.transaction(), conn.cursor("heads") as cursor:
        cursor.itersize = AT_ONCE
        await cursor.execute(HEADS)
        async for row in cursor:
            yield f"{row['account_id']} {row['transactions']} {row['chain']}\n".encode()


async def digest(conn: Connection) -> str:
    """SHA-256 over all their lines: what is short enough to be told to others."""
    hashed = hashlib.sha256()
    async for line in lines(conn):
        hashed.update(line)
    return hashed.hexdigest()


async def changed(conn: Connection, kept: Iterable[bytes]) -> list[str]:
    """What is not any more as it was when these heads were kept, as sentences."""
    found: list[str] = []
    heads: list[tuple[str, int, bytes]] = []
    for number, line in enumerate(kept, start=1):
        match = LINE.fullmatch(line)
        if match is None:
            found.append(f"Line {number} is no head.")
            continue
        heads.append((match[1].decode(), int(match[2]), bytes.fromhex(match[3].decode())))
        if len(heads) == AT_ONCE:
            found += await _changed(conn, heads)
            heads = []
    return found + await _changed(conn, heads)


async def _changed(conn: Connection, heads: list[tuple[str, int, bytes]]) -> list[str]:
    parameters = {
        "account_ids": TextArray.of(head[0] for head in heads),
        "seqs": Int8Array.of([head[1] for head in heads]),
        "chains": BytesArray.of(head[2] for head in heads),
    }
    return [row["difference"] for row in await (await conn.execute(CHANGED, parameters)).fetchall()]
