-- What some credit notes gave back by their postings, as less than nothing: out of revenue and out of taxes. One for a
-- replacement gave back nothing.

SELECT coalesce(-sum(posted.revenue), 0) AS revenue, 0::numeric AS rounding, coalesce(-sum(posted.taxes), 0) AS taxes,
       count(*) FILTER (
         WHERE (posted.revenue, posted.taxes) IS DISTINCT FROM (
           CASE settle WHEN 'replacement' THEN 0 ELSE subtotal - tax_included END,
           CASE settle WHEN 'replacement' THEN 0 ELSE tax + tax_included END
         )
       ) AS different
FROM credit_notes AS note
CROSS JOIN LATERAL (
  SELECT coalesce(sum(amount) FILTER (WHERE source = 'revenue'), 0) AS revenue,
         coalesce(sum(amount) FILTER (WHERE source = 'taxes'), 0) AS taxes
  FROM postings
  WHERE postings.account_id = note.account_id AND postings.transaction IN (note.transaction, tax_transaction)
    AND kind = 'credit_note' AND reference = note.id
) AS posted
WHERE id = ANY(%s)
