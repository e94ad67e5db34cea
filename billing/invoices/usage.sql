-- What was used in some periods, each of one account, summed by price: of the period itself in one sum, and of what came
-- late (`late`, its quarter hour) in one sum for each quarter hour, whose `evidence` is not hashed yet.
-- docs/evidence.md states the order of the roll-ups within a price. What has no price waits for review and is not billed.

SELECT
  period, price_id, late, model, dimension, variant, entry, official, multiplier, unit, unit_size, quantity, amount, events,
  first_at, last_at, CASE WHEN late IS NULL THEN sha256(evidence) ELSE evidence END AS evidence
FROM (
  SELECT
    period.name AS period, price_id, CASE WHEN slot < starts_at THEN slot END AS late,
    sum(usage.quantity)::bigint AS quantity,
    sum(usage.amount) AS amount,
    sum(usage.events)::bigint AS events,
    min(first_time) AS first_at,
    max(last_time) AS last_at,
    string_agg(usage.evidence, '' ORDER BY billed, slot, key_id COLLATE "C", upstream COLLATE "C") AS evidence
  FROM unnest(%(names)s::text[], %(accounts)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    AS period(name, account_id, starts_at, ends_at)
  JOIN usage_rollups AS usage ON usage.account_id = period.account_id AND billed >= starts_at AND billed < ends_at
  GROUP BY period.name, price_id, late
) AS sums
JOIN prices ON prices.id = price_id
WHERE official IS NOT NULL
ORDER BY period, price_id, late NULLS FIRST
