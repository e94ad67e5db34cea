-- What has begun or expired by now of accounts whose rows are locked: one transaction for each that has any. It also
-- says anew when to look again. A grant's row is only ever changed under the lock of its account's balance.

WITH number AS (
  SELECT nextval('transaction_numbers') AS transaction
),
live AS (
  SELECT *, state = 'pending' AND effective_at <= moment AS begins, coalesce(expires_at <= moment, false) AS ends
  FROM grants, coalesce(%(now)s::timestamptz, statement_timestamp()) AS moment
  WHERE account_id = ANY(%(account_ids)s) AND state IN ('pending', 'active')
),
changed AS (
  UPDATE grants
  SET state = CASE WHEN ends THEN 'expired' ELSE 'active' END,
      remaining = CASE WHEN ends THEN 0 ELSE live.amount END
  FROM live
  WHERE grants.account_id = live.account_id AND grants.id = live.id AND (begins OR ends)
),
moves AS (
  SELECT account_id, id AS grant_id, 'grant' AS kind,
         CASE category WHEN 'paid' THEN 'cash' ELSE 'promotions' END AS source, 'credits' AS destination,
         amount, effective_at, reference, reason, actor
  FROM live
  WHERE begins
  UNION ALL
  SELECT account_id, id, 'expiry', 'credits', CASE category WHEN 'paid' THEN 'breakage' ELSE 'promotions' END,
         CASE WHEN begins THEN amount ELSE remaining END, expires_at, NULL, NULL, NULL
  FROM live
  WHERE ends
),
lines AS (
  SELECT account_id, transaction,
         row_number() OVER (PARTITION BY account_id ORDER BY moves.effective_at, grant_id) AS line,
         kind, source, destination, amount, greatest(moves.effective_at, open_from) AS effective_at,
         reference, reason, actor, grant_id
  FROM moves JOIN balances USING (account_id), number
),
links AS (
  SELECT account_id, chain_link(account_id, transaction, string_agg(said_of_posting(
    kind, source, destination, amount, effective_at, reference, reason, actor, grant_id, NULL
  ), ''::bytea ORDER BY line)) AS link
  FROM lines
  GROUP BY account_id, transaction
),
sums AS (
  SELECT account_id,
         coalesce(sum(CASE WHEN begins AND NOT ends THEN amount WHEN ends AND NOT begins THEN -remaining END), 0)
           AS change,
         coalesce(bool_or(begins OR ends), false) AS moved,
         min(CASE WHEN effective_at > moment THEN effective_at WHEN expires_at > moment THEN expires_at END) AS due_at
  FROM unnest(%(account_ids)s) AS locked(account_id) LEFT JOIN live USING (account_id)
  GROUP BY account_id
),
account AS (
  UPDATE balances
  SET posted = posted + change,
      credits = credits + change,
      transactions = transactions + moved::integer,
      credits_due_at = due_at,
      chain = chained(chain, link)
  FROM sums LEFT JOIN links USING (account_id)
  WHERE balances.account_id = sums.account_id
  RETURNING balances.account_id, posted, transactions AS seq, chain
)
INSERT INTO postings (
  account_id, transaction, line, seq, kind, source, destination, amount, balance, effective_at, reference, reason,
  actor, grant_id, chain
)
SELECT account_id, transaction, line, seq, kind, source, destination, amount, posted, effective_at, reference, reason,
       actor, grant_id, chain
FROM lines JOIN account USING (account_id)
