-- What the posting statement appended is added to the totals that reports read, and forgotten, in one transaction: a
-- report finds each sum once, here or there. One process folds at a time (folding.py).

WITH lengths(minutes) AS (
  VALUES (15), (60), (1440)
),
used AS (
  DELETE FROM usage_increments
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM usage_increments LIMIT %(rows)s))
  RETURNING *
),
by_account AS (
  DELETE FROM account_increments
  WHERE ctid = ANY (ARRAY(SELECT ctid FROM account_increments LIMIT %(rows)s))
  RETURNING *
),
usage AS (
  INSERT INTO usage_totals AS sums (minutes, slot, price_id, upstream, requests, quantity, amount, cost, costed)
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, price_id, upstream,
         sum(requests), sum(quantity), sum(amount), sum(cost), sum(costed)
  FROM used CROSS JOIN lengths
  GROUP BY minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), price_id, upstream
  ON CONFLICT (minutes, slot, price_id, upstream) DO UPDATE
  SET requests = sums.requests + excluded.requests,
      quantity = sums.quantity + excluded.quantity,
      amount = sums.amount + excluded.amount,
      cost = sums.cost + excluded.cost,
      costed = sums.costed + excluded.costed
),
accounts AS (
  INSERT INTO account_totals AS sums (minutes, slot, account_id, requests, amount, cost, costed)
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, account_id,
         sum(requests), sum(amount), sum(cost), sum(costed)
  FROM by_account CROSS JOIN lengths
  GROUP BY minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), account_id
  ON CONFLICT (minutes, slot, account_id) DO UPDATE
  SET requests = sums.requests + excluded.requests,
      amount = sums.amount + excluded.amount,
      cost = sums.cost + excluded.cost,
      costed = sums.costed + excluded.costed
),

-- How requests went: a row for each bucket first, the empty ones too, then an array for each group.
outcomes AS (
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, model, upstream,
         sum(requests) AS requests, sum(failed) AS failed, sum(aborted) AS aborted, sum(cut) AS cut
  FROM used JOIN prices ON prices.id = price_id CROSS JOIN lengths
  GROUP BY minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), model, upstream
),
timed AS (
  SELECT minutes, date_bin(make_interval(mins => minutes), slot, 'epoch') AS slot, model, upstream, bucket,
         sum(latency) AS latency, sum(first_token) AS first_token
  FROM (
    SELECT slot, model, upstream, width_bucket(ms, %(edges)s::integer[]) AS bucket, count(*) AS latency, 0 AS first_token
    FROM used JOIN prices ON prices.id = price_id CROSS JOIN LATERAL unnest(latencies) AS ms
    GROUP BY slot, model, upstream, bucket
    UNION ALL
    SELECT slot, model, upstream, width_bucket(ms, %(edges)s::integer[]), 0, count(*)
    FROM used JOIN prices ON prices.id = price_id CROSS JOIN LATERAL unnest(first_tokens) AS ms
    GROUP BY 1, 2, 3, 4
  ) AS counted
  CROSS JOIN lengths
  GROUP BY minutes, date_bin(make_interval(mins => minutes), slot, 'epoch'), model, upstream, bucket
),
went AS (
  INSERT INTO outcome_totals AS sums (
    minutes, slot, model, upstream, requests, failed, aborted, cut, latencies, first_tokens
  )
  SELECT minutes, slot, model, upstream, requests, failed, aborted, cut,
         array_agg(coalesce(latency, 0) ORDER BY bucket), array_agg(coalesce(first_token, 0) ORDER BY bucket)
  FROM outcomes
  CROSS JOIN generate_series(0, cardinality(%(edges)s::integer[])) AS bucket
  LEFT JOIN timed USING (minutes, slot, model, upstream, bucket)
  GROUP BY minutes, slot, model, upstream, requests, failed, aborted, cut
  ON CONFLICT (minutes, slot, model, upstream) DO UPDATE
  SET requests = sums.requests + excluded.requests,
      failed = sums.failed + excluded.failed,
      aborted = sums.aborted + excluded.aborted,
      cut = sums.cut + excluded.cut,
      latencies = (
        SELECT array_agg(old + new ORDER BY bucket)
        FROM unnest(sums.latencies, excluded.latencies) WITH ORDINALITY AS pair(old, new, bucket)
      ),
      first_tokens = (
        SELECT array_agg(old + new ORDER BY bucket)
        FROM unnest(sums.first_tokens, excluded.first_tokens) WITH ORDINALITY AS pair(old, new, bucket)
      )
)
SELECT (SELECT count(*) FROM used) AS used, (SELECT count(*) FROM by_account) AS by_account
