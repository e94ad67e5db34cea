"""The proof of the ledger (rules.md Ledger 3): balances are sums of postings, and postings those of charges.

What an account has is in two of its books, `wallet` and `credits`.
"""

from billing.proving import query

BALANCES = """
SELECT format('Account %s has a balance of %s, but its postings sum up to %s.', account_id, posted, total)
  AS difference
FROM (
  SELECT account_id, balances.posted,
         coalesce(max(booked.balance) FILTER (WHERE booked.seq = proved_before.seq), 0) + coalesce(sum(
           amount * ((destination IN ('wallet', 'credits'))::integer - (source IN ('wallet', 'credits'))::integer)
         ) FILTER (WHERE booked.seq IS DISTINCT FROM proved_before.seq), 0) AS total
  FROM balances
  LEFT JOIN proved_before USING (account_id)
  LEFT JOIN examined_postings AS booked USING (account_id)
  GROUP BY account_id, balances.posted
) AS summed
WHERE posted <> total
"""

# Each transaction goes on from the one before; what goes on from a proved one is right from the beginning.
SEQUENCE = """
WITH changes AS (
  SELECT account_id, transaction, seq, min(balance) AS balance, max(balance) AS other_balance,
         sum(amount * ((destination IN ('wallet', 'credits'))::integer - (source IN ('wallet', 'credits'))::integer))
           AS change
  FROM examined_postings
  GROUP BY account_id, transaction, seq
),
running AS (
  SELECT *, coalesce(lag(seq) OVER by_seq, 0) + 1 AS expected_seq,
         coalesce(lag(balance) OVER by_seq, 0) + change AS expected_balance
  FROM changes
  WINDOW by_seq AS (PARTITION BY account_id ORDER BY seq)
)
SELECT format('Transaction %s of account %s is number %s with a balance of %s; it should be number %s with %s.',
              transaction, account_id, seq, balance, expected_seq, expected_balance) AS difference
FROM running
WHERE (seq <> expected_seq OR balance <> expected_balance OR other_balance <> balance)
  AND NOT EXISTS (
    SELECT FROM proved_before WHERE proved_before.account_id = running.account_id AND proved_before.seq = running.seq
  )
UNION ALL
SELECT format('Account %s counts %s transactions, but the last one booked is number %s.', account_id, transactions,
              booked)
FROM (
  SELECT account_id, transactions, coalesce(max(seq), 0) AS booked
  FROM balances LEFT JOIN examined_postings USING (account_id)
  GROUP BY account_id, transactions
) AS counted
WHERE transactions <> booked
"""

LEGS = """
SELECT format('Transaction %s of account %s books %s from %s to %s.', transaction, account_id, kind, source,
              destination) AS difference
FROM examined_postings
WHERE (kind = 'usage' AND (source, destination) NOT IN (('wallet', 'revenue'), ('revenue', 'wallet')))
   OR (kind = 'cost' AND (source, destination) NOT IN (('upstreams', 'costs'), ('costs', 'upstreams')))
   OR (kind = 'top_up' AND (source, destination) NOT IN (('cash', 'wallet'), ('wallet', 'cash')))
   OR (kind = 'adjustment' AND (source, destination) NOT IN (('adjustments', 'wallet'), ('wallet', 'adjustments')))
   OR (kind = 'rounding' AND (source, destination) NOT IN (('rounding', 'wallet'), ('wallet', 'rounding')))
   OR (kind = 'tax' AND ('taxes' NOT IN (source, destination)
                         OR NOT ARRAY[source, destination] && ARRAY['wallet', 'revenue']))
   OR (kind = 'payment' AND (source, destination) NOT IN (('cash', 'wallet'), ('wallet', 'cash')))
   OR (kind = 'credit_note' AND NOT (source IN ('revenue', 'taxes') AND destination IN ('wallet', 'cash')))
   OR (kind = 'grant' AND reverses IS NULL
       AND (source, destination) NOT IN (('cash', 'credits'), ('promotions', 'credits')))
   OR (kind = 'grant' AND reverses IS NOT NULL
       AND (source, destination) NOT IN (('credits', 'cash'), ('credits', 'promotions')))
   OR (kind = 'burn' AND (source, destination) <> ('credits', 'wallet'))
   OR (kind = 'expiry' AND (source, destination) NOT IN (('credits', 'breakage'), ('credits', 'promotions')))
"""

# What takes something back has its kind and its legs swapped, comes after it, and together never takes more.
REVERSALS = """
SELECT format('Transaction %s of account %s is reversed by %s (%s from %s to %s), but booked only %s to be reversed.',
              reverses, account_id, reversed, kind, source, destination, coalesce(booked, 0)) AS difference
FROM (
  SELECT account_id, reverses, kind, source, destination, grant_id, min(seq) AS seq, sum(amount) AS reversed
  FROM postings
  WHERE reverses IS NOT NULL
  GROUP BY account_id, reverses, kind, source, destination, grant_id
) AS reversals
CROSS JOIN LATERAL (
  SELECT sum(amount) AS booked
  FROM postings AS original
  WHERE original.account_id = reversals.account_id AND original.transaction = reversals.reverses
    AND original.kind = reversals.kind AND original.grant_id IS NOT DISTINCT FROM reversals.grant_id
    AND original.source = reversals.destination AND original.destination = reversals.source
    AND original.seq < reversals.seq AND original.reverses IS NULL
) AS originals
WHERE reversed > coalesce(booked, 0)
"""

LINES = """
SELECT format('Transaction %s of account %s has %s postings, numbered from %s to %s.',
              transaction, account_id, count(*), min(line), max(line)) AS difference
FROM examined_postings
GROUP BY account_id, transaction
HAVING min(line) <> 1 OR max(line) <> count(*)
"""

POSTED = """
SELECT format('Transaction %s of account %s posted %s and a cost of %s, but its events were charged %s and cost %s.',
              transaction, account_id, coalesce(posted, 0), coalesce(posted_cost, 0), coalesce(charged, 0),
              coalesce(cost, 0)) AS difference
FROM (
  SELECT account_id, transaction,
         coalesce(sum(CASE source WHEN 'wallet' THEN amount ELSE -amount END) FILTER (WHERE kind = 'usage'), 0)
           AS posted,
         coalesce(sum(CASE source WHEN 'upstreams' THEN amount ELSE -amount END) FILTER (WHERE kind = 'cost'), 0)
           AS posted_cost
  FROM examined_postings AS booked
  WHERE kind IN ('usage', 'cost') AND NOT EXISTS (
    SELECT FROM proved_before WHERE proved_before.account_id = booked.account_id AND proved_before.seq = booked.seq
  )
  GROUP BY 1, 2
) AS posted
FULL JOIN (
  SELECT account_id, transaction, sum(amount) AS charged, coalesce(sum(cost), 0) AS cost
  FROM examined_charges
  GROUP BY 1, 2
) AS charged USING (account_id, transaction)
WHERE (posted, posted_cost) IS DISTINCT FROM (charged, cost)
"""

POSTED_BY_QUARTER_HOUR = """
SELECT format('Account %s was posted %s for usage billed at %s; the roll-ups say %s.',
              account_id, coalesce(posted, 0), billed, coalesce(used, 0)) AS difference
FROM (
  SELECT account_id, effective_at AS billed, sum(CASE source WHEN 'wallet' THEN amount ELSE -amount END) AS posted
  FROM postings
  WHERE kind = 'usage'
  GROUP BY 1, 2
) AS posted
FULL JOIN (
  SELECT account_id, billed, sum(amount) AS used FROM usage_rollups GROUP BY 1, 2
) AS used USING (account_id, billed)
WHERE posted IS DISTINCT FROM used
"""

# What was hashed when a transaction was booked is what is booked; each hash goes on from the one before.
CHAIN = """
WITH said AS (
  SELECT account_id, transaction, seq, kind = 'burn' AS burns, bool_or(kind = 'usage') AS is_usage,
         array_agg(DISTINCT chain) AS chains, string_agg(said_of_posting(
           kind, source, destination, amount, effective_at, reference, reason, actor, grant_id, reverses
         ), ''::bytea ORDER BY line) AS posted
  FROM examined_postings
  GROUP BY account_id, transaction, seq, kind = 'burn'
),
used AS (
  SELECT account_id, transaction, string_agg(said_of_charge(digest, amount, cost), ''::bytea ORDER BY position)
    AS charged
  FROM examined_charges
  GROUP BY account_id, transaction
),
links AS (
  SELECT account_id, transaction, seq, burns, chains, lag(chains[1]) OVER by_seq AS before,
         chain_link(account_id, transaction, CASE WHEN is_usage THEN charged ELSE posted END) AS link
  FROM said LEFT JOIN used USING (account_id, transaction)
  WINDOW by_seq AS (PARTITION BY account_id ORDER BY seq, burns)
)
SELECT format('Transaction %s of account %s (number %s) is not what its place in the chain was made of.',
              transaction, account_id, seq) AS difference
FROM links
WHERE (
    cardinality(chains) > 1
    OR chains[1] IS DISTINCT FROM chained(before, link) AND (chains[1] IS NOT NULL OR before IS NOT NULL)
  )
  AND NOT EXISTS (
    SELECT FROM proved_before WHERE proved_before.account_id = links.account_id AND proved_before.seq = links.seq
  )
UNION ALL
SELECT format('The chain of account %s ends with %s, but its last transaction with %s.', account_id,
              coalesce(left(encode(chain, 'hex'), 12), 'nothing'),
              coalesce(left(encode(last, 'hex'), 12), 'nothing'))
FROM balances
LEFT JOIN LATERAL (
  SELECT postings.chain AS last
  FROM postings
  WHERE postings.account_id = balances.account_id
  ORDER BY seq DESC, line DESC
  LIMIT 1
) AS newest ON true
WHERE chain IS DISTINCT FROM last
"""

# What an earlier proof saw last is there still, and the same.
PROVED = """
SELECT format('Transaction number %s of account %s is not what it was when it was proved.', proved.seq,
              proved.account_id) AS difference
FROM proved
LEFT JOIN LATERAL (
  SELECT line, postings.chain
  FROM postings
  WHERE postings.account_id = proved.account_id AND postings.seq = proved.seq
  ORDER BY line DESC
  LIMIT 1
) AS kept ON true
WHERE line IS NULL OR kept.chain IS DISTINCT FROM proved.chain
"""

SUMS = (query(BALANCES),)
CHAINED = (query(CHAIN), query(PROVED))
NUMBERS = (query(SEQUENCE), query(LINES), query(LEGS))
REVERSED = (query(REVERSALS),)
USAGE = (query(POSTED),)
QUARTER_HOURS = (query(POSTED_BY_QUARTER_HOUR),)
