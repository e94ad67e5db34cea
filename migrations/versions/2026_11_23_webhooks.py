"""Webhooks: the outbox, endpoints and deliveries; balances say when they cross a threshold."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "2026_11_23_webhooks"
down_revision = "2026_11_23_totals"
branch_labels = None
depends_on = None

DOLLARS = sa.Numeric(precision=38, scale=12)
INSTANT = sa.DateTime(timezone=True)
NOW = sa.text("now()")

TELL_BALANCE = """
CREATE FUNCTION tell_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  said jsonb := jsonb_build_object(
    'account', NEW.account_id, 'currency', 'USD', 'posted', trim_scale(NEW.posted)::text,
    'credit_limit', trim_scale(NEW.credit_limit)::text, 'remaining', trim_scale(NEW.posted + NEW.credit_limit)::text,
    'threshold', trim_scale(NEW.balance_low)::text
  );
BEGIN
  IF NEW.posted + NEW.credit_limit < NEW.balance_low AND (OLD.posted + OLD.credit_limit < OLD.balance_low) IS NOT TRUE THEN
    INSERT INTO webhook_messages (type, account_id, data) VALUES ('balance.low', NEW.account_id, said);
  END IF;
  IF NEW.posted + NEW.credit_limit <= 0 AND OLD.posted + OLD.credit_limit > 0 THEN
    INSERT INTO webhook_messages (type, account_id, data) VALUES ('balance.depleted', NEW.account_id, said);
  END IF;
  RETURN NULL;
END $$
"""  # noqa: E501 - to the letter as the schema declares it

BALANCE_TOLD = """
CREATE TRIGGER balances_told AFTER UPDATE OF posted, credit_limit, balance_low ON balances
FOR EACH ROW WHEN (
  (NEW.posted + NEW.credit_limit <= 0 AND OLD.posted + OLD.credit_limit > 0)
  OR (NEW.posted + NEW.credit_limit < NEW.balance_low
      AND (OLD.posted + OLD.credit_limit < OLD.balance_low) IS NOT TRUE)
) EXECUTE FUNCTION tell_balance()
"""


def upgrade() -> None:
    op.add_column(
        "balances",
        sa.Column(
            "balance_low", DOLLARS, comment="say so when less than this is left, with the credit limit; null: never"
        ),
    )
    _create_messages()
    _create_endpoints()
    _create_deliveries()
    op.execute(TELL_BALANCE)
    op.execute(BALANCE_TOLD)


def _create_messages() -> None:
    op.create_table(
        "webhook_messages",
        sa.Column(
            "id",
            sa.Text(),
            server_default=sa.text("('msg_'::text || replace((gen_random_uuid())::text, '-'::text, ''::text))"),
            nullable=False,
        ),
        sa.Column("type", sa.Text(), nullable=False),
        _text("account_id", "null: told to the operator only"),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("due_at", INSTANT, server_default=NOW, nullable=False),
        _text("gathers", "names what is told together until it is due; null: one thing"),
        sa.Column("given_out_at", INSTANT, comment="when its deliveries were made; null: not yet"),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_messages_pkey")),
        sa.UniqueConstraint("gathers", name=op.f("webhook_messages_gathers_key")),
    )
    op.create_index(
        "webhook_messages_due_idx", "webhook_messages", ["due_at"], postgresql_where=sa.text("given_out_at IS NULL")
    )
    op.create_index(op.f("webhook_messages_created_at_idx"), "webhook_messages", ["created_at"])


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Text(), nullable=False),
        _text("account_id", "null: the operator's, told of all accounts"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", sa.ARRAY(sa.Text()), comment="null: all"),
        sa.Column("secret", sa.LargeBinary(), nullable=False, comment="in clear: it signs every delivery"),
        sa.Column("old_secret", sa.LargeBinary(), comment="signs, too, until it ends"),
        sa.Column("old_secret_ends_at", INSTANT),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.Column("disabled_at", INSTANT),
        sa.Column("disabled_because", sa.Text()),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="since the last success"),
        sa.Column("failing_since", INSTANT, comment="null: the last delivery succeeded"),
        sa.Column("rests_until", INSTANT, comment="nothing is sent before, because it has just failed"),
        sa.CheckConstraint(
            "(old_secret IS NULL) = (old_secret_ends_at IS NULL)", name=op.f("webhook_endpoints_old_secret_check")
        ),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_because IS NULL)", name=op.f("webhook_endpoints_disabled_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_endpoints_pkey")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("webhook_endpoints_account_id_fkey")),
    )
    op.create_index(op.f("webhook_endpoints_account_id_idx"), "webhook_endpoints", ["account_id"])


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="since it was made or replayed"
        ),
        sa.Column(
            "due_at",
            INSTANT,
            server_default=NOW,
            nullable=False,
            comment="of the next attempt, or when one is lost",
        ),
        sa.Column(
            "log",
            postgresql.JSONB(),
            server_default="[]",
            nullable=False,
            comment="the last attempts, oldest first",
        ),
        sa.Column("created_at", INSTANT, server_default=NOW, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("webhook_deliveries_state_check")),
        sa.PrimaryKeyConstraint("endpoint_id", "message_id", name=op.f("webhook_deliveries_pkey")),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("webhook_deliveries_endpoint_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["webhook_messages.id"],
            name=op.f("webhook_deliveries_message_id_fkey"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "webhook_deliveries_due_idx",
        "webhook_deliveries",
        ["endpoint_id", "due_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("webhook_deliveries_message_id_idx"), "webhook_deliveries", ["message_id"])


def _text(name: str, comment: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), comment=comment)
