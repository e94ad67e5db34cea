"""What the service does when much is stored already, beside the same when nothing is; and closing a month.

What is stored is made by SQL from events that were really posted: copies of their rows, in earlier weeks.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from benchmarks import spent, traffic
from benchmarks.bench import Bench, Figure
from benchmarks.intake import real

SAMPLE = 20_000
COPIES_AT_ONCE = 10
MONTH = "2026-10"
LINES = 10
BATCH = 5_000

# What a copy has instead: another identity, and it was earlier, so that the new ones come at the end as in real life.
INSTEAD = {
    "charges": {"id": "'chatcmpl-' || lpad(copy::text, 8, '0') || id", "time": "time - make_interval(hours => copy)"},
    "events": {"id": "'chatcmpl-' || lpad(copy::text, 8, '0') || id", "time": "time - make_interval(hours => copy)"},
    "usage_rollups": {
        "slot": "slot - make_interval(hours => copy)",
        "billed": "billed - make_interval(hours => copy)",
    },
}


def fill(url: str, events: int) -> None:
    """Store so many events more. The book does not add up any more: this database is only measured."""
    with psycopg.connect(url, autocommit=True) as conn:
        for table in INSTEAD:
            conn.execute(
                sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {} LIMIT {}").format(
                    _sample(table), sql.Identifier(table), SAMPLE
                )
            )
        for first in range(1, events // SAMPLE + 1, COPIES_AT_ONCE):
            last = min(first + COPIES_AT_ONCE - 1, events // SAMPLE)
            for table, instead in INSTEAD.items():
                _copy(conn, table, instead, first, last)
        conn.execute("VACUUM ANALYZE charges, events, usage_rollups")
        conn.execute("CHECKPOINT")


def _sample(table: str) -> sql.Identifier:
    return sql.Identifier(f"sample_of_{table}")


def _copy(conn: psycopg.Connection, table: str, instead: dict[str, str], first: int, last: int) -> None:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    columns = [name for (name,) in conn.execute(query, [table])]
    values = [sql.SQL(instead[name]) if name in instead else sql.Identifier(name) for name in columns]  # type: ignore[arg-type]
    conn.execute(
        sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM {} CROSS JOIN generate_series({}, {}) AS copy ON CONFLICT DO NOTHING"
        ).format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(values),
            _sample(table),
            first,
            last,
        )
    )


def intake(bench: Bench, events: int, rounds: int, seconds: float) -> Iterator[Figure]:
    """Batches of 1,000 and single events, before and after so many are stored.

    The rates are not of one round, for the service cannot be made small again; so on a machine that others use they
    tell little, and the processor time that an event takes of service and PostgreSQL tells more.
    """

    def measured(size: int, callers: int) -> tuple[float, float]:
        real(bench, "power", size, callers, seconds)  # after a checkpoint the first change of each page is dearer
        before = sum(spent.seconds(bench))
        rates = sorted(real(bench, "power", size, callers, seconds).events for _ in range(rounds))
        took = sum(spent.seconds(bench)) - before
        return rates[rounds // 2], 1e6 * took / (seconds * sum(rates))

    cases = {"batches of 1,000": (1_000, 4), "single events, 64 connections": (1, 64)}
    before = {case: measured(*asked) for case, asked in cases.items()}
    fill(bench.real.database_url, events)
    for case, asked in cases.items():
        rate, cost = measured(*asked)
        named, beside = f"{case}, {events:,} stored", "with nothing stored"
        yield Figure("growth", named, "events/s", rate, before[case][0], beside, 0.8)
        yield Figure("growth", f"{named}, processor", "µs/event", cost, before[case][1], beside, 1.25, most=True)


def closing(bench: Bench, accounts: int) -> Iterator[Figure]:
    """The seconds in which the month of so many accounts is closed, ten events each, beside a minute for 10,000."""
    chance = random.Random(1)
    with psycopg.connect(bench.real.database_url, autocommit=True) as conn:
        named = [f"acct_closing_{number}" for number in range(accounts)]
        conn.execute("INSERT INTO accounts (id, name) SELECT id, id FROM unnest(%s::text[]) AS id", [named])
        conn.execute("INSERT INTO balances (account_id) SELECT unnest(%s::text[])", [named])
    headers = {"Authorization": f"Bearer {bench.real.admin_key}"}
    with httpx.Client(base_url=bench.real.url, headers=headers, timeout=600) as client:
        made = ({**one, "time": f"{MONTH}-15T12:00:00Z"} for one in traffic.events("hot", accounts * LINES, chance))
        events = [{**one, "account": named[number % accounts]} for number, one in enumerate(made)]
        for first in range(0, len(events), BATCH):
            client.post("/v1/events", json=events[first : first + BATCH]).raise_for_status()
        began = time.perf_counter()
        client.post(f"/v1/periods/{MONTH}/close").raise_for_status()
        took = time.perf_counter() - began
    yield Figure(
        "closing a month",
        f"{accounts:,} accounts",
        "s",
        took,
        60 * accounts / 10_000,
        "a minute for 10,000",
        1,
        most=True,
    )
    yield Figure("closing a month", "most memory of the service", "MB", memory())


def memory() -> float:
    """The most that the service has taken."""
    [process] = multiprocessing.active_children()
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
