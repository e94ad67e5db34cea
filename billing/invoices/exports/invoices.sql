-- Invoices with the month that each belongs to: the one that its period's last moment falls in, by its own clock. One that
-- was made in the place of another belongs to the month of the credit note that it was made with.

SELECT 'invoice' AS sort, id, id AS invoice_id, account_id, series, sequence, finalized_at AS made_at, period_end,
       replaces, amount_exact, subtotal, tax, tax_included, total, amount_due, residue,
       to_char(CASE
         WHEN replaces IS NULL THEN period_end - interval '15 minutes'
         ELSE (
           SELECT issued_at
           FROM credit_notes AS note
           WHERE note.account_id = invoices.account_id AND note.invoice_id = replaces AND settle = 'replacement'
         )
       END AT TIME ZONE time_zone, 'YYYY-MM') AS month
FROM invoices
