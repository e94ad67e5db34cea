"""Events that stand for others: corrections and voids, their refusals, and what they do to the book."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from billing import proof
from billing.db.dollars import picos
from billing.db.pool import Pool, open_pool
from billing.metering import reads
from billing.metering.answers import Result
from billing.metering.intake import Intake
from billing.metering.rerate import rerate
from billing.pages import Page
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book, money
from tests import factories
from tests.books import balance
from tests.metering.contents import ANSWER, HELLO
from tests.metering.events import GPT_4, GPT_4_CHARGE, batch, event

pytestmark = pytest.mark.anyio

LESS = {"prompt_tokens": 9, "completion_tokens": 10}
LESS_CHARGE = "0.000435"  # ten tokens of input less, at $15 a million


class Book:
    """One account in a database of its own, proved after every test."""

    def __init__(self, pool: Pool, account: str) -> None:
        self.pool = pool
        self.account = account
        self.intake = Intake(pool, TermsKeeper(book.load(), "0.5"), Settings())

    async def post(self, id: str, /, **changes: Any) -> Result:
        [result] = await self.intake.post(batch(event(self.account, id, **changes)))
        return result

    async def used(self) -> str:
        """What the wallet has paid."""
        async with self.pool.connection() as conn:
            return money.format(-(await balance(conn, self.account)).posted)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        async with self.pool.connection() as conn:
            return await (await conn.execute(query.encode(), {"account": self.account})).fetchall()


@pytest.fixture
async def own(fresh_database: str) -> AsyncIterator[Book]:
    async with await open_pool(Settings(), fresh_database) as pool:
        async with pool.connection() as conn:
            account = await factories.account(conn)
        own = Book(pool, account)
        yield own
        await own.intake.close()
        async with pool.connection() as conn:
            assert await proof.differences(conn) == []


def code(result: Result) -> str:
    assert result.status == "rejected", result
    return result.errors[0].code


async def test_a_correction_takes_back_and_charges_anew(own: Book) -> None:
    assert (await own.post("first")).charge == GPT_4_CHARGE
    result = await own.post("second", usage=LESS, corrects="first")
    assert (result.status, result.charge) == ("accepted", "-0.00015")
    assert await own.used() == LESS_CHARGE
    async with own.pool.connection() as conn:
        [first] = await reads.find(conn, event_id="first", source=None, account_id=own.account)
        [second] = await reads.find(conn, event_id="second", source=None, account_id=own.account)
    assert (first.charge, first.corrected_by) == (GPT_4_CHARGE, "second")
    assert second.corrects == "first"
    assert [(line.quantity, line.amount) for line in second.lines] == [
        (-19, "-0.000285"),
        (-10, "-0.0003"),
        (9, "0.000135"),
        (10, "0.0003"),
    ]


async def test_a_correction_of_a_correction_counts_alone(own: Book) -> None:
    await own.post("first")
    await own.post("second", usage=LESS, corrects="first")
    assert code(await own.post("third", usage=GPT_4, corrects="first")) == "already_corrected"
    assert (await own.post("third", usage=GPT_4, corrects="second")).charge == "0.00015"
    assert await own.used() == GPT_4_CHARGE
    assert (await own.post("fourth", usage=..., voids="third")).charge == f"-{GPT_4_CHARGE}"
    assert await own.used() == "0"
    assert (await own.post("fifth", usage=LESS, corrects="fourth")).charge == LESS_CHARGE
    sums = await own.rows("SELECT sum(requests) AS n, sum(amount) AS amount FROM usage_rollups")
    assert (sums[0]["n"], picos(sums[0]["amount"])) == (1, money.parse(LESS_CHARGE))


async def test_a_void_gives_everything_back(own: Book) -> None:
    await own.post("first")
    result = await own.post("void", usage=..., voids="first")
    assert (result.status, result.charge) == ("accepted", f"-{GPT_4_CHARGE}")
    assert await own.used() == "0"
    postings = await own.rows("SELECT kind, source, destination FROM postings ORDER BY seq")
    assert [tuple(row.values()) for row in postings] == [("usage", "wallet", "revenue"), ("usage", "revenue", "wallet")]


async def test_the_text_of_a_void_is_not_judged(own: Book) -> None:
    await own.post("first")
    result = await own.post("void", usage=..., voids="first", content={"request": HELLO, "response": ANSWER})
    assert (result.charge, result.verification) == (f"-{GPT_4_CHARGE}", None)
    assert await own.rows("SELECT verdict FROM verdicts") == []


async def test_a_correction_is_an_event_like_any_other(own: Book) -> None:
    await own.post("first")
    await own.post("second", usage=LESS, corrects="first")
    assert (await own.post("second", usage=LESS, corrects="first")).status == "duplicate"
    assert (await own.post("second", usage=GPT_4, corrects="first")).status == "conflict"
    assert await own.used() == LESS_CHARGE


async def test_what_waits_for_its_usage_is_corrected(own: Book) -> None:
    assert (await own.post("first", usage=...)).status == "unpriced"
    assert (await own.post("second", corrects="first")).charge == GPT_4_CHARGE
    async with own.pool.connection() as conn:
        found, _ = await reads.waiting(conn, own.account, Page(10, None, None))
    assert found == []


async def test_a_count_may_correct(own: Book) -> None:
    await own.post("first", usage=...)
    content = {"request": HELLO, "response": ANSWER}
    result = await own.post("second", usage=..., content=content, corrects="first")
    assert result.verification is not None
    assert result.verification.verdict == "counted"
    assert await own.used() == result.charge


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"corrects": "nobody"}, "unknown_event"),
        ({"corrects": "first", "source": "gateway-2"}, "unknown_event"),
        ({"corrects": "second"}, "unknown_event"),
        ({"voids": "first"}, "void_with_usage"),
        ({"corrects": "first", "time": "2026-10-05T08:00:01Z"}, "corrected_time"),
        ({"corrects": "first", "upstream": {"name": "other"}}, "corrected_upstream"),
        ({"corrects": "first", "upstream": ...}, "corrected_upstream"),
    ],
)
async def test_what_cannot_stand_for_another_is_refused(own: Book, changes: dict[str, Any], expected: str) -> None:
    await own.post("first", upstream={"name": "azure"})
    assert code(await own.post("second", **{"upstream": {"name": "azure"}, **changes})) == expected
    assert await own.used() == GPT_4_CHARGE


async def test_a_key_corrects_what_it_has_used(own: Book) -> None:
    async with own.pool.connection() as conn:
        mine, other = [await factories.key(conn, "customer", own.account) for _ in range(2)]
    await own.post("first", account=..., api_key=mine)
    assert code(await own.post("second", account=..., api_key=other, corrects="first")) == "corrected_key"
    assert (await own.post("third", usage=LESS, corrects="first")).status == "accepted"
    by_key = await own.rows("SELECT key_id, sum(amount) AS amount FROM usage_rollups GROUP BY 1")
    assert len(by_key) == 1
    assert picos(by_key[0]["amount"]) == money.parse(LESS_CHARGE)


async def test_of_many_at_once_one_corrects(own: Book) -> None:
    await own.post("first")
    results = await asyncio.gather(*(own.post(f"c{n}", usage=LESS, corrects="first") for n in range(8)))
    statuses = [result.status for result in results]
    assert statuses.count("accepted") == 1
    assert set(statuses) <= {"accepted", "conflict", "rejected"}
    assert await own.used() == LESS_CHARGE


async def test_a_correction_of_a_closed_month_is_billed_in_the_open_one(own: Book) -> None:
    await own.post("first", time="2026-09-05T08:00:00Z")
    async with own.pool.connection() as conn:
        await conn.execute("UPDATE balances SET open_from = '2026-10-01Z'")
    await own.post("second", time="2026-09-05T08:00:00Z", usage=LESS, corrects="first")
    rows = await own.rows("SELECT DISTINCT billed, slot FROM usage_rollups ORDER BY billed")
    used = datetime(2026, 9, 5, 8, tzinfo=UTC)
    assert [(row["billed"], row["slot"]) for row in rows] == [(used, used), (datetime(2026, 10, 1, tzinfo=UTC), used)]
    async with own.pool.connection() as conn:  # the proof would miss the invoice
        await conn.execute("UPDATE balances SET open_from = NULL")


async def test_both_at_once_are_refused_by_name(client: Any, conn: Any) -> None:
    gateway = await factories.key(conn, "gateway")
    sent = event(await factories.account(conn), corrects="a", voids="b")
    headers = {"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"}
    response = await client.post("/v1/events", content=json.dumps(sent), headers=headers)
    assert response.status_code == 400
    assert "An event either corrects or voids another" in response.text


# ── cost ──
async def test_a_cost_is_booked_beside_the_price(own: Book) -> None:
    await own.post("given", upstream={"name": "azure", "cost": "0.0002"})
    await own.post("unknown", upstream={"name": "azure"})
    sums = await own.rows("SELECT sum(amount) AS amount, sum(cost) AS cost, sum(costed) AS costed FROM usage_rollups")
    assert picos(sums[0]["cost"]) == money.parse("0.0002")
    assert sums[0]["costed"] == 1
    postings = await own.rows("SELECT source, destination, amount FROM postings WHERE kind = 'cost'")
    assert [(row["source"], row["destination"]) for row in postings] == [("upstreams", "costs")]
    assert await own.used() == money.format(2 * money.parse(GPT_4_CHARGE))


async def test_a_correction_changes_the_cost_by_the_difference(own: Book) -> None:
    await own.post("first", upstream={"name": "azure", "cost": "0.0005"})
    await own.post("second", usage=LESS, corrects="first", upstream={"name": "azure", "cost": "0.0003"})
    await own.post("third", usage=LESS, corrects="second", upstream={"name": "azure"})
    await own.post("fourth", usage=LESS, corrects="third", upstream={"name": "azure", "cost": "0.0004"})
    [sums] = await own.rows("SELECT sum(cost) AS cost, sum(costed) AS costed FROM usage_rollups")
    assert picos(sums["cost"]) == money.parse("0.0004")
    await own.post("void", usage=..., voids="fourth", upstream={"name": "azure"})
    [sums] = await own.rows("SELECT sum(cost) AS cost, sum(amount) AS amount FROM usage_rollups")
    assert (sums["cost"], sums["amount"]) == (0, 0)


async def test_a_correction_that_waited_for_its_price_costs_once(own: Book) -> None:
    new = "gpt-4-turbo-2031-01-01"
    await own.post("first", upstream={"name": "azure", "cost": "0.0005"})
    waiting = await own.post("second", model=new, corrects="first", upstream={"name": "azure", "cost": "0.0007"})
    assert waiting.status == "unpriced"
    rows = "".join(f"{new},{name},,,1M_tokens,30,2020-01-01,,A,x,2026-01-01,\n" for name in ("input", "output"))
    columns = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"
    priced = Intake(own.pool, TermsKeeper(book.load().overlaid(columns + rows), "0.5"), Settings())
    assert (await rerate(own.pool, priced.large, own.account)).billed == 1
    await priced.close()
    [sums] = await own.rows("SELECT sum(cost) AS cost, sum(costed) AS costed FROM usage_rollups")
    assert (picos(sums["cost"]), sums["costed"]) == (money.parse("0.0007"), 1)
    assert await own.used() == "0.000435"


async def test_a_factor_of_the_official_price_is_the_cost(own: Book) -> None:
    async with own.pool.connection() as conn:
        for upstream, factor in (("cheap", "0.3"), ("*", "1")):
            await conn.execute(
                "INSERT INTO upstream_factors (upstream, factor, effective_from, reason, actor) "
                "VALUES (%s, %s::numeric, '2026-01-01Z', 'test', 'test')",
                [upstream, factor],
            )
        await conn.execute("UPDATE terms_version SET version = version + 1")
    await own.post("cheap", upstream={"name": "cheap"})
    await own.post("other")
    await own.post("failed", usage=..., status=500)
    await own.post("unpriced", model="no-such-model")
    rows = await own.rows("SELECT id, cost FROM charges")
    costs = {row["id"]: None if row["cost"] is None else picos(row["cost"]) for row in rows}
    official = 2 * money.parse(GPT_4_CHARGE)
    assert costs == {"cheap": official * 3 // 10, "other": official, "failed": 0, "unpriced": None}


async def test_a_customer_is_not_told_what_upstreams_take(client: Any, conn: Any, settings: Settings) -> None:
    account = await factories.account(conn)
    gateway, admin = await factories.key(conn, "gateway"), await factories.key(conn, "admin")
    sent = event(account, upstream={"name": "azure", "cost": "0.000123"})
    headers = {"Authorization": f"Bearer {gateway}", "Content-Type": "application/json"}
    assert (await client.post("/v1/events", content=json.dumps(sent), headers=headers)).status_code == 200
    customer = {"Authorization": f"Bearer {await factories.key(conn, 'customer', account)}"}
    for path in ("/v1/postings", "/v1/events/chatcmpl-1"):
        told = await client.get(path, headers=customer)
        assert told.status_code == 200
        assert "0.000123" not in told.text
        assert "azure" not in told.text
        told = await client.get(path, params={"account": account}, headers={"Authorization": f"Bearer {admin}"})
        assert "0.000123" in told.text
