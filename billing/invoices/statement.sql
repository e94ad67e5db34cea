-- What happened to one account's wallet and credits around a period, besides usage, and what usage came before and after.
-- Reads the few postings that are not usage and the roll-ups of the open months: never charges (see README.md).

WITH last_invoice AS (
  SELECT period_end, (statement ->> 'closing')::numeric AS closing
  FROM invoices
  WHERE account_id = %(account)s AND period_start < %(start)s
  ORDER BY period_start DESC
  LIMIT 1
),
moves AS (
  SELECT kind, effective_at,
         amount * ((destination IN ('wallet', 'credits'))::integer - (source IN ('wallet', 'credits'))::integer)
           AS amount
  FROM postings
  WHERE account_id = %(account)s
    AND kind NOT IN ('usage', 'burn', 'cost')
    AND effective_at >= coalesce((SELECT period_end FROM last_invoice), '-infinity')
),
later_usage AS (
  SELECT coalesce(sum(amount), 0) AS amount
  FROM usage_rollups
  WHERE account_id = %(account)s AND billed >= %(end)s
),
earlier_usage AS (
  SELECT min(billed) AS billed, coalesce(sum(amount), 0) AS amount
  FROM usage_rollups
  WHERE account_id = %(account)s
    AND billed >= coalesce(%(open_from)s::timestamptz, '-infinity')
    AND billed < %(start)s
)
SELECT
  coalesce((SELECT closing FROM last_invoice), 0)
    + coalesce(sum(amount) FILTER (WHERE effective_at < %(start)s), 0)
    - (SELECT amount FROM earlier_usage) AS opening,
  coalesce(sum(amount) FILTER (
    WHERE kind = 'top_up' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS top_ups,
  coalesce(sum(amount) FILTER (
    WHERE kind = 'payment' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS payments,
  coalesce(sum(amount) FILTER (
    WHERE kind = 'credit_note' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS credit_notes,
  coalesce(sum(amount) FILTER (
    WHERE kind = 'grant' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS grants,
  -coalesce(sum(amount) FILTER (
    WHERE kind = 'expiry' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS expired,
  coalesce(sum(amount) FILTER (
    WHERE kind = 'adjustment' AND effective_at >= %(start)s AND effective_at < %(end)s), 0) AS adjustments,
  coalesce(sum(amount) FILTER (WHERE effective_at >= %(end)s), 0)
    - (SELECT amount FROM later_usage) AS later,
  (SELECT billed FROM earlier_usage) AS earlier_usage,
  (
    SELECT coalesce(sum(amount), 0)
    FROM postings
    WHERE account_id = %(account)s AND kind = 'burn' AND effective_at >= %(start)s AND effective_at < %(end)s
      AND grant_id IN (
        SELECT grant_id
        FROM postings
        WHERE account_id = %(account)s AND kind = 'grant' AND kind NOT IN ('usage', 'burn', 'cost')
          AND effective_at < %(end)s
      )
  ) AS credits_used
FROM moves
