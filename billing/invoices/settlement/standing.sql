-- What has become of invoices: of what was due, what credit notes gave back to the wallet and what payments brought. The
-- status follows, in this order: void (all of it is credited), paid (nothing is open), overdue, partly paid, open.

SELECT *,
       CASE
         WHEN notes > 0 AND credited = total THEN 'void'
         WHEN open = 0 THEN 'paid'
         WHEN (now() AT TIME ZONE time_zone)::date > due_date THEN 'overdue'
         WHEN open < total THEN 'partly_paid'
         ELSE 'open'
       END AS status
FROM (
  SELECT invoices.id, invoices.account_id, time_zone, period_end, finalized_at, total, due_date, replaces,
         invoices.amount_due, notes, credited, paid,
         (SELECT earlier.number FROM invoices AS earlier WHERE earlier.id = invoices.replaces) AS replaces_number,
         replaced_by, replaced_by_number,
         CASE WHEN notes > 0 AND credited = total THEN 0 ELSE greatest(0, amount_due - to_wallet - paid) END AS open
  FROM invoices
  LEFT JOIN LATERAL (
    SELECT later.id AS replaced_by, later.number AS replaced_by_number
    FROM invoices AS later
    WHERE later.replaces = invoices.id
  ) AS replacement ON true
  CROSS JOIN LATERAL (
    SELECT count(*) AS notes, coalesce(sum(note.total), 0) AS credited,
           coalesce(sum(note.total) FILTER (WHERE settle = 'wallet'), 0) AS to_wallet
    FROM credit_notes AS note
    WHERE note.account_id = invoices.account_id AND note.invoice_id = invoices.id
  ) AS noted
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE WHEN reverses IS NULL THEN amount ELSE -amount END), 0) AS paid
    FROM payments
    WHERE payments.account_id = invoices.account_id AND payments.invoice_id = invoices.id
  ) AS paid
) AS settled
