"""Heads that were kept elsewhere show what the database itself cannot: that all of a chain was written anew."""

import hashlib
from pathlib import Path

import pytest

from billing import proof
from billing.db.pool import Connection
from billing.ledger import heads
from tests.ledger.test_chain import moved
from tests.ledger.test_proof import unguarded
from tests.serving import Server, billing

pytestmark = pytest.mark.anyio

REWRITE = """
DO $$
DECLARE
  line record;
  chain bytea;
BEGIN
  FOR line IN SELECT * FROM postings WHERE kind = 'top_up' AND seq = 1 LOOP
    UPDATE postings SET reference = 'forged' WHERE account_id = line.account_id AND seq = 1;
  END LOOP;
  FOR line IN
    SELECT account_id, transaction, seq, kind = 'burn' AS burns, bool_or(kind = 'usage') AS is_usage,
           string_agg(said_of_posting(kind, source, destination, amount, effective_at, reference, reason, actor,
                                      grant_id, reverses), ''::bytea ORDER BY postings.line) AS said
    FROM postings GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4
  LOOP
    chain := chained(chain, chain_link(line.account_id, line.transaction, CASE WHEN line.is_usage THEN (
      SELECT string_agg(said_of_charge(digest, amount, cost), ''::bytea ORDER BY position)
      FROM charges WHERE charges.account_id = line.account_id AND charges.transaction = line.transaction
    ) ELSE line.said END));
    UPDATE postings SET chain = REWRITE.chain FROM (SELECT chain) AS REWRITE
    WHERE account_id = line.account_id AND seq = line.seq AND (kind = 'burn') = line.burns;
    UPDATE balances SET chain = REWRITE.chain FROM (SELECT chain) AS REWRITE WHERE account_id = line.account_id;
  END LOOP;
  DELETE FROM proved;
END $$
"""


async def kept(conn: Connection) -> list[bytes]:
    return [line async for line in heads.lines(conn)]


async def test_a_chain_written_anew_is_shown_by_heads_of_before(relay_pool) -> None:
    account = await moved(relay_pool)
    async with relay_pool.connection() as conn:
        before = await kept(conn)
        assert [line.split()[0].decode() for line in before] == [account]
        assert await heads.digest(conn) == hashlib.sha256(b"".join(before)).hexdigest()
        assert await heads.changed(conn, before) == []
        await unguarded(conn)
        await conn.execute(REWRITE)
        assert await proof.differences(conn) == []
        assert await heads.changed(conn, before) == [
            f"Transaction number 7 of account {account} is not what it was when its head was kept."
        ]
        assert await heads.changed(conn, [*await kept(conn), b"nonsense\n"]) == ["Line 2 is no head."]


def test_the_command_keeps_and_compares_heads(server: Server, fresh_database: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        process = billing(*arguments, settings={"BILLING_DATABASE_URL": fresh_database}, stdout=-1, stderr=-1)
        out, _ = process.communicate(timeout=60)
        return process.returncode, out

    assert run("accounts", "create", "Ada", "--id", "acct_ada")[0] == 0
    assert run("top-up", "acct_ada", "5", "--reference", "wire")[0] == 0
    file = tmp_path / "heads"
    code, said = run("verify", "--account", "acct_ada", "--heads", str(file))
    assert code == 0, said
    assert "Account acct_ada is right." in said
    assert file.read_text().startswith("acct_ada 1 ")
    assert hashlib.sha256(file.read_bytes()).hexdigest() in said
    assert run("top-up", "acct_ada", "7", "--reference", "wire-2")[0] == 0
    code, said = run("verify", "--incremental", "--against", str(file))
    assert code == 0, said
    assert "Nothing has changed before the heads" in said
    file.write_text(file.read_text().replace("ada 1 ", "ada 2 "))
    code, said = run("verify", "--against", str(file))
    assert code == 1
    assert "Transaction number 2 of account acct_ada is not what it was" in said
    assert run("verify", "--account", "acct_nobody")[0] == 1
    code, said = run("audit", "--json")
    assert [act in said for act in ('"action": "top_up"', '"action": "account.create"', '"actor": "cli"')] == [True] * 3
    assert run("events", "drop", "--before", "2026-01")[0] == 0
    assert run("events", "drop", "--before", "2199-01")[0] == 2
