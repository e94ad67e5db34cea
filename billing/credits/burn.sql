-- What a transaction's usage takes from its accounts' credits, whose rows it has locked, as further lines of it.
-- Laid end to end, the usage postings and the grants in force are two rulers: where a piece of one lies beside a piece
-- of the other, that grant pays that posting. The burn is a link of its own in the account's chain, after the usage's.

WITH used AS (
  SELECT account_id, line, seq, balance, effective_at, amount, sum(amount) OVER lines AS upto
  FROM postings
  WHERE account_id = ANY(%(account_ids)s) AND transaction = %(transaction)s AND kind = 'usage' AND source = 'wallet'
  WINDOW lines AS (PARTITION BY account_id ORDER BY line)
),
credit AS (
  SELECT account_id, id AS grant_id, remaining, sum(remaining) OVER burn_down AS upto
  FROM grants
  WHERE account_id = ANY(%(account_ids)s) AND state = 'active'
  WINDOW burn_down AS (PARTITION BY account_id ORDER BY priority, expires_at NULLS LAST, created_at, id)
),
burnt AS (
  SELECT used.*, grant_id, credit.upto AS place,
         least(used.upto, credit.upto) - greatest(used.upto - amount, credit.upto - remaining) AS part
  FROM used JOIN credit USING (account_id)
  WHERE least(used.upto, credit.upto) > greatest(used.upto - amount, credit.upto - remaining)
),
paid AS (
  UPDATE grants
  SET remaining = remaining - part,
      used = used + part,
      state = CASE WHEN remaining = part THEN 'used' ELSE 'active' END
  FROM (SELECT account_id, grant_id, sum(part) AS part FROM burnt GROUP BY account_id, grant_id) AS parts
  WHERE grants.account_id = parts.account_id AND grants.id = grant_id
),
last AS (
  SELECT account_id, max(line) AS line
  FROM postings
  WHERE account_id = ANY(%(account_ids)s) AND transaction = %(transaction)s
  GROUP BY account_id
),
lines AS (
  SELECT account_id, last.line + row_number() OVER (PARTITION BY account_id ORDER BY burnt.line, place) AS line, seq,
         part, balance, effective_at, grant_id
  FROM burnt JOIN last USING (account_id)
),
account AS (
  UPDATE balances
  SET credits = credits - part, chain = chained(chain, link)
  FROM (
    SELECT account_id, sum(part) AS part, chain_link(account_id, %(transaction)s, string_agg(
      said_of_posting('burn', 'credits', 'wallet', part, effective_at, NULL, NULL, NULL, grant_id, NULL), ''::bytea
      ORDER BY line
    )) AS link
    FROM lines
    GROUP BY account_id
  ) AS parts
  WHERE balances.account_id = parts.account_id
  RETURNING balances.account_id, chain
)
INSERT INTO postings (
  account_id, transaction, line, seq, kind, source, destination, amount, balance, effective_at, grant_id, chain
)
SELECT account_id, %(transaction)s, line, seq, 'burn', 'credits', 'wallet', part, balance, effective_at, grant_id, chain
FROM lines JOIN account USING (account_id)
