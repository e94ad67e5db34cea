-- What the ledger took in the periods of some invoices: into revenue, rounding and taxes. Usage from the sums that every
-- posting of usage keeps in its own statement (`billing verify` proves them equal), the rest from the postings. Taxes that
-- prices contain come out of revenue. An invoice in the place of another has no postings: its period's are the other's.

SELECT coalesce(sum(used - taxes_of_revenue), 0) AS revenue, coalesce(sum(rounded), 0) AS rounding,
       coalesce(sum(taxed), 0) AS taxes,
       count(*) FILTER (
         WHERE (used, rounded, taxed, taxes_of_revenue)
               IS DISTINCT FROM (amount_exact, residue, tax + tax_included, tax_included)
       ) AS different
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
CROSS JOIN LATERAL (
  SELECT coalesce(sum(CASE 'taxes' WHEN destination THEN amount WHEN source THEN -amount END), 0) AS taxed,
         coalesce(sum(CASE 'revenue' WHEN source THEN amount WHEN destination THEN -amount END), 0) AS taxes_of_revenue
  FROM postings
  WHERE postings.account_id = invoices.account_id AND postings.transaction = tax_transaction
) AS taxes
WHERE id = ANY(%s) AND replaces IS NULL
