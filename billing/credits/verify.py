"""The proof of the credits (rules.md Ledger 3): grants are sums of postings, and paid in the order they are to be.

A grant has its postings in the book `credits`: it is given, it pays usage, and what remains expires or is taken back.
"""

from billing.proving import query

BALANCES = """
SELECT format('Account %s has credits of %s, but its grants have %s and its postings %s.', account_id, credits,
              coalesce(granted, 0), coalesce(moved.posted, 0)) AS difference
FROM balances
LEFT JOIN (SELECT account_id, sum(remaining) AS granted FROM grants GROUP BY account_id) AS granted USING (account_id)
LEFT JOIN (
  SELECT account_id, sum(CASE WHEN destination = 'credits' THEN amount ELSE -amount END) AS posted
  FROM postings
  WHERE 'credits' IN (source, destination)
  GROUP BY account_id
) AS moved USING (account_id)
WHERE (credits, credits) <> (coalesce(granted, 0), coalesce(moved.posted, 0))
"""

GRANTS = """
WITH posted AS (
  SELECT account_id, grant_id,
         coalesce(sum(amount) FILTER (WHERE kind = 'grant' AND reverses IS NULL), 0) AS given,
         coalesce(sum(amount) FILTER (WHERE kind = 'burn'), 0) AS burnt,
         coalesce(sum(amount) FILTER (WHERE kind = 'expiry'), 0) AS expired,
         coalesce(sum(amount) FILTER (WHERE kind = 'grant' AND reverses IS NOT NULL), 0) AS voided
  FROM postings
  WHERE grant_id IS NOT NULL
  GROUP BY account_id, grant_id
)
SELECT format('Grant %s of account %s (%s) says amount %s, used %s, remaining %s; posted are %s given, %s burnt, '
              '%s expired, %s taken back.', grant_id, account_id, coalesce(state, 'missing'), amount, used, remaining,
              coalesce(given, 0), coalesce(burnt, 0), coalesce(expired, 0), coalesce(voided, 0)) AS difference
FROM posted
FULL JOIN (
  SELECT account_id, id AS grant_id, state, amount, used, remaining FROM grants
) AS grants USING (account_id, grant_id)
WHERE (used, remaining) IS DISTINCT FROM (coalesce(burnt, 0), coalesce(given - burnt - expired - voided, 0))
   OR coalesce(given, 0) NOT IN (amount, CASE WHEN state IN ('pending', 'voided') THEN 0 ELSE amount END)
   OR (state = 'pending') AND given IS NOT NULL
   OR coalesce(expired, 0) > 0 AND state <> 'expired'
   OR coalesce(voided, 0) > 0 AND state <> 'voided'
"""

# Grants begin and expire at their time and not again; nobody forgets to look.
DUE = """
SELECT format('Grant %s of account %s begins or expires at %s, but its account is looked at at %s.', id, account_id,
              due_at, coalesce(credits_due_at::text, 'no time')) AS difference
FROM (
  SELECT account_id, id, CASE state WHEN 'pending' THEN effective_at ELSE expires_at END AS due_at
  FROM grants
  WHERE state IN ('pending', 'active')
) AS live
JOIN balances USING (account_id)
WHERE due_at IS NOT NULL AND (credits_due_at IS NULL OR credits_due_at > due_at)
UNION ALL
SELECT format('Grant %s of account %s paid usage at %s, after it had expired at %s.', id, account_id, posted_at,
              expires_at)
FROM postings JOIN grants USING (account_id)
WHERE kind = 'burn' AND grants.id = grant_id AND posted_at > expires_at
"""

# A grant is there from the transaction that gave it until before the one that took its last part, and never again. In
# between, no transaction leaves usage to the wallet, and none takes from a grant that is to be used later.
BURN_DOWN = """
WITH lives AS (
  SELECT grants.account_id, id, begun, CASE WHEN remaining = 0 THEN ended END AS ended,
         row_number() OVER (
           PARTITION BY grants.account_id ORDER BY priority, expires_at NULLS LAST, created_at, id
         ) AS place
  FROM grants
  JOIN (
    SELECT account_id, grant_id, min(seq) AS begun, max(seq) AS ended
    FROM postings
    WHERE grant_id IS NOT NULL
    GROUP BY account_id, grant_id
  ) AS posted ON posted.account_id = grants.account_id AND grant_id = id
),
moved AS (
  SELECT account_id, transaction, seq,
         sum(amount * ((destination = 'credits')::integer - (source = 'credits')::integer)) AS change,
         coalesce(sum(amount) FILTER (WHERE kind = 'usage' AND source = 'wallet'), 0) AS used,
         coalesce(sum(amount) FILTER (WHERE kind = 'burn'), 0) AS burnt
  FROM postings
  WHERE account_id IN (SELECT account_id FROM grants)
  GROUP BY account_id, transaction, seq
),
paid AS (
  SELECT *, sum(change) OVER (PARTITION BY account_id ORDER BY seq) AS unspent FROM moved
)
SELECT format('Transaction %s of account %s took %s of usage and %s of credits, and left credits of %s.',
              transaction, account_id, used, burnt, unspent) AS difference
FROM paid
WHERE burnt > used OR (burnt < used AND unspent <> 0)
UNION ALL
SELECT format('Transaction %s of account %s took %s of grant %s before grant %s was used up.', transaction,
              burns.account_id, amount, grant_id, lives.id)
FROM postings AS burns
JOIN lives AS own ON own.account_id = burns.account_id AND own.id = grant_id
JOIN lives ON lives.account_id = burns.account_id AND lives.place < own.place
WHERE kind = 'burn' AND seq >= lives.begun AND (lives.ended IS NULL OR seq < lives.ended)
"""

PARTS = (query(BALANCES), query(GRANTS), query(DUE), query(BURN_DOWN))
