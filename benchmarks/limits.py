"""What limits the service, measured beside it: PostgreSQL alone, and the endpoints without a database.

The bare posting is anchors.md's: one statement that drops duplicates, inserts the events, moves the balance of each
account and posts once for each, without prices, roll-ups, bodies or HTTP. Same server, same settings, two connections.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from litestar import Litestar
from litestar.datastructures import State

from benchmarks import traffic
from billing import app as whole
from billing.accounts.keys import Principal
from billing.accounts.store import Balance
from billing.db.arrays import InstantArray, Int4Array, Int8Array, TextArray
from billing.holds.rules import Asked, Granted, Hold
from billing.http import StrictRequest
from billing.metering.answers import Result
from billing.metering.events import Batch
from billing.observe import configure_logging
from billing.observe.middleware import Observed
from billing.problems import answer
from billing.settings import Settings

CONNECTIONS = 2

TABLES = """
CREATE TABLE IF NOT EXISTS bare_events (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id text NOT NULL, source text NOT NULL, id text NOT NULL, time timestamptz NOT NULL, model text NOT NULL,
  input_tokens integer NOT NULL, output_tokens integer NOT NULL, amount bigint NOT NULL,
  UNIQUE (source, id)
);
CREATE INDEX IF NOT EXISTS bare_events_time ON bare_events (account_id, time);
CREATE TABLE IF NOT EXISTS bare_balances (account_id text PRIMARY KEY, posted bigint NOT NULL, seq bigint NOT NULL);
CREATE TABLE IF NOT EXISTS bare_postings (
  account_id text NOT NULL, seq bigint NOT NULL, amount bigint NOT NULL, balance bigint NOT NULL,
  PRIMARY KEY (account_id, seq)
);
"""

POST = """
WITH booked AS (
  INSERT INTO bare_events (account_id, source, id, time, model, input_tokens, output_tokens, amount)
  SELECT *
  FROM unnest(%s, %s, %s, %s, %s, %s, %s, %s) AS t(account_id, source, id, time, model, given, answer, amount)
  ORDER BY source, id
  ON CONFLICT DO NOTHING
  RETURNING account_id, amount
),
account AS (
  INSERT INTO bare_balances AS balance (account_id, posted, seq)
  SELECT account_id, -sum(amount), 1 FROM booked GROUP BY account_id ORDER BY account_id
  ON CONFLICT (account_id) DO UPDATE SET posted = balance.posted + excluded.posted, seq = balance.seq + 1
  RETURNING account_id, posted, seq
),
posted AS (
  INSERT INTO bare_postings (account_id, seq, amount, balance)
  SELECT account_id, seq, sum(amount), posted
  FROM account JOIN booked USING (account_id)
  GROUP BY account_id, seq, posted
)
SELECT count(*) FROM booked
"""

Row = tuple[str, str, str, datetime, str, int, int, int]


def rows(shape: str, size: int, chance: random.Random) -> list[Row]:
    now, source = datetime.now(UTC), "gateway-1"
    ids = [f"chatcmpl-{next(traffic._numbers):020}" for _ in range(size)]
    owners = traffic.owners(shape, size, chance)
    models = chance.choices(traffic.MODELS, traffic.WEIGHTS, k=size)
    return [
        (owner, source, id, now - timedelta(milliseconds=chance.randrange(60_000)), model, 100, 50, 12_345)
        for owner, id, model in zip(owners, ids, models, strict=True)
    ]


def packed(batch: Sequence[Row]) -> list[object]:
    accounts, sources, ids, times, models, given, answers, amounts = zip(*batch, strict=True)
    return [
        TextArray.of(accounts),
        TextArray.of(sources),
        TextArray.of(ids),
        InstantArray.of(times),
        TextArray.of(models),
        Int4Array.of(given),
        Int4Array.of(answers),
        Int8Array.of(amounts),
    ]


async def bare_posting(url: str, shape: str, size: int, seconds: float) -> float:
    """Events a second that PostgreSQL books with the bare statement. Rows are made before, packed while it runs."""
    chance = random.Random(size)
    ready = [rows(shape, size, chance) for _ in range(max(8, int(400_000 * seconds) // (8 * size)))]
    booked = 0

    async def work(until: float) -> None:
        nonlocal booked
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            while ready and time.perf_counter() < until:
                row = await (await conn.execute(POST, packed(ready.pop()), prepare=True)).fetchone()
                assert row is not None
                booked += row[0]

    began = time.perf_counter()
    await asyncio.gather(*(work(began + seconds) for _ in range(CONNECTIONS)))
    return booked / (time.perf_counter() - began)


def make_tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(TABLES)


# ── the endpoints without a database ──
class OpenDoor:
    """Lets everybody in."""

    async def ask(self, _token: str) -> Principal:
        return Principal("key_bench", "gateway")


class Accepting:
    """Accepts every event."""

    async def post(self, batch: Batch, **_options: bool) -> list[Result]:
        return [Result(index=index, id=event.id, status="accepted", charge="0.00117") for index, event in batch.events]


class Granting:
    """Grants every authorisation."""

    async def authorize(self, asked: Asked) -> Granted:
        now = datetime.now(UTC)
        hold = Hold(
            id=asked.new_id,
            account_id=str(asked.owner),
            key_id=None,
            model=asked.model,
            amount=asked.max_cost or 0,
            state="open",
            created_at=now,
            expires_at=now + timedelta(seconds=asked.seconds),
        )
        return Granted(hold=hold, available=10**15, new=True)


class Rich:
    """Everybody has the same."""

    async def ask(self, account_id: str) -> Balance:
        return Balance(
            account_id=account_id,
            posted=10**12,
            credits=0,
            credits_due=False,
            held=0,
            credit_limit=0,
            as_of=datetime.now(UTC),
        )


def without_database() -> Litestar:
    """The app: the same routes, guards, decoding and answers; what the database would say comes from memory."""
    configure_logging("INFO")
    state = {"settings": Settings(), "door": OpenDoor(), "intake": Accepting(), "authorizer": Granting()}
    app = Litestar(
        [whole.metering.post_events, whole.holds.authorize, whole.accounts.get_balance],
        request_class=StrictRequest,
        request_max_body_size=Settings().body_bytes_max,
        exception_handlers={Exception: answer},
        dependencies=whole.provided(),
        state=State({**state, "balances": Rich(), "pool": None, "terms": None}),
        logging_config=None,
    )
    app.asgi_handler = Observed(app.asgi_handler)  # type: ignore[assignment]
    return app
