"""What reports read: sums over all accounts, and over all prices of one, with how requests went.

They begin with what was booked before: it is appended like new usage, and folded into the totals by the service. Usage
that an older release books from here on is in no report, so stop that one first.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_totals"
down_revision = "2026_11_23_invoicing_checked"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
EMPTIED = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "10000"}

# How events went is asked of their bodies, as far as they are kept; only first lines of requests count as requests.
USAGE_BEFORE = """
INSERT INTO usage_increments (
  slot, price_id, upstream, requests, quantity, amount, cost, costed, failed, aborted, cut, latencies, first_tokens
)
SELECT slot, price_id, upstream, sum(requests), sum(quantity), sum(amount), sum(cost), sum(costed), 0, 0, 0, NULL, NULL
FROM usage_rollups
GROUP BY slot, price_id, upstream
"""

OUTCOMES_BEFORE = """
INSERT INTO usage_increments (
  slot, price_id, upstream, requests, quantity, amount, cost, costed, failed, aborted, cut, latencies, first_tokens
)
SELECT date_bin('15 minutes', charges.time, 'epoch') AS slot, price_ids[1],
       coalesce(body -> 'upstream' ->> 'name', '') AS upstream, 0, 0, 0, 0, 0,
       count(*) FILTER (WHERE status >= 400 OR body ->> 'ended' = 'failed'),
       count(*) FILTER (WHERE status < 400 AND body ->> 'ended' = 'client_aborted'),
       count(*) FILTER (WHERE status < 400 AND body ->> 'ended' = 'upstream_cut'),
       array_agg((body ->> 'latency_ms')::integer) FILTER (WHERE body ? 'latency_ms'),
       array_agg((body ->> 'first_token_ms')::integer) FILTER (WHERE body ? 'first_token_ms')
FROM charges
JOIN events USING (account_id, time, source, id)
CROSS JOIN LATERAL (SELECT coalesce((body ->> 'status')::integer, 200) AS status) AS answered
WHERE corrects IS NULL
GROUP BY 1, 2, 3
"""

ACCOUNTS_BEFORE = """
INSERT INTO account_increments (account_id, slot, requests, amount, cost, costed)
SELECT account_id, slot, sum(requests), sum(amount), sum(cost), sum(costed)
FROM usage_rollups
GROUP BY account_id, slot
"""


def upgrade() -> None:
    _create_increments()
    _create_totals()
    op.execute("LOCK TABLE usage_rollups IN SHARE MODE")
    for statement in (USAGE_BEFORE, OUTCOMES_BEFORE, ACCOUNTS_BEFORE):
        op.execute(statement)


def _create_increments() -> None:
    op.create_table(
        "usage_increments",
        sa.Column("slot", INSTANT, nullable=False, comment="the quarter hour of use"),
        sa.Column("price_id", sa.Integer(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        *_sums(),
        sa.Column("failed", sa.BigInteger(), nullable=False, comment="requests that did"),
        sa.Column("aborted", sa.BigInteger(), nullable=False, comment="by their clients"),
        sa.Column("cut", sa.BigInteger(), nullable=False, comment="by their upstreams"),
        sa.Column(
            "latencies", postgresql.ARRAY(sa.Integer()), comment="of the requests that gave one, in milliseconds"
        ),
        sa.Column("first_tokens", postgresql.ARRAY(sa.Integer()), comment="likewise, until the first token"),
        postgresql_with=EMPTIED,
    )
    op.create_table(
        "account_increments",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("slot", INSTANT, nullable=False),
        *_sums(quantity=False),
        postgresql_with=EMPTIED,
    )


def _create_totals() -> None:
    op.create_table(
        "usage_totals",
        *_slot("where it begins"),
        sa.Column("price_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("minutes", "slot", "price_id", "upstream", name=op.f("usage_totals_pkey")),
    )
    op.create_table(
        "account_totals",
        *_slot(),
        sa.Column("account_id", sa.Text(), nullable=False),
        *_sums(quantity=False),
        sa.PrimaryKeyConstraint("minutes", "slot", "account_id", name=op.f("account_totals_pkey")),
    )
    op.create_table(
        "outcome_totals",
        *_slot(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("requests", "failed", "aborted", "cut")),
        sa.Column("latencies", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("first_tokens", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("minutes", "slot", "model", "upstream", name=op.f("outcome_totals_pkey")),
    )


def _slot(comment: str | None = None) -> list[sa.Column[Any]]:
    return [
        sa.Column("minutes", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", INSTANT, nullable=False, comment=comment),
    ]


def _sums(*, quantity: bool = True) -> list[sa.Column[Any]]:
    return [
        sa.Column("requests", sa.BigInteger(), nullable=False),
        *([sa.Column("quantity", sa.BigInteger(), nullable=False)] if quantity else []),
        sa.Column("amount", DOLLARS, nullable=False),
        sa.Column("cost", DOLLARS, nullable=False),
        sa.Column("costed", sa.BigInteger(), nullable=False),
    ]
