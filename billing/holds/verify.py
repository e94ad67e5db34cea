"""The proof of holds and of what keys have spent (rules.md Ledger 3): each sum again, from what it is the sum of."""

from billing.proving import query

HELD = """
SELECT format('Account %s says that %s is held, but its open holds are %s.', account_id, held, coalesce(total, 0))
  AS difference
FROM balances
LEFT JOIN (
  SELECT account_id, sum(amount) AS total FROM holds WHERE state = 'open' GROUP BY account_id
) AS summed USING (account_id)
WHERE held <> coalesce(total, 0)
"""

OWNED = """
SELECT format('Hold %s is of account %s, which has no balance.', id, account_id) AS difference
FROM holds LEFT JOIN balances USING (account_id)
WHERE balances.account_id IS NULL
"""

CAPTURED = """
SELECT format('Hold %s of account %s was captured by event %s of source %s, which was never charged.',
              holds.id, holds.account_id, event_id, event_source) AS difference
FROM holds
LEFT JOIN charges ON charges.account_id = holds.account_id AND charges.source = event_source AND charges.id = event_id
WHERE state = 'captured' AND charges.id IS NULL
"""

KEY_SUMS = """
WITH expected AS (
  SELECT account_id, key_id, span, start, sum(amount) AS amount
  FROM usage_rollups
  JOIN balances USING (account_id)
  CROSS JOIN LATERAL (SELECT (slot AT TIME ZONE 'UTC')::date AS day) AS used
  CROSS JOIN LATERAL (
    VALUES ('day', day), ('month', date_trunc('month', day::timestamp)::date), ('total', date '1970-01-01')
  ) AS spans(span, start)
  WHERE counts_keys AND key_id <> ''
  GROUP BY account_id, key_id, span, start
  UNION ALL
  SELECT account_id, key_id, 'held', date '1970-01-01', sum(amount)
  FROM holds
  JOIN balances USING (account_id)
  WHERE counts_keys AND key_id IS NOT NULL AND state = 'open'
  GROUP BY account_id, key_id
)
SELECT format('Key %s of account %s counts %s (%s from %s on), but it is %s.', key_id, account_id,
              coalesce(key_sums.amount, 0), span, start, coalesce(expected.amount, 0)) AS difference
FROM expected FULL JOIN key_sums USING (account_id, key_id, span, start)
WHERE coalesce(key_sums.amount, 0) <> coalesce(expected.amount, 0)
"""

PARTS = (query(HELD), query(OWNED), query(CAPTURED), query(KEY_SUMS))
