-- Credit notes, likewise, with the month in which they were issued, by the clock of the invoice that each corrects.

SELECT 'credit_note' AS sort, note.id, invoice_id, note.account_id, note.series, note.sequence, issued_at AS made_at,
       NULL::timestamptz AS period_end, NULL AS replaces, 0 AS amount_exact, note.subtotal, note.tax, note.tax_included,
       note.total, 0 AS amount_due, 0 AS residue, to_char(issued_at AT TIME ZONE time_zone, 'YYYY-MM') AS month
FROM credit_notes AS note
JOIN invoices ON invoices.account_id = note.account_id AND invoices.id = invoice_id
