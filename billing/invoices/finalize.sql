-- An invoice, its lines and the end of its period, in one statement: all of it or nothing.

WITH invoice AS (
  INSERT INTO invoices (
    id, account_id, period_start, period_end, time_zone, series, sequence, number, currency, issuer, customer,
    statement, amount_exact, subtotal, tax, total, residue, transaction, finalized_at
  )
  VALUES (
    %(id)s, %(account_id)s, %(period_start)s, %(period_end)s, %(time_zone)s, %(series)s, %(sequence)s, %(number)s,
    %(currency)s, %(issuer)s::jsonb, %(customer)s::jsonb, %(statement)s::jsonb, %(amount_exact)s, %(subtotal)s,
    %(tax)s, %(total)s, %(residue)s, %(transaction)s, %(finalized_at)s
  )
  RETURNING id, account_id
),
lines AS (
  INSERT INTO invoice_lines (
    account_id, invoice_id, position, model, dimension, variant, quantity, unit, unit_size, official_unit_price,
    multiplier, entry, price_ids, amount_exact, amount, events, first_event_at, last_event_at, evidence
  )
  SELECT invoice.account_id, invoice.id, line.position, model, dimension, variant, quantity, unit, unit_size, official,
         multiplier, entry, price_ids, amount_exact, amount, events, first_at, last_at, decode(evidence, 'base64')
  FROM invoice, jsonb_to_recordset(%(lines)s::jsonb) AS line(
    position integer, model text, dimension text, variant text, quantity bigint, unit text, unit_size bigint,
    official numeric, multiplier numeric, entry text, price_ids integer[], amount_exact numeric, amount numeric,
    events bigint, first_at timestamptz, last_at timestamptz, evidence text
  )
)
UPDATE balances
SET open_from = %(period_end)s
WHERE account_id = %(account_id)s
