"""The checks of `postings` proved for every row, and its indexes for statements, the journal and reversals."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_credits_checked"
down_revision = "2026_11_23_credits"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kind", "source", "destination"):
        op.execute(f"ALTER TABLE postings VALIDATE CONSTRAINT postings_{name}_check")
    op.create_index(
        "postings_statement_idx",
        "postings",
        ["account_id", "effective_at"],
        postgresql_where=sa.text("kind NOT IN ('usage', 'burn', 'cost')"),
    )
    op.create_index(
        "postings_reverses_idx",
        "postings",
        ["account_id", "reverses"],
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    op.create_index(op.f("postings_account_id_seq_idx"), "postings", ["account_id", "seq"])
    op.drop_index("postings_not_usage_idx", "postings")
