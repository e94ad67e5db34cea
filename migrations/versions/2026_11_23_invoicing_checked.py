"""The checks of `postings` proved for every row, and an index of what credits paid."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_invoicing_checked"
down_revision = "2026_11_23_invoicing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kind", "source", "destination"):
        op.execute(f"ALTER TABLE postings VALIDATE CONSTRAINT postings_{name}_check")
    op.create_index(
        "postings_burn_idx",
        "postings",
        ["account_id", "effective_at"],
        postgresql_where=sa.text("kind = 'burn'"),
    )
