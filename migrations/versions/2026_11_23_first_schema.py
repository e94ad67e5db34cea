"""First schema: accounts, keys, terms, ledger, events, charges, roll-ups, invoices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23"
down_revision = None
branch_labels = None
depends_on = None


REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation', HINT = 'Reverse it with a new row that names the old one.';
END $$
"""
APPEND_ONLY = (
    "postings",
    "prices",
    "charges",
    "invoices",
    "invoice_lines",
    "multipliers",
    "account_plans",
    "price_rows",
)


def upgrade() -> None:
    op.execute(REFUSE_CHANGE)
    op.execute("CREATE SEQUENCE transaction_numbers")
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id ~ '^acct_[A-Za-z0-9_-]{1,59}$'", name=op.f("accounts_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
    )
    op.create_table(
        "charges",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            nullable=False,
            comment="of the event's content: tells a duplicate from a conflict",
        ),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("transaction", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="place within the transaction"),
        sa.Column("price_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("quantities", sa.ARRAY(sa.BigInteger()), nullable=False, comment="one for each price"),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column(
            "review",
            sa.Text(),
            nullable=True,
            comment="why it is not billed yet and waits to be looked at; null: billed",
        ),
        sa.Column(
            "corrects",
            sa.Text(),
            nullable=True,
            comment="id of the event of the same account and source that this one bills instead",
        ),
        sa.PrimaryKeyConstraint("account_id", "source", "id", name=op.f("charges_pkey")),
    )
    op.create_index(
        "charges_corrects_idx",
        "charges",
        ["account_id", "source", "corrects"],
        unique=True,
        postgresql_where=sa.text("corrects IS NOT NULL"),
    )
    op.create_index(
        "charges_review_idx",
        "charges",
        ["account_id", "time"],
        unique=False,
        postgresql_where=sa.text("review IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        postgresql_partition_by="RANGE (received_at)",
    )
    op.create_index(op.f("events_account_id_time_idx"), "events", ["account_id", "time"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("actor", sa.Text(), nullable=False, comment="id of the key that asked"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False, comment="digest of method, path and body"),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(op.f("idempotency_keys_created_at_idx"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "invoice_series",
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("series", name=op.f("invoice_series_pkey")),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("id ~ '^[a-z0-9][a-z0-9_-]{0,59}$'", name=op.f("plans_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("plans_pkey")),
    )
    op.create_table(
        "postings",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("transaction", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), nullable=False, comment="1, 2, 3 … of the account's transactions, without gaps"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column(
            "balance", sa.Numeric(precision=38, scale=12), nullable=False, comment="the wallet after the transaction"
        ),
        sa.Column(
            "effective_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="decides the period; for usage the quarter hour billed in",
        ),
        sa.Column("posted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True, comment="id of the key that asked for it"),
        sa.CheckConstraint("amount >= 0 AND amount < 'Infinity'", name=op.f("postings_amount_check")),
        sa.CheckConstraint(
            "destination IN ('wallet', 'revenue', 'cash', 'adjustments', 'rounding')",
            name=op.f("postings_destination_check"),
        ),
        sa.CheckConstraint("kind IN ('usage', 'top_up', 'adjustment', 'rounding')", name=op.f("postings_kind_check")),
        sa.CheckConstraint(
            "source IN ('wallet', 'revenue', 'cash', 'adjustments', 'rounding')", name=op.f("postings_source_check")
        ),
        sa.CheckConstraint("source <> destination", name=op.f("postings_two_legs_check")),
        sa.PrimaryKeyConstraint("account_id", "transaction", "line", name=op.f("postings_pkey")),
    )
    op.create_index(
        "postings_not_usage_idx",
        "postings",
        ["account_id", "effective_at"],
        unique=False,
        postgresql_where=sa.text("kind <> 'usage'"),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="of all that follows"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("unit_size", sa.BigInteger(), nullable=False, comment="how much of the quantity one unit is"),
        sa.Column(
            "official", sa.Numeric(), nullable=True, comment="dollars a unit on the official list; null: unpriced"
        ),
        sa.Column("multiplier", sa.Numeric(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("book", sa.Text(), nullable=False, comment="digest of the price book"),
        sa.PrimaryKeyConstraint("id", name=op.f("prices_pkey")),
        sa.UniqueConstraint("digest", name=op.f("prices_digest_key")),
    )
    op.create_table(
        "terms_version",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one", name=op.f("terms_version_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("terms_version_pkey")),
    )
    op.create_table(
        "usage_rollups",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("billed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False, comment="empty when the event named the account only"),
        sa.Column("upstream", sa.Text(), nullable=False, comment="empty when not named"),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="events with a line at this price"),
        sa.Column(
            "requests",
            sa.BigInteger(),
            nullable=False,
            comment="events whose first line this is: each event counts once",
        ),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("first_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "evidence",
            sa.LargeBinary(),
            nullable=False,
            comment="hash chain over the events' digests, docs/evidence.md",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "billed", "slot", "price_id", "key_id", "upstream", name=op.f("usage_rollups_pkey")
        ),
    )
    op.create_table(
        "account_plans",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True, comment="null: the standard terms"),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("account_plans_account_id_fkey")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("account_plans_plan_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("account_plans_pkey")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True, comment="null for gateway and admin keys"),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the key; the key itself is not kept"),
        sa.Column("hint", sa.Text(), nullable=False, comment="its last four characters"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(scope = 'customer') = (account_id IS NOT NULL)", name=op.f("api_keys_account_check")),
        sa.CheckConstraint("scope IN ('gateway', 'customer', 'admin')", name=op.f("api_keys_scope_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("api_keys_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_keys_hash_key")),
    )
    op.create_index(op.f("api_keys_account_id_idx"), "api_keys", ["account_id"], unique=False)
    op.create_table(
        "balances",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column(
            "posted",
            sa.Numeric(precision=38, scale=12),
            server_default="0",
            nullable=False,
            comment="the wallet: sum of its postings",
        ),
        sa.Column(
            "transactions", sa.BigInteger(), server_default="0", nullable=False, comment="how many; the last one's seq"
        ),
        sa.Column(
            "open_from",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="end of the last closed period; null while none is closed",
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("balances_account_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("balances_pkey")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False, comment="prefix and year: numbers have no gaps within it"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column(
            "issuer",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="as it was when the invoice was made",
        ),
        sa.Column(
            "customer",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="as it was when the invoice was made",
        ),
        sa.Column("statement", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "amount_exact",
            sa.Numeric(precision=38, scale=12),
            nullable=False,
            comment="sum of the lines before rounding",
        ),
        sa.Column("subtotal", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("tax", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("total", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column(
            "residue",
            sa.Numeric(precision=38, scale=12),
            nullable=False,
            comment="subtotal - amount_exact, posted to rounding",
        ),
        sa.Column("transaction", sa.BigInteger(), nullable=True, comment="the residue's; null when there is none"),
        sa.Column("finalized_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("period_start < period_end", name=op.f("invoices_period_check")),
        sa.CheckConstraint(
            "residue = subtotal - amount_exact AND total = subtotal + tax", name=op.f("invoices_sums_check")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("invoices_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("invoices_pkey")),
        sa.UniqueConstraint("account_id", "period_start", name=op.f("invoices_account_id_period_start_key")),
        sa.UniqueConstraint("number", name=op.f("invoices_number_key")),
        sa.UniqueConstraint("series", "sequence", name=op.f("invoices_series_sequence_key")),
    )
    op.create_index(op.f("invoices_period_end_idx"), "invoices", ["period_end"], unique=False)
    op.create_table(
        "multipliers",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("multiplier", sa.Numeric(), nullable=True),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(plan_id IS NULL) <> (account_id IS NULL)", name=op.f("multipliers_whose_check")),
        sa.CheckConstraint(
            "multiplier >= 0 AND multiplier <= 10 AND scale(multiplier) <= 12",
            name=op.f("multipliers_multiplier_check"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("multipliers_account_id_fkey")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("multipliers_plan_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("multipliers_pkey")),
    )
    op.create_table(
        "price_rows",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True, comment="null: for everybody"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False, comment="dollars a unit, before the multiplier"),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("effective_to", sa.Date(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("price_rows_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("price_rows_pkey")),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("unit_size", sa.BigInteger(), nullable=False),
        sa.Column("official_unit_price", sa.Numeric(), nullable=False),
        sa.Column("multiplier", sa.Numeric(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("price_ids", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("amount_exact", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("amount", sa.Numeric(precision=38, scale=12), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("first_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("invoice_lines_account_id_fkey")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("invoice_lines_invoice_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", "invoice_id", "position", name=op.f("invoice_lines_pkey")),
    )
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    op.execute("INSERT INTO terms_version (version) VALUES (0)")
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
