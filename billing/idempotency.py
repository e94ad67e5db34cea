"""Idempotency-Key: a money POST that is sent again does nothing again, and gets the first answer (interfaces.md).

The key is stored in the transaction that moves the money, so either both are there or neither is.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from billing.db.pool import Connection, Pool, with_retries
from billing.errors import Conflict, Invalid, Unprocessable

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

KEY_CHARACTERS_MAX = 255


async def once(pool: Pool, *, actor: str, key: str | None, request: bytes, kind: type[T], work: Work[T]) -> T:
    """The result of `work`, done in a transaction, or of the first time when it was done before under this key.

    `request` is what was asked for; `actor` the key that asked: nobody meets another's keys. Raises Invalid without a
    proper key, Unprocessable when the key stood for another request, Conflict while the first is still at work.
    """
    if not key or len(key) > KEY_CHARACTERS_MAX or not key.isprintable():
        raise Invalid(
            "idempotency_key",
            f"Send an Idempotency-Key header of 1 to {KEY_CHARACTERS_MAX} printable characters: with it, this request "
            "can be sent again without doing its work twice.",
        )
    digest = hashlib.sha256(request).digest()
    async with pool.connection() as conn:
        return await with_retries(lambda: _once(conn, actor, key, digest, kind, work))


async def _once(conn: Connection, actor: str, key: str, digest: bytes, kind: type[T], work: Work[T]) -> T:
    async with conn.transaction():
        await _claim(conn, actor, key)
        cursor = await conn.execute(
            "SELECT request, response FROM idempotency_keys WHERE actor = %s AND key = %s", [actor, key]
        )
        before = await cursor.fetchone()
        if before is not None:
            return _answered(before, digest, kind)
        result = await work(conn)
        await conn.execute(
            "INSERT INTO idempotency_keys (actor, key, request, response) VALUES (%s, %s, %s, %s)",
            [actor, key, digest, msgspec.json.encode(result)],
        )
        return result


async def _claim(conn: Connection, actor: str, key: str) -> None:
    """Hold the key until the transaction ends; nobody waits for another, for the second caller wants to know."""
    cursor = await conn.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0)) AS free", [f"{actor} {key}"])
    row = await cursor.fetchone()
    if row is None or not row["free"]:
        raise Conflict("still_running", "The first request with this Idempotency-Key is still at work. Try again soon.")


def _answered(before: dict[str, Any], digest: bytes, kind: type[T]) -> T:
    if before["request"] != digest:
        raise Unprocessable(
            "idempotency_key_reused", "This Idempotency-Key was used before, for another request. Nothing was done."
        )
    return msgspec.json.decode(before["response"], type=kind)


async def forget(conn: Connection, hours: int) -> int:
    """Delete keys older than this; answers how many. Their requests sent again would be done again."""
    cursor = await conn.execute(
        "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => %s)", [hours]
    )
    return cursor.rowcount
