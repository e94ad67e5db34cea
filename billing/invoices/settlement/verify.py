"""The proof of what happened to invoices (rules.md Ledger 3): credit notes, replacements and payments.

That numbers of notes have no gaps is proved with those of invoices, whose series they share the table of.
"""

from billing.proving import query

# A note says what its lines and taxes come to, and takes its details from the invoice of the same account.
SUMS = """
SELECT format('Credit note %s: says %s and taxes of %s and %s within, but its lines come to %s and its rates to %s and '
              '%s.', number, trim_scale(subtotal), trim_scale(tax), trim_scale(tax_included), trim_scale(lines.amount),
              trim_scale(rates.added), trim_scale(rates.included)) AS difference
FROM credit_notes AS note
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount), 0) AS amount
  FROM credit_note_lines AS line
  WHERE line.account_id = note.account_id AND note_id = note.id
) AS lines
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount) FILTER (WHERE NOT inclusive), 0) AS added,
         coalesce(sum(amount) FILTER (WHERE inclusive), 0) AS included
  FROM jsonb_to_recordset(taxes) AS rate(amount numeric, inclusive boolean)
) AS rates
WHERE (subtotal, tax, tax_included, total)
      IS DISTINCT FROM (lines.amount, rates.added, rates.included, lines.amount + rates.added)
UNION ALL
SELECT format('Credit note %s: its number is not that of %s, %s.', number, series, sequence)
FROM credit_notes
WHERE number <> series || '-' || lpad(sequence::text, greatest(6, length(sequence::text)), '0')
UNION ALL
SELECT format('Credit note %s: issuer, customer and currency are not those of its invoice.', note.number)
FROM credit_notes AS note
LEFT JOIN invoices ON invoices.account_id = note.account_id AND invoices.id = invoice_id
WHERE (note.issuer, note.customer, note.currency)
      IS DISTINCT FROM (invoices.issuer, invoices.customer, invoices.currency)
"""

# Notes never take more of a line than it has, nor of the whole invoice.
WITHIN = """
SELECT format('Invoice %s, line %s: %s and a quantity of %s are credited, of %s and %s.',
              coalesce(number, credited.invoice_id), invoice_line, trim_scale(credited.amount), credited.quantity,
              coalesce(trim_scale(line.amount)::text, 'nothing'), coalesce(line.quantity, 0)) AS difference
FROM (
  SELECT account_id, invoice_id, invoice_line, sum(line.amount) AS amount, sum(line.quantity) AS quantity
  FROM credit_notes AS note JOIN credit_note_lines AS line USING (account_id)
  WHERE note_id = note.id
  GROUP BY account_id, invoice_id, invoice_line
) AS credited
LEFT JOIN invoices ON invoices.id = credited.invoice_id
LEFT JOIN invoice_lines AS line
  ON line.account_id = credited.account_id AND line.invoice_id = credited.invoice_id AND position = invoice_line
WHERE line.amount IS NULL
   OR credited.amount NOT BETWEEN least(line.amount, 0) AND greatest(line.amount, 0)
   OR credited.quantity NOT BETWEEN least(line.quantity, 0) AND greatest(line.quantity, 0)
UNION ALL
SELECT format('Invoice %s: %s is credited of its subtotal of %s.', number, trim_scale(credited.subtotal),
              trim_scale(invoices.subtotal))
FROM invoices
JOIN (
  SELECT account_id, invoice_id, sum(subtotal) AS subtotal FROM credit_notes GROUP BY account_id, invoice_id
) AS credited ON credited.account_id = invoices.account_id AND credited.invoice_id = invoices.id
WHERE credited.subtotal NOT BETWEEN least(invoices.subtotal, 0) AND greatest(invoices.subtotal, 0)
"""

# Of each rate, in all, the share of what is credited is given back, rounded once; all of it with all of the invoice.
TAXES = """
SELECT format('Invoice %s: of %s, %s is given back, which should be %s.', number, rate ->> 'name',
              trim_scale(given.amount), trim_scale(share)) AS difference
FROM invoices
JOIN (
  SELECT account_id, invoice_id, sum(subtotal) AS subtotal FROM credit_notes GROUP BY account_id, invoice_id
) AS credited ON credited.account_id = invoices.account_id AND credited.invoice_id = invoices.id
CROSS JOIN LATERAL jsonb_array_elements(taxes) WITH ORDINALITY AS rates(rate, place)
CROSS JOIN LATERAL (
  SELECT coalesce(sum((note.taxes -> (place::integer - 1) ->> 'amount')::numeric), 0) AS amount
  FROM credit_notes AS note
  WHERE note.account_id = invoices.account_id AND note.invoice_id = invoices.id
) AS given
CROSS JOIN LATERAL (
  SELECT CASE
           WHEN credited.subtotal = invoices.subtotal THEN (rate ->> 'amount')::numeric
           ELSE round((rate ->> 'amount')::numeric * credited.subtotal / nullif(invoices.subtotal, 0), 2)
         END AS share
) AS shares
WHERE given.amount IS DISTINCT FROM share
"""

# What a note gives back is posted as it says, and nothing else is.
NOTES_POSTED = """
SELECT format('Credit note %s: %s out of %s is not posted as it says.', number, trim_scale(wanted.amount), book)
  AS difference
FROM credit_notes AS note
CROSS JOIN LATERAL (
  VALUES ('revenue', subtotal - tax_included, note.transaction), ('taxes', tax + tax_included, tax_transaction)
) AS given(book, amount, booked)
CROSS JOIN LATERAL (SELECT CASE settle WHEN 'replacement' THEN 0 ELSE given.amount END AS amount) AS wanted
LEFT JOIN postings
  ON postings.account_id = note.account_id AND postings.transaction = booked
  AND kind = 'credit_note' AND reference = note.id AND source = book
  AND destination = CASE settle WHEN 'wallet' THEN 'wallet' ELSE 'cash' END
WHERE wanted.amount <> coalesce(postings.amount, 0) OR (wanted.amount <> 0) <> (booked IS NOT NULL)
UNION ALL
SELECT format('Account %s: posting %s of %s is that of no credit note.', account_id, transaction, trim_scale(amount))
FROM postings
WHERE kind = 'credit_note'
  AND NOT EXISTS (
    SELECT FROM credit_notes AS note
    WHERE note.account_id = postings.account_id
      AND postings.transaction IN (note.transaction, note.tax_transaction)
  )
"""

# An invoice that stands for another says the same but for its names; the other is void, and no money moved.
REPLACED = """
SELECT format('Invoice %s does not say what the one said that it stands for, %s.', later.number, earlier.number)
  AS difference
FROM invoices AS later JOIN invoices AS earlier ON earlier.id = later.replaces
CROSS JOIN LATERAL (
  SELECT ARRAY['id', 'replaces', 'series', 'sequence', 'number', 'issuer', 'customer', 'finalized_at'] AS own
) AS names
WHERE to_jsonb(later) - own <> to_jsonb(earlier) - own
   OR (
     SELECT jsonb_agg(to_jsonb(line) - 'invoice_id' ORDER BY position)
     FROM invoice_lines AS line
     WHERE line.account_id = later.account_id AND invoice_id = later.id
   ) IS DISTINCT FROM (
     SELECT jsonb_agg(to_jsonb(line) - 'invoice_id' ORDER BY position)
     FROM invoice_lines AS line
     WHERE line.account_id = earlier.account_id AND invoice_id = earlier.id
   )
UNION ALL
SELECT format('Invoice %s: %s stands for it, but credit notes of %s of %s voided it for that.', earlier.number,
              coalesce(later.number, 'nothing'), coalesce(trim_scale(note.total), 0), trim_scale(earlier.total))
FROM invoices AS earlier
LEFT JOIN invoices AS later ON later.replaces = earlier.id
LEFT JOIN (
  SELECT account_id, invoice_id, sum(total) AS total
  FROM credit_notes
  WHERE settle = 'replacement'
  GROUP BY account_id, invoice_id
) AS note ON note.account_id = earlier.account_id AND note.invoice_id = earlier.id
WHERE (later.id IS NULL) <> (note.total IS NULL) OR note.total <> earlier.total
"""

# Money is counted towards invoices at most once, and only what came in and was not taken back.
COUNTED = """
WITH counted AS (
  SELECT account_id, transaction, sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END) AS amount,
         min(reference) AS reference, max(reference) AS other_reference
  FROM payments
  GROUP BY account_id, transaction
),
money AS (
  SELECT account_id, transaction, kind, reference, amount - coalesce((
    SELECT sum(later.amount)
    FROM postings AS later
    WHERE later.account_id = posting.account_id AND later.reverses = posting.transaction
  ), 0) AS kept
  FROM postings AS posting
  WHERE kind IN ('top_up', 'payment') AND reverses IS NULL AND destination = 'wallet'
)
SELECT format('Transaction %s of account %s: %s is counted towards invoices, but %s came in and was kept (%s).',
              transaction, account_id, trim_scale(coalesce(counted.amount, 0)), trim_scale(coalesce(kept, 0)),
              coalesce(kind, 'nothing')) AS difference
FROM counted FULL JOIN money USING (account_id, transaction)
WHERE CASE WHEN kind = 'top_up' THEN counted.amount > kept ELSE counted.amount IS DISTINCT FROM kept END
   OR counted.amount IS NOT NULL
      AND (counted.reference, other_reference) IS DISTINCT FROM (money.reference, money.reference)
UNION ALL
SELECT format('Account %s: the payments %s have the same reference, %s.', account_id,
              string_agg(transaction::text, ', ' ORDER BY transaction), reference)
FROM money
WHERE kind = 'payment' AND kept > 0
GROUP BY account_id, reference
HAVING count(*) > 1
UNION ALL
SELECT format('Invoice %s: %s is counted towards it, but %s was due.', number, trim_scale(paid.amount),
              trim_scale(amount_due))
FROM invoices
JOIN (
  SELECT account_id, invoice_id, sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END) AS amount
  FROM payments
  GROUP BY account_id, invoice_id
) AS paid ON paid.account_id = invoices.account_id AND paid.invoice_id = invoices.id
WHERE paid.amount NOT BETWEEN 0 AND amount_due
"""

# What takes a payment back takes all of it, and its money is posted as it says.
TAKEN_BACK = """
SELECT format('Payment %s of account %s is not what its reversal %s says that it was.', reversal.reverses,
              reversal.account_id, reversal.id) AS difference
FROM payments AS reversal
LEFT JOIN payments AS payment ON payment.account_id = reversal.account_id AND payment.id = reversal.reverses
WHERE reversal.reverses IS NOT NULL
  AND (reversal.invoice_id, reversal.amount, reversal.transaction, NULL)
      IS DISTINCT FROM (payment.invoice_id, payment.amount, payment.transaction, payment.reverses)
UNION ALL
SELECT format('Reversal %s of account %s: its transaction %s did not take the money back.', payments.id,
              payments.account_id, reversal)
FROM payments
LEFT JOIN postings
  ON postings.account_id = payments.account_id AND postings.transaction = reversal AND kind = 'payment'
WHERE reversal IS NOT NULL
  AND (postings.amount, postings.reverses) IS DISTINCT FROM (payments.amount, payments.transaction)
UNION ALL
SELECT format('Account %s: posting %s takes back %s of no payment.', account_id, transaction, trim_scale(amount))
FROM postings
WHERE kind = 'payment' AND reverses IS NOT NULL
  AND NOT EXISTS (
    SELECT FROM payments WHERE payments.account_id = postings.account_id AND reversal = postings.transaction
  )
"""

NOTES = (query(SUMS), query(WITHIN), query(TAXES), query(NOTES_POSTED), query(REPLACED))
PAYMENTS = (query(COUNTED), query(TAKEN_BACK))
