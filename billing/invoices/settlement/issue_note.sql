-- A credit note with its number and lines in one statement. The row of the series is locked here and until the commit, as
-- for invoices: a number that is not committed was never taken. Issuer and customer are those of the invoice.

WITH taken AS (
  INSERT INTO invoice_series AS series (series, last_sequence)
  SELECT %(prefix)s || '-' || extract(year FROM clock_timestamp() AT TIME ZONE 'UTC'), 1
  ON CONFLICT (series) DO UPDATE SET last_sequence = series.last_sequence + 1
  RETURNING series, last_sequence AS sequence
),
note AS (
  INSERT INTO credit_notes (
    account_id, id, invoice_id, series, sequence, number, currency, issuer, customer, subtotal, taxes, tax,
    tax_included, total, settle, reason, actor, transaction, tax_transaction, issued_at
  )
  SELECT account_id, %(id)s, invoices.id, taken.series, taken.sequence,
         taken.series || '-' || lpad(taken.sequence::text, greatest(6, length(taken.sequence::text)), '0'),
         currency, issuer, customer, %(subtotal)s, %(taxes)s::jsonb, %(tax)s, %(tax_included)s, %(total)s, %(settle)s,
         %(reason)s, %(actor)s, %(transaction)s, %(tax_transaction)s, clock_timestamp()
  FROM invoices, taken
  WHERE invoices.id = %(invoice_id)s
  RETURNING account_id, id
)
INSERT INTO credit_note_lines (account_id, note_id, invoice_line, quantity, amount)
SELECT account_id, id, position, quantity, amount
FROM note, jsonb_to_recordset(%(lines)s::jsonb) AS line(position integer, quantity bigint, amount numeric)
