"""An index to find the events whose text could not be counted, for the reasons in the verification report."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_unverifiable"
down_revision = "2026_11_23_upstream_factors"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "verdicts_unverifiable_idx", "verdicts", ["time"], postgresql_where=sa.text("verdict = 'unverifiable'")
    )
