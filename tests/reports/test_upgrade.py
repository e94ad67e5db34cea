"""What was booked before there were totals is in them after the upgrade, with how its requests went."""

from importlib.util import module_from_spec, spec_from_file_location

import pytest
from psycopg import sql

from billing import proof
from billing.metering.folding import fold
from tests.house.test_imports import ROOT
from tests.reports.conftest import Relay
from tests.reports.test_sums import WHOLE, posted

pytestmark = pytest.mark.anyio

TABLES = ("usage_increments", "account_increments", "usage_totals", "account_totals", "outcome_totals")
REPORTS = ("revenue", "usage", "customers", "models", "margin", "status")


async def test_what_was_booked_before_is_in_the_reports(relay: Relay) -> None:
    spec = spec_from_file_location("totals", ROOT / "migrations" / "versions" / "2026_11_23_totals.py")
    assert spec is not None
    assert spec.loader is not None
    migration = module_from_spec(spec)
    spec.loader.exec_module(migration)
    await posted(relay, 21)
    before = {name: await relay.report(name, **WHOLE, time_zone="Asia/Kolkata") for name in REPORTS}
    async with relay.pool.connection() as conn:
        for table in TABLES:
            await conn.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
        for statement in (migration.USAGE_BEFORE, migration.OUTCOMES_BEFORE, migration.ACCOUNTS_BEFORE):
            await conn.execute(statement)
    for _ in range(2):
        assert {name: await relay.report(name, **WHOLE, time_zone="Asia/Kolkata") for name in REPORTS} == before
        await fold(relay.pool)
    async with relay.pool.connection() as conn:
        assert await proof.differences(conn) == []
        row = await (await conn.execute("SELECT count(*) AS waiting FROM usage_increments")).fetchone()
        assert row == {"waiting": 0}
