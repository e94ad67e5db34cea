"""The checks of `postings`, proved for every row: apart, because it takes long and no lock that intake waits for."""

from alembic import op

revision = "2026_11_23_costs_checked"
down_revision = "2026_11_23_costs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("kind", "source", "destination"):
        op.execute(f"ALTER TABLE postings VALIDATE CONSTRAINT postings_{name}_check")
