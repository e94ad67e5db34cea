"""A hash chain over each account's transactions, who did what, what was proved and what was dropped.

Rows from before have no chain, and their charges no key and upstream: those of their events hold.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_chain"
down_revision = "2026_11_23_costs_checked"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
FUNCTIONS = (
    """
    CREATE FUNCTION said_of_charge(digest bytea, amount numeric, cost numeric) RETURNS bytea LANGUAGE sql STABLE
    RETURN digest || convert_to(amount || ' ' || coalesce(cost::text, '') || ' ', 'UTF8')
    """,
    """
    CREATE FUNCTION said_of_posting(
      kind text, source text, destination text, amount numeric, effective_at timestamptz,
      reference text, reason text, actor text, grant_id text, reverses bigint
    ) RETURNS bytea LANGUAGE sql STABLE
    RETURN convert_to(jsonb_build_array(
      kind, source, destination, amount::numeric(38, 12), extract(epoch FROM effective_at),
      reference, reason, actor, grant_id, reverses
    )::text, 'UTF8')
    """,
    """
    CREATE FUNCTION chain_link(account_id text, transaction bigint, said bytea) RETURNS bytea LANGUAGE sql STABLE
    RETURN sha256(convert_to(account_id || ' ' || transaction || ' ', 'UTF8') || said)
    """,
    """
    CREATE FUNCTION chained(chain bytea, link bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
    RETURN coalesce(sha256(chain || link), link, chain)
    """,
)


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    op.add_column("balances", _chain("hash over all transactions since the chain began, docs/evidence.md"))
    op.add_column("postings", _chain("the account's chain after it; null before the chain began"))
    op.add_column("charges", _text("key_id", "null: it named the account only, or upstream is null, too"))
    op.add_column("charges", _text("upstream", "empty when not named; null: booked before this column, see its event"))
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="id of the key that asked; cli for a command"),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text()),
        _text("subject", "id of what was acted on"),
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
    )
    op.create_index(op.f("audit_log_account_id_id_idx"), "audit_log", ["account_id", "id"])
    op.create_table(
        "dropped_months",
        sa.Column("start", INSTANT, nullable=False, comment="of arrival, UTC"),
        sa.Column("until", INSTANT, nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="how many there were"),
        sa.Column("dropped_at", INSTANT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("start", name=op.f("dropped_months_pkey")),
    )
    _create_proofs()
    for table in ("audit_log", "dropped_months"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _create_proofs() -> None:
    op.create_table(
        "proofs",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("finished_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        _text("account_id", "null: of the whole book"),
        sa.Column("differences", sa.Integer(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("mode IN ('full', 'incremental')", name=op.f("proofs_mode_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("proofs_pkey")),
    )
    op.create_table(
        "proved",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="of the last transaction that was proved"),
        _chain("the account's chain after it"),
        sa.PrimaryKeyConstraint("account_id", name=op.f("proved_pkey")),
    )


def _chain(comment: str) -> sa.Column[object]:
    return sa.Column("chain", sa.LargeBinary(), comment=comment)


def _text(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), comment=comment)
