"""The schema's one declaration. Migrations make it; a test proves both equal (tests/migrations).

Conventions: `account_id` leads every key (rules.md Ledger 4), money is `numeric(38,12)` dollars, times are instants.
What must never change is guarded by the database itself: see `APPEND_ONLY`. The tables that every event writes have no
foreign keys (they cost a fifth of the intake): the posting statement reaches an account through its `balances` row.
"""

from sqlalchemy import DDL, event

from billing.db.schema import (
    accounts,
    chain,
    holds,
    invoices,
    ledger,
    proof,
    settlement,
    terms,
    totals,
    usage,
    webhooks,
)
from billing.db.schema.metadata import metadata

__all__ = [
    "APPEND_ONLY",
    "accounts",
    "holds",
    "invoices",
    "ledger",
    "metadata",
    "proof",
    "settlement",
    "terms",
    "totals",
    "usage",
    "webhooks",
]

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
    "verdicts",
    "invoices",
    "invoice_lines",
    "credit_notes",
    "credit_note_lines",
    "payments",
    "tax_rates",
    "account_taxes",
    "account_calendars",
    "multipliers",
    "verification_policies",
    "account_plans",
    "price_rows",
    "upstream_factors",
    "audit_log",
    "dropped_months",
)


def append_only_trigger(table: str) -> str:
    """DDL: the database itself refuses UPDATE, DELETE and TRUNCATE of the table (rules.md Ledger 1, Invoices 6)."""
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


# Rows land here only when the month's own partition is missing: /readyz and billing verify raise the alarm.
EVENTS_DEFAULT = "CREATE TABLE events_default PARTITION OF events DEFAULT"

event.listen(terms.terms_version, "after_create", DDL("INSERT INTO terms_version (version) VALUES (0)"))
event.listen(metadata, "before_create", DDL(REFUSE_CHANGE.replace("%", "%%")))
for _function in chain.FUNCTIONS:
    event.listen(metadata, "before_create", DDL(_function))
event.listen(metadata, "before_create", DDL(webhooks.TELL_BALANCE))
event.listen(ledger.balances, "after_create", DDL(webhooks.BALANCE_TOLD))
event.listen(usage.events, "after_create", DDL(EVENTS_DEFAULT))
for _table in APPEND_ONLY:
    event.listen(metadata.tables[_table], "after_create", DDL(append_only_trigger(_table)))
