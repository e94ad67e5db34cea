"""What reports say of money: sums of usage by model, upstream and dimension, and by customer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, LiteralString

import msgspec
from msgspec import UNSET, UnsetType
from psycopg import sql

from billing.db.dollars import picos
from billing.db.pool import Connection
from billing.reports.grouped import Asked, Columns, Heading, grouped, percent, tiled
from pricing import money

Group = Literal["model", "upstream", "dimension"]
COLUMNS: Columns = {"model": "model", "upstream": "upstream", "dimension": "dimension"}
MARGIN_BY: tuple[Group, ...] = ("upstream",)
CUSTOMERS: Columns = {"account": "account_id"}

CUSTOMERS_MAX = 1_000


class Sums(msgspec.Struct, kw_only=True):
    """What was asked for, what it was charged, and in the reports that say so what it cost us: dollars.

    `margin` is `amount` − `cost`, `margin_percent` its part of `amount`; `without_cost` are the requests whose cost
    nobody knows: it is as if they had cost nothing. Where no cost is known at all, neither is the percentage.
    """

    requests: int
    amount: str
    cost: str | UnsetType = UNSET
    margin: str | UnsetType = UNSET
    margin_percent: str | UnsetType | None = UNSET
    without_cost: int | UnsetType = UNSET


class Row(Sums, kw_only=True):
    """The sums of one group, named by what was grouped by. `upstream` is empty where the events named none.

    A request is counted with the first dimension of its charge; a quantity is of one dimension, in its `unit`.
    """

    time: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    upstream: str | UnsetType = UNSET
    dimension: str | UnsetType = UNSET
    quantity: int | UnsetType = UNSET
    account: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class Report(Heading, frozen=True, kw_only=True):
    """Sums of the usage in [from, to), by the time of use: by time, then the largest amounts first."""

    object: str
    currency: str = "USD"
    total: Sums
    data: list[Row]


USED = sql.SQL("{} AS used JOIN prices ON prices.id = price_id").format(
    tiled(
        "slot, price_id, upstream, requests, quantity, amount, cost, costed",
        totals="usage_totals",
        increments="usage_increments",
    )
)

# Of some accounts: their own roll-ups. `billed` is never before the slot, and leads the key.
USED_BY = sql.SQL(
    """
    (
      SELECT slot, price_id, upstream, requests, quantity, amount, cost, costed
      FROM usage_rollups
      WHERE account_id = ANY(%(only_account)s) AND billed >= %(start)s
    ) AS used JOIN prices ON prices.id = price_id
    """
)

CHARGED = sql.SQL("{} AS charged").format(
    tiled("slot, account_id, requests, amount, cost, costed", totals="account_totals", increments="account_increments")
)

MONEY: LiteralString = """
sum(requests)::bigint AS requests, sum(amount) AS amount, sum(cost) AS cost, sum(costed)::bigint AS costed
"""


async def revenue(conn: Connection, asked: Asked) -> Report:
    """Requests and what they were charged."""
    return _report("revenue", asked, await _used(conn, asked), ())


async def margin(conn: Connection, asked: Asked) -> Report:
    """Requests, what they were charged, what they cost, and what is left."""
    return _report("margin", asked, await _used(conn, asked), MARGIN)


async def models(conn: Connection, asked: Asked) -> Report:
    """The models, those first that were charged most."""
    by_model = msgspec.structs.replace(asked, group_by=["model"])
    return _report("models", by_model, await _used(conn, by_model), MARGIN)


async def usage(conn: Connection, asked: Asked) -> Report:
    """How much was used of each dimension."""
    by_dimension = msgspec.structs.replace(asked, group_by=[*dict.fromkeys([*asked.group_by, "dimension"])])
    return _report("usage", by_dimension, await _used(conn, by_dimension), ("quantity",))


async def customers(conn: Connection, asked: Asked, *, limit: int) -> Report:
    """The customers who were charged most; the total is of all."""
    largest = msgspec.structs.replace(asked, group_by=["account"])
    rows = await grouped(
        conn, largest, CUSTOMERS, table=CHARGED, sums=MONEY, order="sum(amount) DESC, account_id", limit=limit
    )
    everything = msgspec.structs.replace(asked, group_by=[])
    total = await grouped(conn, everything, CUSTOMERS, table=CHARGED, sums=MONEY, order="1")
    cursor = await conn.execute("SELECT id, name FROM accounts WHERE id = ANY(%s)", [[row["account"] for row in rows]])
    names = {row["id"]: row["name"] for row in await cursor.fetchall()}
    for row in rows:
        row["name"] = names.get(row["account"], "")
    return _report("customers", largest, rows, ("name", *MARGIN), total)


async def _used(conn: Connection, asked: Asked) -> list[dict[str, Any]]:
    return await grouped(
        conn,
        asked,
        COLUMNS,
        table=USED_BY if "account" in asked.filters else USED,
        sums=MONEY + ", sum(quantity)::bigint AS quantity",
        order="sum(amount) DESC, sum(requests) DESC",
    )


MARGIN = ("cost", "margin", "margin_percent", "without_cost")


def _report(
    name: str,
    asked: Asked,
    rows: Sequence[Mapping[str, Any]],
    also: Iterable[str],
    summed_up: Sequence[Mapping[str, Any]] | None = None,
) -> Report:
    """The report on these rows, each with what every report says and what this one says also."""
    shown = {"requests", "amount", *asked.group_by, "time", *also}
    exact = _in_picos(rows)
    data = [
        msgspec.convert({field: value for field, value in _told(row).items() if field in shown}, Row) for row in exact
    ]
    whole = _told(_summed(exact if summed_up is None else _in_picos(summed_up)))
    return Report(
        object=f"report.{name}",
        **asked.heading(),
        total=msgspec.convert({field: value for field, value in whole.items() if field in shown}, Sums),
        data=data,
    )


def _in_picos(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "amount": picos(row["amount"]), "cost": picos(row["cost"])} for row in rows]


def _summed(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in ("requests", "amount", "cost", "costed")}


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of sums, in picodollars, in the words of a report."""
    amount, cost = row["amount"], row["cost"]
    return {
        **row,
        "amount": money.format(amount),
        "cost": money.format(cost),
        "margin": money.format(amount - cost),
        "margin_percent": percent(amount - cost, amount) if cost or row["costed"] else None,
        "without_cost": row["requests"] - row["costed"],
    }
