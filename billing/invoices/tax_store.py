"""The SQL of taxes: which there are, and who pays which from when on. Rows are only followed by later ones."""

from datetime import datetime

import msgspec

from billing.audit import log as audit
from billing.db.pool import Connection
from billing.errors import Conflict, Fault, NotFound, Unprocessable
from billing.invoices.lines import plain
from billing.invoices.taxes import Rate


class RateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A tax by its name. `inclusive`: prices contain it, else it is added. `reverse_charge`: the customer owes it."""

    id: str
    name: str
    percent: str
    inclusive: bool
    reverse_charge: bool
    note: str | None
    created_at: datetime


class TaxesRow(msgspec.Struct, frozen=True, kw_only=True):
    """Which taxes an account pays from an instant on, or everybody (`account` null) that has none of its own.

    `rates` are their ids; empty: none; null: what everybody pays.
    """

    account: str | None
    rates: list[str] | None
    effective_from: datetime
    actor: str
    created_at: datetime


async def add_rate(conn: Connection, rate: Rate) -> RateRow:
    """Add a tax. Raises Conflict when there is one of this id already."""
    async with conn.transaction():
        cursor = await conn.execute(
            """
            INSERT INTO tax_rates (id, name, percent, inclusive, reverse_charge, note, actor)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (id) DO NOTHING
            RETURNING *
            """,
            [rate.id, rate.name, rate.percent, rate.inclusive, rate.reverse_charge, rate.note, audit.actor.get()],
        )
        row = await cursor.fetchone()
        if row is None:
            raise Conflict("tax_rate_exists", f"There is a tax {rate.id} already; one that changes gets another id.")
        await audit.record(conn, "tax_rate.create", subject=rate.id, name=rate.name, percent=plain(rate.percent))
    return _rate(row)


async def rates(conn: Connection) -> list[RateRow]:
    """All taxes, by their ids."""
    return [_rate(row) for row in await (await conn.execute("SELECT * FROM tax_rates ORDER BY id")).fetchall()]


async def assign(
    conn: Connection, account_id: str | None, named: list[str] | None, effective_from: datetime | None
) -> TaxesRow:
    """Say which taxes an account pays from an instant on (now, if not said), or everybody.

    Raises NotFound for an unknown account, Unprocessable for a tax that is unknown or named twice, and for taxes of
    both sorts.
    """
    async with conn.transaction():
        await _check(conn, account_id, named or [])
        cursor = await conn.execute(
            """
            INSERT INTO account_taxes (account_id, rates, effective_from, actor)
            VALUES (%s, %s::text[], coalesce(%s, now()), %s)
            RETURNING *
            """,
            [account_id, named, effective_from, audit.actor.get()],
        )
        row = await cursor.fetchone()
        assert row is not None
        await audit.record(conn, "taxes.change", account=account_id, rates=named, effective_from=row["effective_from"])
    return _taxes(row)


async def assigned(conn: Connection, account_id: str | None) -> list[TaxesRow]:
    """What was said of an account, or of everybody, the newest first."""
    cursor = await conn.execute(
        "SELECT * FROM account_taxes WHERE account_id IS NOT DISTINCT FROM %s ORDER BY effective_from DESC, id DESC",
        [account_id],
    )
    return [_taxes(row) for row in await cursor.fetchall()]


async def _check(conn: Connection, account_id: str | None, named: list[str]) -> None:
    if account_id is not None:
        cursor = await conn.execute("SELECT FROM accounts WHERE id = %s", [account_id])
        if await cursor.fetchone() is None:
            raise NotFound("unknown_account", f"There is no account {account_id}.")
    cursor = await conn.execute("SELECT id, inclusive FROM tax_rates WHERE id = ANY(%s)", [named])
    known = {row["id"]: row["inclusive"] for row in await cursor.fetchall()}
    for place, name in enumerate(named):
        if name not in known:
            detail = f"There is no tax {name}."
            raise Unprocessable("unknown_tax_rate", detail, (Fault("unknown_tax_rate", detail, f"$.rates[{place}]"),))
        if name in named[:place]:
            detail = f"The tax {name} is named twice; it would be charged twice."
            raise Unprocessable("repeated_tax_rate", detail, (Fault("repeated_tax_rate", detail, f"$.rates[{place}]"),))
    if len(set(known.values())) > 1:
        raise Unprocessable("mixed_taxes", "Taxes that prices contain and taxes on top of them do not go together.")


def _rate(row: dict[str, object]) -> RateRow:
    return msgspec.convert({**row, "percent": str(row["percent"])}, RateRow)


def _taxes(row: dict[str, object]) -> TaxesRow:
    return msgspec.convert({**row, "account": row["account_id"]}, TaxesRow)
