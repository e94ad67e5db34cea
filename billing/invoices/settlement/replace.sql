-- An invoice that stands for a voided one: the next number, new details, all else the same; its residue and its tax are
-- what was posted for the first one. The series is locked as in finalize.sql.

WITH taken AS (
  INSERT INTO invoice_series AS series (series, last_sequence)
  SELECT %(prefix)s || '-' || extract(year FROM clock_timestamp() AT TIME ZONE 'UTC'), 1
  ON CONFLICT (series) DO UPDATE SET last_sequence = series.last_sequence + 1
  RETURNING series, last_sequence AS sequence
),
invoice AS (
  INSERT INTO invoices (
    id, replaces, series, sequence, number, issuer, customer, finalized_at,
    account_id, period_start, period_end, time_zone, currency, statement, amount_exact, subtotal, tax, total, residue,
    transaction, anchor_day, taxes, tax_included, tax_transaction, credits_used, due_date
  )
  SELECT %(new_id)s, id, taken.series, taken.sequence,
         taken.series || '-' || lpad(taken.sequence::text, greatest(6, length(taken.sequence::text)), '0'),
         %(issuer)s::jsonb, customer.details, clock_timestamp(),
         account_id, period_start, period_end, time_zone, currency, statement, amount_exact, subtotal, tax, total,
         residue, transaction, anchor_day, taxes, tax_included, tax_transaction, credits_used, due_date
  FROM invoices
  CROSS JOIN taken
  CROSS JOIN LATERAL (
    SELECT jsonb_build_object(
      'name', name, 'email', email, 'address', address, 'tax_id', tax_id, 'country', country
    ) AS details
    FROM accounts
    WHERE accounts.id = account_id
  ) AS customer
  WHERE invoices.id = %(invoice_id)s
  RETURNING id, replaces
)
INSERT INTO invoice_lines
SELECT (jsonb_populate_record(line, jsonb_build_object('invoice_id', invoice.id))).*
FROM invoice_lines AS line, invoice
WHERE invoice_id = replaces
