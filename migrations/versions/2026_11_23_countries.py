"""The country of an account, which a structured invoice has to name."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_23_countries"
down_revision = "2026_11_23_webhook_owners"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("country", sa.Text(), comment="ISO 3166-1 alpha-2; of structured invoices"))
    op.create_check_constraint(op.f("accounts_country_check"), "accounts", "country ~ '^[A-Z]{2}$'")
