"""The proof of the totals that reports read: with what is not folded yet, they are the sums of the roll-ups."""

from billing.proving import query

USAGE = """
WITH lengths(minutes) AS (
  VALUES (15), (60), (1440)
),
rolled_up AS (
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, price_id, upstream,
         sum(requests) AS requests, sum(quantity) AS quantity, sum(amount) AS amount, sum(cost) AS cost,
         sum(costed) AS costed
  FROM usage_rollups CROSS JOIN lengths
  GROUP BY 1, 2, 3, 4
),
kept AS (
  SELECT minutes, slot, price_id, upstream,
         sum(requests) AS requests, sum(quantity) AS quantity, sum(amount) AS amount, sum(cost) AS cost,
         sum(costed) AS costed
  FROM (
    SELECT minutes, slot, price_id, upstream, requests, quantity, amount, cost, costed FROM usage_totals
    UNION ALL
    SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), price_id, upstream,
           requests, quantity, amount, cost, costed
    FROM usage_increments CROSS JOIN lengths
  ) AS both_of_them
  GROUP BY 1, 2, 3, 4
)
SELECT format('The total of price %s, upstream %s, in the %s minutes from %s says %s; the roll-ups say %s.',
              price_id, upstream, minutes, slot, kept, rolled_up) AS difference
FROM kept FULL JOIN rolled_up USING (minutes, slot, price_id, upstream)
WHERE (kept.requests, kept.quantity, kept.amount, kept.cost, kept.costed)
  IS DISTINCT FROM (rolled_up.requests, rolled_up.quantity, rolled_up.amount, rolled_up.cost, rolled_up.costed)
"""

ACCOUNTS = """
WITH lengths(minutes) AS (
  VALUES (15), (60), (1440)
),
rolled_up AS (
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, account_id,
         sum(requests) AS requests, sum(amount) AS amount, sum(cost) AS cost, sum(costed) AS costed
  FROM usage_rollups CROSS JOIN lengths
  GROUP BY 1, 2, 3
),
kept AS (
  SELECT minutes, slot, account_id,
         sum(requests) AS requests, sum(amount) AS amount, sum(cost) AS cost, sum(costed) AS costed
  FROM (
    SELECT minutes, slot, account_id, requests, amount, cost, costed FROM account_totals
    UNION ALL
    SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), account_id, requests, amount, cost, costed
    FROM account_increments CROSS JOIN lengths
  ) AS both_of_them
  GROUP BY 1, 2, 3
)
SELECT format('The total of account %s in the %s minutes from %s says %s; the roll-ups say %s.',
              account_id, minutes, slot, kept, rolled_up) AS difference
FROM kept FULL JOIN rolled_up USING (minutes, slot, account_id)
WHERE (kept.requests, kept.amount, kept.cost, kept.costed)
  IS DISTINCT FROM (rolled_up.requests, rolled_up.amount, rolled_up.cost, rolled_up.costed)
"""

# Events are not kept for ever, so that what is proved of how they went is that no request is missing or there twice.
OUTCOMES = """
WITH lengths(minutes) AS (
  VALUES (15), (60), (1440)
),
rolled_up AS (
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, model, upstream,
         sum(requests) AS requests
  FROM usage_rollups JOIN prices ON prices.id = price_id CROSS JOIN lengths
  GROUP BY 1, 2, 3, 4
),
kept AS (
  SELECT minutes, slot, model, upstream, sum(requests) AS requests, sum(told) AS told
  FROM (
    SELECT minutes, slot, model, upstream, requests, failed + aborted + cut AS told FROM outcome_totals
    UNION ALL
    SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), model, upstream,
           requests, failed + aborted + cut
    FROM usage_increments JOIN prices ON prices.id = price_id CROSS JOIN lengths
  ) AS both_of_them
  GROUP BY 1, 2, 3, 4
)
SELECT format('Of model %s, upstream %s, in the %s minutes from %s, the outcomes of %s requests are kept; the roll-ups '
              'say %s.', model, upstream, minutes, slot, kept.requests, rolled_up.requests) AS difference
FROM kept FULL JOIN rolled_up USING (minutes, slot, model, upstream)
WHERE kept.requests IS DISTINCT FROM rolled_up.requests OR told > kept.requests
"""

TOTALS = (query(USAGE), query(ACCOUNTS), query(OUTCOMES))
