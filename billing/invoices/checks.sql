-- What must hold between invoices, their lines and the ledger. Each statement answers a sentence for each row that is
-- wrong; no rows, no fault. Run by verify.py, which compares the lines with the roll-ups by itself.

-- A line is rounded once, half away from zero (rules.md Invoices 3).
SELECT format('Invoice %s, line %s: %s is not %s rounded to cents.', number, position, trim_scale(line.amount),
              trim_scale(line.amount_exact)) AS difference
FROM invoice_lines AS line JOIN invoices ON invoices.id = invoice_id
WHERE line.amount <> round(line.amount_exact, 2)
ORDER BY number, position;

-- Totals are sums of lines.
SELECT format('Invoice %s: says %s exact and %s rounded, but its lines sum to %s and %s.', number,
              trim_scale(amount_exact), trim_scale(subtotal), trim_scale(lines.exact), trim_scale(lines.rounded))
FROM invoices
CROSS JOIN LATERAL (
  SELECT coalesce(sum(line.amount_exact), 0) AS exact, coalesce(sum(line.amount), 0) AS rounded
  FROM invoice_lines AS line
  WHERE line.account_id = invoices.account_id AND invoice_id = invoices.id
) AS lines
WHERE amount_exact <> lines.exact OR subtotal <> lines.rounded
ORDER BY number;

-- What is invoiced is what the ledger took for usage in the period.
SELECT format('Invoice %s: %s of usage is invoiced, but %s was posted in its period.', number,
              trim_scale(amount_exact), trim_scale(posted.amount))
FROM invoices
JOIN LATERAL (
  SELECT coalesce(sum(CASE source WHEN 'wallet' THEN amount ELSE -amount END), 0) AS amount
  FROM postings
  WHERE postings.account_id = invoices.account_id
    AND kind = 'usage' AND effective_at >= period_start AND effective_at < period_end
) AS posted ON posted.amount <> amount_exact
ORDER BY number;

-- Usage of closed time is on an invoice.
SELECT format('Account %s: %s of usage up to %s is in closed time but on no invoice.', account_id,
              trim_scale(sum(amount)), max(billed))
FROM usage_rollups JOIN balances USING (account_id)
WHERE billed < open_from
  AND NOT EXISTS (
    SELECT FROM invoices
    WHERE invoices.account_id = usage_rollups.account_id AND billed >= period_start AND billed < period_end
  )
GROUP BY account_id
HAVING sum(amount) <> 0
ORDER BY account_id;

-- Periods of an account follow each other, and all are closed. (What stands for another invoice says what that one says,
-- also of postings: settlement/verify.py.)
SELECT format('Invoice %s: its period begins before the one of %s ends.', number, previous)
FROM (
  SELECT number, period_start, lag(number) OVER periods AS previous, lag(period_end) OVER periods AS previous_end
  FROM invoices
  WHERE replaces IS NULL
  WINDOW periods AS (PARTITION BY account_id ORDER BY period_start)
) AS chained
WHERE period_start < previous_end
ORDER BY number;

SELECT format('Invoice %s: its period until %s is not closed.', number, period_end)
FROM invoices JOIN balances USING (account_id)
WHERE open_from IS NULL OR open_from < period_end
ORDER BY number;

-- Taxes are the sums of their rates; an invoice's is posted in its period, and nothing else is.
SELECT format('Invoice %s: says taxes of %s and %s within, but its rates come to %s and %s.', number, trim_scale(tax),
              trim_scale(tax_included), trim_scale(rates.added), trim_scale(rates.included))
FROM invoices
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount) FILTER (WHERE NOT inclusive), 0) AS added,
         coalesce(sum(amount) FILTER (WHERE inclusive), 0) AS included
  FROM jsonb_to_recordset(taxes) AS rate(amount numeric, inclusive boolean)
) AS rates
WHERE (tax, tax_included) IS DISTINCT FROM (rates.added, rates.included) OR tax <> 0 AND tax_included <> 0
ORDER BY number;

SELECT format('Invoice %s: its tax %s is not posted as it says.', number, trim_scale(tax + tax_included))
FROM invoices
LEFT JOIN postings
  ON postings.account_id = invoices.account_id AND postings.transaction = tax_transaction
  AND kind = 'tax' AND reference = invoices.id AND effective_at >= period_start AND effective_at < period_end
  AND CASE WHEN tax <> 0 THEN 'wallet' ELSE 'revenue' END IN (source, destination)
WHERE replaces IS NULL
  AND (tax + tax_included <> coalesce(CASE 'taxes' WHEN destination THEN amount WHEN source THEN -amount END, 0)
       OR (tax + tax_included <> 0) <> (tax_transaction IS NOT NULL))
ORDER BY number;

SELECT format('Account %s: posting %s of %s is the tax of no invoice.', account_id, transaction, trim_scale(amount))
FROM postings
WHERE kind = 'tax'
  AND NOT EXISTS (
    SELECT FROM invoices
    WHERE invoices.account_id = postings.account_id AND tax_transaction = postings.transaction
  )
ORDER BY account_id, transaction;

-- The credit that paid the period's usage is what was burnt for it of grants that began before the period's end. (Or of
-- all grants, as invoices of earlier releases say, whatever their statements do.)
SELECT format('Invoice %s: says %s of credit paid its usage, but %s was burnt.', number, trim_scale(credits_used),
              trim_scale(burnt.stated))
FROM invoices
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount), 0) AS amount, coalesce(sum(amount) FILTER (WHERE grant_id IN (
    SELECT grant_id
    FROM postings AS given
    WHERE given.account_id = invoices.account_id AND given.kind = 'grant' AND given.effective_at < period_end
  )), 0) AS stated
  FROM postings
  WHERE postings.account_id = invoices.account_id
    AND kind = 'burn' AND effective_at >= period_start AND effective_at < period_end
) AS burnt
WHERE credits_used NOT IN (burnt.stated, burnt.amount)
ORDER BY number;

-- What is due has a day by which it is due.
SELECT format('Invoice %s: %s is due, by %s.', number, trim_scale(amount_due), coalesce(due_date::text, 'no day'))
FROM invoices
WHERE (amount_due > 0) <> (due_date IS NOT NULL)
ORDER BY number;

-- The residue is posted in its period, and nothing else is.
SELECT format('Invoice %s: its residue %s is not posted as it says.', number, trim_scale(residue))
FROM invoices
LEFT JOIN postings
  ON postings.account_id = invoices.account_id AND postings.transaction = invoices.transaction
  AND kind = 'rounding' AND reference = invoices.id AND effective_at >= period_start AND effective_at < period_end
WHERE replaces IS NULL
  AND (residue <> coalesce(CASE 'rounding' WHEN destination THEN amount WHEN source THEN -amount END, 0)
       OR (residue <> 0) <> (invoices.transaction IS NOT NULL))
ORDER BY number;

SELECT format('Account %s: posting %s rounds %s for no invoice.', account_id, transaction, trim_scale(amount))
FROM postings
WHERE kind = 'rounding'
  AND NOT EXISTS (
    SELECT FROM invoices
    WHERE invoices.account_id = postings.account_id AND invoices.transaction = postings.transaction
  )
ORDER BY account_id, transaction;

-- Numbers of invoices and of credit notes have no gaps within a series (rules.md Invoices 5).
SELECT format('Series %s: %s documents have numbers from %s to %s, and the last one taken is %s.', series, taken, first,
              last, coalesce(last_sequence::text, 'not known'))
FROM (
  SELECT series, count(DISTINCT sequence) AS taken, min(sequence) AS first, max(sequence) AS last
  FROM (SELECT series, sequence FROM invoices UNION ALL SELECT series, sequence FROM credit_notes) AS numbered
  GROUP BY series
) AS used
FULL JOIN invoice_series USING (series)
WHERE (first, taken, last_sequence) IS DISTINCT FROM (1, last::bigint, last)
ORDER BY series;

SELECT format('Invoice %s: its number is not that of %s, %s.', number, series, sequence)
FROM invoices
WHERE number <> series || '-' || lpad(sequence::text, greatest(6, length(sequence::text)), '0')
ORDER BY number;

-- Statements add up, follow each other, and name what the ledger moved (rules.md Invoices 4).
WITH amounts AS (
  SELECT account_id, number, period_start, period_end, subtotal, invoices.tax AS tax_added, opening, top_ups,
         coalesce(payments, 0) AS payments, grants, coalesce(credit_notes, 0) AS credit_notes, usage,
         coalesce(amounts.tax, 0) AS tax, expired, adjustments, closing, lag(closing) OVER periods AS previous_closing, lag(period_end) OVER periods AS previous_end
  FROM invoices, jsonb_to_record(statement) AS amounts(
    opening numeric, top_ups numeric, payments numeric, grants numeric, credit_notes numeric, usage numeric,
    tax numeric, expired numeric, adjustments numeric, closing numeric
  )
  WHERE replaces IS NULL
  WINDOW periods AS (PARTITION BY account_id ORDER BY period_start)
),
moves AS (
  SELECT account_id, kind, effective_at,
         amount * ((destination IN ('wallet', 'credits'))::integer - (source IN ('wallet', 'credits'))::integer)
           AS amount
  FROM postings
  WHERE kind NOT IN ('usage', 'burn', 'cost')
),
ledger AS (
  SELECT number,
         coalesce(sum(amount) FILTER (WHERE effective_at < period_start), 0) AS before,
         coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'top_up'), 0) AS top_ups,
         coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'payment'), 0) AS payments,
         coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'grant'), 0) AS grants,
         coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'credit_note'), 0) AS credit_notes,
         -coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'expiry'), 0) AS expired,
         coalesce(sum(amount) FILTER (WHERE effective_at >= period_start AND kind = 'adjustment'), 0) AS adjustments
  FROM amounts
  LEFT JOIN moves
    ON moves.account_id = amounts.account_id
    AND effective_at >= coalesce(previous_end, '-infinity') AND effective_at < period_end
  GROUP BY number
)
SELECT format('Invoice %s: its statement %s', number, fault)
FROM amounts
JOIN ledger USING (number)
CROSS JOIN LATERAL (
  VALUES
    (closing = opening + amounts.top_ups + amounts.payments + amounts.grants + amounts.credit_notes
               - usage - amounts.tax - amounts.expired + amounts.adjustments,
     'does not add up.'),
    (amounts.tax = tax_added, format('says %s of tax, not %s.', trim_scale(amounts.tax), trim_scale(tax_added))),
    (amounts.payments = ledger.payments,
     format('says %s of payments, not %s.', trim_scale(amounts.payments), trim_scale(ledger.payments))),
    (amounts.credit_notes = ledger.credit_notes,
     format('says %s of credit notes, not %s.', trim_scale(amounts.credit_notes), trim_scale(ledger.credit_notes))),
    (usage = subtotal, format('says %s of usage, not %s.', trim_scale(usage), trim_scale(subtotal))),
    (opening = coalesce(previous_closing, 0) + before,
     format('opens with %s, but the ledger with %s.', trim_scale(opening),
            trim_scale(coalesce(previous_closing, 0) + before))),
    (amounts.top_ups = ledger.top_ups,
     format('says %s of top-ups, not %s.', trim_scale(amounts.top_ups), trim_scale(ledger.top_ups))),
    (amounts.grants = ledger.grants,
     format('says %s of grants, not %s.', trim_scale(amounts.grants), trim_scale(ledger.grants))),
    (amounts.expired = ledger.expired,
     format('says %s of expired credit, not %s.', trim_scale(amounts.expired), trim_scale(ledger.expired))),
    (amounts.adjustments = ledger.adjustments,
     format('says %s of adjustments, not %s.', trim_scale(amounts.adjustments), trim_scale(ledger.adjustments)))
) AS checks(holds, fault)
WHERE holds IS NOT TRUE
ORDER BY number
