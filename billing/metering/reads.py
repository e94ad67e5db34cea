"""Usage, read back: one event with its charge explained, and sums over time."""

from datetime import datetime
from typing import Any, Literal, LiteralString

import msgspec
from psycopg import sql

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.ledger.reads import PostingView, posting_view
from billing.metering.judging import VerdictView
from billing.metering.verdicts import verdict_of
from billing.pages import Page, rows_of
from pricing import money
from pricing.charge import recompute


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a charge with each of its factors: quantity ÷ unit size × official price × multiplier = amount."""

    dimension: str
    variant: str
    quantity: int
    unit: str
    unit_size: int
    official_unit_price: str | None
    multiplier: str
    amount: str
    entry: str
    source: str
    book: str


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it was booked. `event` is what was posted, without texts and keys; null once it is too old to keep.

    `ref` names it among all accounts and sources, whatever those are called: the edge of a page of events.
    `cost` is what the upstream takes: null when it is not known, and for customers. `verification` is the verdict on
    its usage, if its text came with it. `digest`, `transaction` and `position` are what the evidence of an invoice line
    is made of (docs/evidence.md).
    `postings` is the ledger's transaction it was booked with, which sums up all events of the account in its batch.
    """

    ref: str
    id: str
    source: str
    account: str
    time: datetime
    status: Literal["accepted", "unpriced"]
    review: str | None
    corrects: str | None
    corrected_by: str | None
    model: str
    charge: str
    cost: str | None
    lines: list[LineView]
    verification: VerdictView | None
    event: dict[str, Any] | None
    digest: str
    transaction: int
    position: int
    postings: list[PostingView]


EVENTS: LiteralString = """
SELECT charges.transaction || '.' || charges.position AS id, charges.id AS event_id, source, account_id, time, review,
       price_ids, quantities, amount, digest, transaction, position, corrects, cost, events.body,
       (
         SELECT to_jsonb(judged) FROM verdicts AS judged
         WHERE judged.account_id = charges.account_id AND judged.source = charges.source AND judged.id = charges.id
       ) AS verdict,
       (
         SELECT later.id FROM charges AS later
         WHERE later.account_id = charges.account_id AND later.source = charges.source AND later.corrects = charges.id
       ) AS corrected_by
FROM charges
LEFT JOIN events USING (account_id, time, source, id)
WHERE (%(account_id)s::text IS NULL OR account_id = %(account_id)s)
"""


WAITING: LiteralString = f"SELECT * FROM ({EVENTS} AND review IS NOT NULL) AS found WHERE corrected_by IS NULL"  # noqa: S608


async def find(conn: Connection, *, event_id: str, source: str | None, account_id: str | None) -> list[EventView]:
    """The events of this id, at most two: of one account or of any, of one source or of any."""
    cursor = await conn.execute(
        EVENTS + "AND charges.id = %(id)s AND (%(source)s::text IS NULL OR charges.source = %(source)s) LIMIT 2",
        {"account_id": account_id, "id": event_id, "source": source},
    )
    return [await _view(conn, row) for row in await cursor.fetchall()]


async def waiting(conn: Connection, account_id: str | None, page: Page) -> tuple[list[EventView], bool]:
    """A page of the events that wait for review, and whether more follow."""
    rows, more = await rows_of(conn, WAITING, {"account_id": account_id}, newest_by="time", page=page)
    return [await _view(conn, row) for row in rows], more


async def _view(conn: Connection, row: dict[str, Any]) -> EventView:
    prices = {price["id"]: price for price in await _prices(conn, row["price_ids"])}
    lines = [
        _line(prices[number], quantity) for number, quantity in zip(row["price_ids"], row["quantities"], strict=True)
    ]
    return EventView(
        ref=row["id"],
        id=row["event_id"],
        source=row["source"],
        account=row["account_id"],
        time=row["time"],
        status="unpriced" if row["review"] else "accepted",
        review=row["review"],
        corrects=row["corrects"],
        corrected_by=row["corrected_by"],
        model=prices[row["price_ids"][0]]["model"],
        charge=money.format(picos(row["amount"])),
        cost=None if row["cost"] is None else money.format(picos(row["cost"])),
        lines=lines,
        verification=verdict_of(row["verdict"]),
        event=row["body"],
        digest=row["digest"].hex(),
        transaction=row["transaction"],
        position=row["position"],
        postings=await _postings(conn, row["account_id"], row["transaction"]),
    )


async def _prices(conn: Connection, numbers: list[int]) -> list[dict[str, Any]]:
    return await (await conn.execute("SELECT * FROM prices WHERE id = ANY(%s)", [numbers])).fetchall()


async def _postings(conn: Connection, account_id: str, transaction: int) -> list[PostingView]:
    cursor = await conn.execute(
        "SELECT * FROM postings WHERE account_id = %s AND transaction = %s ORDER BY line", [account_id, transaction]
    )
    return [posting_view(row) for row in await cursor.fetchall()]


def _line(price: dict[str, Any], quantity: int) -> LineView:
    official = None if price["official"] is None else format(price["official"], "f")
    multiplier = format(price["multiplier"], "f")
    amount = 0 if official is None else recompute(quantity, official, price["unit_size"], multiplier)
    return LineView(
        dimension=price["dimension"],
        variant=price["variant"],
        quantity=quantity,
        unit=price["unit"],
        unit_size=price["unit_size"],
        official_unit_price=official,
        multiplier=multiplier,
        amount=money.format(amount),
        entry=price["entry"],
        source=price["source"],
        book=price["book"],
    )


Grouping = Literal["day", "model", "key"]


class UsageRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sum of usage: `quantities` by dimension, `amount` in dollars, `day` a local day of the time zone asked for."""

    day: str | None = None
    model: str | None = None
    key: str | None = None
    requests: int
    quantities: dict[str, int]
    amount: str


GROUP_COLUMNS: dict[Grouping, LiteralString] = {
    "day": "to_char(slot AT TIME ZONE %(time_zone)s, 'YYYY-MM-DD') AS day",
    "model": "model",
    "key": "key_id AS key",
}


async def usage(
    conn: Connection, *, account_id: str, start: datetime, end: datetime, time_zone: str, group_by: list[Grouping]
) -> list[UsageRow]:
    """Sums of one account's usage in [start, end), by the time it was used, in order of the groups."""
    columns = [sql.SQL(GROUP_COLUMNS[group]) for group in group_by]
    names = [sql.Identifier(group) for group in group_by]
    query = sql.SQL(
        """
        WITH used AS (
          SELECT {columns} dimension, requests, quantity, amount
          FROM usage_rollups JOIN prices ON prices.id = price_id
          WHERE account_id = %(account_id)s
            AND billed >= date_bin('15 minutes', %(start)s, 'epoch')  -- never before its slot; leads the primary key
            AND slot >= date_bin('15 minutes', %(start)s, 'epoch') AND slot < %(end)s
        ),
        by_dimension AS (
          SELECT {names} dimension, sum(requests) AS requests, sum(quantity) AS quantity, sum(amount) AS amount
          FROM used
          GROUP BY {names} dimension
        )
        SELECT {names} sum(requests)::bigint AS requests, sum(amount) AS amount,
               jsonb_object_agg(dimension, quantity) AS quantities
        FROM by_dimension
        {group}
        """
    ).format(
        columns=sql.SQL("").join(column + sql.SQL(", ") for column in columns),
        names=sql.SQL("").join(name + sql.SQL(", ") for name in names),
        group=sql.SQL("GROUP BY {names} ORDER BY {names}").format(names=sql.SQL(", ").join(names))
        if names
        else sql.SQL("HAVING count(*) > 0"),
    )
    cursor = await conn.execute(query, {"account_id": account_id, "start": start, "end": end, "time_zone": time_zone})
    return [UsageRow(**{**row, "amount": money.format(picos(row["amount"]))}) for row in await cursor.fetchall()]
