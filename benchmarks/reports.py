"""How long reports over a month take, with more and more events in it: `python benchmarks/reports.py [EVENTS …]`.

Some events are really posted; the others are made by SQL, appended as the posting statement would append them, and
folded by the service's own code. The times are those of a whole report, from the question to the answer's JSON.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from billing.db.migrate import migrate
from billing.db.pool import Connection, Pool, open_pool
from billing.embedded import embedded
from billing.metering.events import JSON, read
from billing.metering.folding import fold
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.reports import status, sums
from billing.reports.asked import span
from billing.reports.grouped import Asked, snapshot
from billing.settings import Settings
from pricing import book

ACCOUNTS = 1_000
BATCH, POSTED = 1_000, 20_000
START, DAYS = datetime(2026, 10, 1, tzinfo=UTC), 31
AT_ONCE = 1_000_000
ROUNDS = 7
MODELS = ("gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "gpt-3.5-turbo-16k", "gpt-4-1106-preview")
OTHERS = ("gpt-3.5-turbo-1106", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-0125", "gpt-4-vision-preview", "gpt-4.1", "o3")

# Accounts and prices follow a power law; each event has two lines, the first of which is the request.
MADE = """
WITH drawn AS MATERIALIZED (
  SELECT date_bin('15 minutes', %(start)s + random() * make_interval(days => %(days)s), 'epoch') AS slot,
         'acct_' || least(floor(1 / random()), %(accounts)s)::integer AS account_id,
         1 + floor(%(pairs)s * random() ^ 2)::integer AS pair,
         'upstream-' || floor(3 * random())::integer AS upstream,
         (300 + 900 / (random() + 0.02))::integer AS latency, (100 + 400 * random())::integer AS first_token,
         1 + floor(4000 * random())::integer AS tokens
  FROM generate_series(1, %(events)s)
),
by_account AS (
  INSERT INTO account_increments (account_id, slot, requests, amount, cost, costed)
  SELECT account_id, slot, count(*), sum(tokens) * 0.000003, sum(tokens) * 0.000002, count(*)
  FROM drawn GROUP BY account_id, slot
)
INSERT INTO usage_increments (
  slot, price_id, upstream, requests, quantity, amount, cost, costed, failed, aborted, cut, latencies, first_tokens
)
SELECT slot, 2 * pair - 1, upstream, count(*), sum(tokens), sum(tokens) * 0.000001, sum(tokens) * 0.000002, count(*),
       count(*) FILTER (WHERE tokens < 40), 0, 0, array_agg(latency), array_agg(first_token)
FROM drawn GROUP BY slot, pair, upstream
UNION ALL
SELECT slot, 2 * pair, upstream, 0, sum(tokens), sum(tokens) * 0.000002, 0, 0, 0, 0, 0, NULL, NULL
FROM drawn GROUP BY slot, pair, upstream
"""


def event(number: int) -> dict[str, object]:
    models = MODELS + OTHERS
    at = START + timedelta(seconds=number * DAYS * 86_400 // POSTED)
    return {
        "id": f"event-{number}",
        "source": "bench",
        "time": at,
        "account": f"acct_{1 + number % ACCOUNTS}",
        "model": models[number % len(models)],
        "usage": {"prompt_tokens": 700, "completion_tokens": 230},
        "latency_ms": 300 + number % 7_000,
        "first_token_ms": 100 + number % 400,
        "upstream": {"name": f"upstream-{number % 3}", "cost": "0.001"},
    }


async def post(pool: Pool, settings: Settings) -> None:
    async with pool.connection() as conn:
        await conn.execute(
            "INSERT INTO accounts (id, name) SELECT 'acct_' || n, 'Customer ' || n FROM generate_series(1, %s) AS n",
            [ACCOUNTS],
        )
        await conn.execute("INSERT INTO balances (account_id) SELECT id FROM accounts")
    intake = Intake(pool, TermsKeeper(book.load(), "0.5"), settings)
    for start in range(0, POSTED, BATCH):
        body = msgspec.json.encode([event(number) for number in range(start, start + BATCH)])
        results = await intake.post(read(body, JSON, BATCH))
        assert all(result.status == "accepted" for result in results)
    await intake.close()


async def make(pool: Pool, events: int) -> None:
    """Append so many events, and fold them."""
    async with pool.connection() as conn:
        row = await (await conn.execute("SELECT count(*) / 2 AS pairs FROM prices")).fetchone()
        assert row is not None
        given = {"start": START, "days": DAYS, "accounts": ACCOUNTS, "pairs": row["pairs"]}
        for start in range(0, events, AT_ONCE):
            await conn.execute(MADE, {**given, "events": min(AT_ONCE, events - start)})
            await fold(pool)
        for table in ("usage_totals", "account_totals", "outcome_totals", "usage_increments", "account_increments"):
            await conn.execute(f"VACUUM ANALYZE {table}")  # type: ignore[arg-type]


Report = Callable[[Connection, Asked], Awaitable[object]]


async def customers(conn: Connection, asked: Asked) -> object:
    return await sums.customers(conn, asked, limit=20)


QUESTIONS: dict[str, tuple[Report, str, str | None, tuple[str, ...]]] = {
    "revenue, in all": (sums.revenue, "UTC", None, ()),
    "revenue by day": (sums.revenue, "UTC", "day", ()),
    "revenue by day, Kolkata": (sums.revenue, "Asia/Kolkata", "day", ()),
    "revenue by hour": (sums.revenue, "UTC", "hour", ()),
    "usage by model": (sums.usage, "UTC", None, ("model",)),
    "models": (sums.models, "Europe/Berlin", None, ()),
    "margin by upstream and day": (sums.margin, "UTC", "day", ("upstream",)),
    "customers": (customers, "UTC", None, ()),
    "customers, Kolkata": (customers, "Asia/Kolkata", None, ()),
    "status by model": (status.report, "UTC", None, ("model",)),
    "status by model, Kolkata": (status.report, "Asia/Kolkata", None, ("model",)),
    "status by model and day": (status.report, "UTC", "day", ("model",)),
}


async def milliseconds(pool: Pool, name: str) -> float:
    """The median of some rounds."""
    report, zone, interval, group_by = QUESTIONS[name]
    asked = Asked(
        span=span("2026-10-01", "2026-11-01", zone, interval, rows_max=100_000),  # type: ignore[arg-type]
        group_by=group_by,
        rows_max=100_000,
    )
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        async with snapshot(pool) as conn:
            msgspec.json.encode(await report(conn, asked))
        took.append(1_000 * (time.perf_counter() - began))
    return statistics.median(took)


async def measure(url: str, sizes: list[int]) -> None:
    settings = Settings(database_url=url, statement_timeout_ms=600_000)
    pool = await open_pool(settings, url)
    await post(pool, settings)
    found: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    there = POSTED
    for size in sizes:
        await make(pool, size - there)
        there = size
        for name in QUESTIONS:
            found[name].append(await milliseconds(pool, name))
    print(f"{'report over a month, ms':30}" + "".join(f"{size:>14,}" for size in sizes) + "  events in it")
    for name, times in found.items():
        print(f"{name:30}" + "".join(f"{took:14.1f}" for took in times))
    await pool.close()


def main() -> None:
    sizes = sorted(int(size) for size in sys.argv[1:]) or [100_000, 1_000_000]
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as folder:
        Path(folder).chmod(0o755)
        with embedded(Path(folder) / "database") as url:
            migrate(url)
            asyncio.run(measure(url, sizes))


if __name__ == "__main__":
    main()
