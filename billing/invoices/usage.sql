-- What was used in some periods, each of one account, summed by price. docs/evidence.md states the order of the
-- roll-ups within a price. What has no price waits for review and is not billed.

SELECT
  period.name AS period,
  prices.id AS price_id, model, dimension, variant, entry, official, multiplier, unit, unit_size,
  sum(usage.quantity)::bigint AS quantity,
  sum(usage.amount) AS amount,
  sum(usage.events)::bigint AS events,
  min(first_time) AS first_at,
  max(last_time) AS last_at,
  sha256(string_agg(usage.evidence, '' ORDER BY billed, slot, key_id COLLATE "C", upstream COLLATE "C")) AS evidence
FROM unnest(%(names)s::text[], %(accounts)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
  AS period(name, account_id, starts_at, ends_at)
JOIN usage_rollups AS usage ON usage.account_id = period.account_id AND billed >= starts_at AND billed < ends_at
JOIN prices ON prices.id = price_id
WHERE official IS NOT NULL
GROUP BY period.name, prices.id
