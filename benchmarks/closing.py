"""How long closing a month takes: accounts × prices × quarter hours of generated roll-ups, on a database of its own.

    python benchmarks/closing.py [ACCOUNTS] [PRICES] [SLOTS]

What closing costs must grow with accounts and lines, not with events: the roll-ups are what events come to.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import psycopg

from billing.db.migrate import migrate
from billing.db.pool import open_pool
from billing.embedded import embedded
from billing.invoices.close import OUTCOMES, Result, close_month
from billing.settings import Settings

MONTH = "2026-10"

PRICES = """
INSERT INTO prices (digest, model, dimension, variant, unit, unit_size, official, multiplier, entry, source, book)
SELECT sha256(number::text::bytea), 'model-' || number / 2, CASE number %% 2 WHEN 0 THEN 'input' ELSE 'output' END, '',
       '1M_tokens', 1000000, 1 + number, 0.5, 'entry', 'generated', 'generated'
FROM generate_series(1, %(prices)s) AS number
"""
ACCOUNTS = """
INSERT INTO accounts (id, name, time_zone)
SELECT 'acct_' || lpad(number::text, 6, '0'), 'Customer ' || number,
       (ARRAY['UTC', 'Asia/Shanghai', 'America/New_York', 'Pacific/Apia'])[1 + number %% 4]
FROM generate_series(1, %(accounts)s) AS number
"""
ROLLUPS = """
INSERT INTO usage_rollups (account_id, billed, slot, price_id, key_id, upstream, events, requests, quantity, amount,
                           first_time, last_time, evidence)
SELECT accounts.id, slot, slot, prices.id, '', '', 20, 20, 1000 + number, (1000 + number) * official / 2000000, slot,
       slot, sha256(slot::text::bytea)
FROM accounts
CROSS JOIN (
  SELECT number, timestamptz '2026-10-02Z' + number * interval '15 minutes' * (2600 / %(slots)s) AS slot
  FROM generate_series(1, %(slots)s) AS number
) AS slots
CROSS JOIN prices
"""
POSTINGS = """
WITH used AS (
  SELECT account_id, billed, sum(amount) AS amount,
         row_number() OVER (PARTITION BY account_id ORDER BY billed) + 1 AS seq
  FROM usage_rollups
  GROUP BY account_id, billed
)
INSERT INTO postings (account_id, transaction, line, seq, kind, source, destination, amount, balance, effective_at)
SELECT account_id, nextval('transaction_numbers'), 1, seq, 'usage', 'wallet', 'revenue', amount,
       10 - sum(amount) OVER (PARTITION BY account_id ORDER BY seq), billed
FROM used
UNION ALL
SELECT id, nextval('transaction_numbers'), 1, 1, 'top_up', 'cash', 'wallet', 10, 10, '2026-09-01Z' FROM accounts
"""
BALANCES = """
INSERT INTO balances (account_id, posted, transactions)
SELECT account_id, 10 - sum(amount) FILTER (WHERE kind = 'usage'), count(*) FROM postings GROUP BY account_id
"""


def generate(url: str, accounts: int, prices: int, slots: int) -> None:
    given = {"accounts": accounts, "prices": prices, "slots": slots}
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(PRICES, given)
        conn.execute(ACCOUNTS, given)
        conn.execute(ROLLUPS, given)
        conn.execute(POSTINGS)
        conn.execute(BALANCES)
        conn.execute("VACUUM ANALYZE")


async def close(url: str, settings: Settings) -> None:
    started = time.monotonic()
    done = 0

    def tell(_result: Result, total: int) -> None:
        nonlocal done
        done += 1
        if done % (total // 10 or 1) == 0:
            print(f"  {done} of {total} after {time.monotonic() - started:.1f} s", flush=True)

    async with await open_pool(settings, url) as pool:
        for turn in ("closing", "closing again"):
            started, done = time.monotonic(), 0
            summary = await close_month(pool, settings, MONTH, progress=tell)
            seconds = time.monotonic() - started
            said = ", ".join(f"{count} {outcome}" for outcome in OUTCOMES if (count := summary.count(outcome)))
            print(f"{turn}: {said} in {seconds:.1f} s, {len(summary.results) / seconds:.0f} accounts a second")


def main(accounts: int = 10_000, prices: int = 10, slots: int = 50) -> None:
    with tempfile.TemporaryDirectory(prefix="billing-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded(folder / "data") as url:
            migrate(url)
            print(f"{accounts} accounts with {prices * slots} roll-ups each …", flush=True)
            generate(url, accounts, prices, slots)
            asyncio.run(close(url, msgspec.structs.replace(Settings(), data_dir=folder)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
