-- What the ledger took in the periods of some invoices: usage, from the sums that every posting of usage keeps in its own
-- statement (`billing verify` proves them equal), and rounding, from the postings.

SELECT coalesce(sum(used), 0) AS usage, coalesce(sum(rounded), 0) AS rounding,
       count(*) FILTER (WHERE used <> amount_exact OR rounded <> residue) AS different
FROM invoices
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount), 0) AS used
  FROM usage_rollups
  WHERE usage_rollups.account_id = invoices.account_id AND billed >= period_start AND billed < period_end
) AS usage
CROSS JOIN LATERAL (
  SELECT coalesce(sum(CASE 'rounding' WHEN destination THEN amount WHEN source THEN -amount END), 0) AS rounded
  FROM postings
  WHERE postings.account_id = invoices.account_id AND postings.transaction = invoices.transaction
) AS rounding
WHERE id = ANY(%s) AND replaces IS NULL
