"""API keys: 256 random bits, shown once, kept only as a SHA-256 hash.

A plain hash is enough, and lets a gateway name a key by its hash: nobody guesses 256 random bits, so there is nothing
a slow or keyed hash would protect (docs/decisions/0010-api-keys.md).
"""

import hashlib
import re
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from psycopg.rows import DictRow

from billing import ids
from billing.accounts.store import BALANCES, Balance, balance_of, check_not_closed, tell_revoked
from billing.audit import log as audit
from billing.db.arrays import BytesArray, TextArray
from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.errors import Invalid, NotFound, Unauthorized
from billing.text import ACCOUNT_ID
from pricing import money

PREFIX = "idr_"
SECRET_CHARACTERS = 43  # 62 ** 43 > 2 ** 256
CHECKSUM_CHARACTERS = 6  # 62 ** 6 > 2 ** 32
BOOTSTRAP_ID = "key_bootstrap"
SPANS = ("day", "month", "total")
_ACCOUNT_ID = re.compile(ACCOUNT_ID)

Scope = Literal["gateway", "customer", "admin"]


class Principal(msgspec.Struct, frozen=True):
    """Who is asking: the key, what it may do, and for a customer's key the one account it may see."""

    key_id: str
    scope: Scope
    account_id: str | None = None

    def account(self, named: str | None) -> str:
        """The account a request is about: a customer's own, which need not be named; another key names one.

        Raises NotFound for somebody else's account, Invalid when none is named.
        """
        if self.account_id is not None and named not in (None, self.account_id):
            raise NotFound("unknown_account", f"There is no account {named}.")
        if (account := self.account_id or named) is None:
            raise Invalid("missing_parameter", "Say which account: ?account=acct_…")
        return account

    def owner(self, named: str | None) -> str | None:
        """Whose things a request is about: a customer's own; another key's choice, None for everybody's.

        Raises NotFound for somebody else's account.
        """
        return self.account(named) if self.account_id else named


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer's key may spend, in dollars: in a day and in a month (both UTC), and in all. None: no limit."""

    day: str | None = None
    month: str | None = None
    total: str | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it may be shown: everything but the secret. `hint` is its last four characters.

    `models` are names and prefixes (`gpt-4*`) it may use, `ips` networks it may be used from; None: all.
    """

    id: str
    account: str | None
    scope: Scope
    name: str
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    limits: Limits
    models: list[str] | None
    ips: list[str] | None


def new_secret() -> str:
    """`idr_`, 43 random characters, and 6 that check them: so a key that was cut or mistyped can be told."""
    body = "".join(secrets.choice(ids.BASE62) for _ in range(SECRET_CHARACTERS))
    return PREFIX + body + _checksum(body)


def is_intact(secret: str) -> bool:
    """Whether the checksum fits, i.e. the key was copied whole."""
    body = secret.removeprefix(PREFIX)[:-CHECKSUM_CHARACTERS]
    return secret == PREFIX + body + _checksum(body)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    return ids.base62(zlib.crc32(body.encode()), CHECKSUM_CHARACTERS)


async def authenticate(conn: Connection, tokens: Sequence[str]) -> list[Principal | Exception]:
    """Who holds each of these bearer tokens, looked up now, so that a revoked key stops working at once.

    Instead of somebody Unauthorized, with what is wrong as far as it can be said without helping a guesser.
    """
    hashes = [hash_of(token) for token in tokens]
    cursor = await conn.execute(
        """
        SELECT hash, id, scope, account_id AS owner, revoked_at IS NOT NULL AS revoked,
               expires_at <= now() AS expired
        FROM api_keys WHERE hash = ANY(%s)
        """,
        [BytesArray.of(hashes)],
    )
    found = {row["hash"]: row for row in await cursor.fetchall()}
    return [_principal(token, found.get(digest)) for token, digest in zip(tokens, hashes, strict=True)]


async def authenticate_with_balances(
    conn: Connection, asked: Sequence[tuple[str, str | None]]
) -> list[tuple[Principal, Balance | None] | Exception]:
    """Of each bearer token and account named: who holds the token, and the balance it asks about, in one question.

    That of a customer's key is its own whatever is named. None: no account is named, or it is not there.
    """
    hashes = [hash_of(token) for token, _ in asked]
    named = [account if account and _ACCOUNT_ID.match(account) else None for _, account in asked]
    cursor = await conn.execute(
        f"""
        SELECT place, id, scope, api_keys.account_id AS owner, revoked_at IS NOT NULL AS revoked,
               expires_at <= now() AS expired, balance.*
        FROM unnest(%s, %s) WITH ORDINALITY AS asked (hash, named, place)
        JOIN api_keys USING (hash)
        LEFT JOIN ({BALANCES}) AS balance ON balance.account_id = coalesce(api_keys.account_id, asked.named)
        """,  # noqa: S608 - made of a constant
        [BytesArray.of(hashes), TextArray.of(named)],
    )
    found = {row["place"]: row for row in await cursor.fetchall()}
    return [_holder(token, found.get(place)) for place, (token, _) in enumerate(asked, 1)]


def _holder(token: str, row: DictRow | None) -> tuple[Principal, Balance | None] | Unauthorized:
    principal = _principal(token, row)
    if isinstance(principal, Unauthorized):
        return principal
    return principal, balance_of(row) if row and row["account_id"] else None


def _principal(token: str, row: DictRow | None) -> Principal | Unauthorized:
    if row is None:
        return Unauthorized("unknown_key", _unknown(token))
    if row["revoked"]:
        return Unauthorized("revoked_key", "This API key has been revoked.")
    if row["expired"]:
        return Unauthorized("expired_key", "This API key has expired.")
    return Principal(row["id"], row["scope"], row["owner"])


def _unknown(token: str) -> str:
    if token.startswith(PREFIX) and not is_intact(token):
        return "This API key is not whole: it was cut or mistyped when it was copied."
    return "This API key is not known here."


async def create(
    conn: Connection, *, scope: Scope, name: str, account_id: str | None = None, expires_at: datetime | None = None
) -> tuple[Key, str]:
    """Make a key; the secret returned beside it is never to be had again.

    Raises NotFound for an unknown account, Conflict for a closed one.
    """
    secret = new_secret()
    async with conn.transaction():
        if account_id is not None:
            await check_not_closed(conn, account_id)
        row = await (
            await conn.execute(
                """
                INSERT INTO api_keys (id, account_id, scope, name, hash, hint, expires_at)
                SELECT %(id)s, %(account)s, %(scope)s, %(name)s, %(hash)s, %(hint)s, %(expires_at)s
                WHERE %(account)s::text IS NULL OR EXISTS (SELECT FROM accounts WHERE id = %(account)s)
                RETURNING *
                """,
                {
                    "id": ids.new("key"),
                    "account": account_id,
                    "scope": scope,
                    "name": name,
                    "hash": hash_of(secret),
                    "hint": secret[-4:],
                    "expires_at": expires_at,
                },
            )
        ).fetchone()
        if row is None:
            raise NotFound("unknown_account", f"There is no account {account_id}.")
        key = shown(row)
        await audit.record(
            conn, "key.create", account=account_id, subject=key.id, scope=scope, name=name, expires_at=expires_at
        )
    return key, secret


async def listed(conn: Connection, account_id: str | None) -> list[Key]:
    """The keys of one account, or with None those of gateways and admins; newest first."""
    cursor = await conn.execute(
        "SELECT * FROM api_keys WHERE account_id IS NOT DISTINCT FROM %s ORDER BY created_at DESC, id", [account_id]
    )
    return [shown(row) for row in await cursor.fetchall()]


async def revoke(conn: Connection, key_id: str) -> Key:
    """Revoke a key from this moment on; doing it again changes nothing. Raises NotFound."""
    async with conn.transaction():
        cursor = await conn.execute("SELECT * FROM api_keys WHERE id = %s FOR NO KEY UPDATE", [key_id])
        row = await cursor.fetchone()
        if row is None:
            raise NotFound("unknown_key", f"There is no key {key_id}.")
        if row["revoked_at"] is None:
            cursor = await conn.execute("UPDATE api_keys SET revoked_at = now() WHERE id = %s RETURNING *", [key_id])
            row = await anext(cursor)
            await tell_revoked(conn, row)
        await audit.record(conn, "key.revoke", account=row["account_id"], subject=key_id)
    return shown(row)


async def bootstrap(conn: Connection, given: str | None) -> str | None:
    """See to it that somebody can administer a new installation.

    With BILLING_ADMIN_KEY that key is the bootstrap admin key, and whatever it was before no longer is. Without it a
    key is made when there is no admin key yet, and returned so that it can be shown this once; otherwise None.
    """
    if given is None:
        found = await (await conn.execute("SELECT FROM api_keys WHERE scope = 'admin' LIMIT 1")).fetchone()
        if found is not None:
            return None
    secret = given or new_secret()
    async with conn.transaction():
        cursor = await conn.execute(
            """
            INSERT INTO api_keys (id, scope, name, hash, hint) VALUES (%(id)s, 'admin', 'bootstrap', %(hash)s, %(hint)s)
            ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, hint = excluded.hint
            WHERE api_keys.hash <> excluded.hash
            """,
            {"id": BOOTSTRAP_ID, "hash": hash_of(secret), "hint": secret[-4:]},
        )
        if cursor.rowcount:
            await audit.record(conn, "key.bootstrap", subject=BOOTSTRAP_ID)
    return None if given else secret


def shown(row: DictRow) -> Key:
    """A row of api_keys as it may be shown."""
    limits = Limits(
        **{span: money.format(picos(row[f"{span}_limit"])) for span in SPANS if row[f"{span}_limit"] is not None}
    )
    named = {**row, "account": row["account_id"], "limits": limits}
    return Key(**{field: named[field] for field in Key.__struct_fields__})
