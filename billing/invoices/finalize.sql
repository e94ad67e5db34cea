-- An invoice with its number and lines, and the end of its period, in one statement. The row of the series is locked
-- here and until the commit: numbers have no gaps, because one that is not committed was never taken.

WITH taken AS (
  INSERT INTO invoice_series AS series (series, last_sequence)
  SELECT %(prefix)s || '-' || extract(year FROM clock_timestamp() AT TIME ZONE 'UTC'), 1
  ON CONFLICT (series) DO UPDATE SET last_sequence = series.last_sequence + 1
  RETURNING series, last_sequence AS sequence
),
invoice AS (
  INSERT INTO invoices (
    id, account_id, period_start, period_end, time_zone, series, sequence, number, currency, issuer, customer,
    statement, amount_exact, subtotal, tax, total, residue, transaction, anchor_day, taxes, tax_included,
    tax_transaction, credits_used, due_date, finalized_at
  )
  SELECT %(id)s, %(account_id)s, %(period_start)s, %(period_end)s, %(time_zone)s, series, sequence,
         series || '-' || lpad(sequence::text, greatest(6, length(sequence::text)), '0'), %(currency)s,
         %(issuer)s::jsonb, %(customer)s::jsonb, %(statement)s::jsonb, %(amount_exact)s, %(subtotal)s, %(tax)s,
         %(total)s, %(residue)s, %(transaction)s, %(anchor_day)s, %(taxes)s::jsonb, %(tax_included)s,
         %(tax_transaction)s, %(credits_used)s, %(due_date)s, clock_timestamp()
  FROM taken
  RETURNING id, account_id, period_end, number
),
lines AS (
  INSERT INTO invoice_lines (
    account_id, invoice_id, position, model, dimension, variant, quantity, unit, unit_size, official_unit_price,
    multiplier, entry, price_ids, amount_exact, amount, events, first_event_at, last_event_at, evidence,
    correction_start, correction_end
  )
  SELECT account_id, id, position, model, dimension, variant, quantity, unit, unit_size, official, multiplier, entry,
         price_ids, amount_exact, amount, events, first_at, last_at, decode(evidence, 'base64'),
         correction_start, correction_end
  FROM invoice, jsonb_to_recordset(%(lines)s::jsonb) AS line(
    position integer, model text, dimension text, variant text, quantity bigint, unit text, unit_size bigint,
    official numeric, multiplier numeric, entry text, price_ids integer[], amount_exact numeric, amount numeric,
    events bigint, first_at timestamptz, last_at timestamptz, evidence text,
    correction_start timestamptz, correction_end timestamptz
  )
)
UPDATE balances
SET open_from = period_end, period_ends_at = %(next_end)s
FROM invoice
WHERE balances.account_id = invoice.account_id
RETURNING number
