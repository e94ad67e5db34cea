-- What any span of time did to what one account has, by the days that postings count from; usage and its rounding by the
-- quarter hour billed in. Begins at the last invoice before it, so it reads a few months at most, and no charges.

WITH last_invoice AS (
  SELECT period_end, (statement ->> 'closing')::numeric AS closing
  FROM invoices
  WHERE account_id = %(account)s AND period_end <= %(start)s
  ORDER BY period_start DESC
  LIMIT 1
),
moves AS (
  SELECT CASE kind WHEN 'rounding' THEN 'usage' ELSE kind END AS kind, effective_at AS at,
         amount * ((destination IN ('wallet', 'credits'))::integer - (source IN ('wallet', 'credits'))::integer)
           AS amount
  FROM postings
  WHERE account_id = %(account)s
    AND kind NOT IN ('usage', 'burn', 'cost')
    AND effective_at >= coalesce((SELECT period_end FROM last_invoice), '-infinity')
    AND effective_at < %(end)s
  UNION ALL
  SELECT 'usage', billed, -sum(amount)
  FROM usage_rollups
  WHERE account_id = %(account)s
    AND billed >= coalesce((SELECT period_end FROM last_invoice), '-infinity')
    AND billed < %(end)s
  GROUP BY billed
)
SELECT
  coalesce((SELECT closing FROM last_invoice), 0) + coalesce(sum(amount) FILTER (WHERE at < %(start)s), 0) AS opening,
  coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'top_up'), 0) AS top_ups,
  coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'payment'), 0) AS payments,
  coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'grant'), 0) AS grants,
  coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'credit_note'), 0) AS credit_notes,
  -coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'usage'), 0) AS usage,
  -coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'tax'), 0) AS tax,
  -coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'expiry'), 0) AS expired,
  coalesce(sum(amount) FILTER (WHERE at >= %(start)s AND kind = 'adjustment'), 0) AS adjustments
FROM moves
