-- The invoices of a month by series: how many, their first and last numbers, and what they come to.

SELECT series, min(sequence) AS first, max(sequence) AS last, count(*) AS invoices, max(finalized_at) AS made_at,
       sum(amount_exact) AS amount_exact, sum(subtotal) AS subtotal, sum(tax) AS tax,
       sum(tax_included) AS tax_included, sum(total) AS total, sum(amount_due) AS amount_due, sum(residue) AS residue
FROM invoices
WHERE period_end > %(after)s AND period_end <= %(until)s
  AND to_char((period_end - interval '15 minutes') AT TIME ZONE time_zone, 'YYYY-MM') = %(label)s
GROUP BY series
ORDER BY series
