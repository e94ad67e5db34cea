-- A batch of priced usage events, booked in one statement and so in one transaction (rules.md Ledger 2).
--
-- The order of the steps is the order of the locks, the same in every process, so that batches never deadlock:
-- identities sorted, then holds sorted, then accounts sorted; everything after that belongs to accounts already locked.
-- Each step reads what the one before returned, never a table again: what RETURNING says is the newest truth.

WITH number AS (
  SELECT nextval('transaction_numbers') AS transaction
),
incoming AS (
  SELECT *
  FROM unnest(
    %(account_ids)s, %(sources)s, %(ids)s, %(digests)s, %(times)s, %(price_ids)s, %(quantities)s, %(amounts)s,
    %(reviews)s, %(corrects)s, %(key_ids)s, %(upstreams)s, %(costs)s, %(bodies)s, %(outcomes)s, %(latencies)s,
    %(first_tokens)s
  ) WITH ORDINALITY AS t(
    account_id, source, id, digest, time, price_ids, quantities, picos, review, corrects, key_id, upstream, cost, body,
    outcome, latency, first_token, position
  )
),
lines AS (
  SELECT position, price_id, quantity, picos * 0.000000000001 AS amount, cost_picos * 0.000000000001 AS cost,
         requests, costed
  FROM unnest(
    %(line_positions)s, %(line_price_ids)s, %(line_quantities)s, %(line_amounts)s, %(line_costs)s, %(line_requests)s,
    %(line_costed)s
  ) AS t(position, price_id, quantity, picos, cost_picos, requests, costed)
),

-- Identity decides: an event that is there already is left alone, and so are all the steps below for it.
booked AS (
  INSERT INTO charges (
    account_id, source, id, digest, time, transaction, position, price_ids, quantities, amount, review, corrects, cost,
    key_id, upstream
  )
  SELECT account_id, source, id, digest, time, transaction, position, price_ids::integer[], quantities::bigint[],
         picos * 0.000000000001, review, corrects, cost::numeric, key_id, coalesce(upstream, '')
  FROM incoming, number
  ORDER BY account_id, source, id
  ON CONFLICT DO NOTHING
  RETURNING account_id, transaction, position, digest, time, date_bin('15 minutes', time, 'epoch') AS slot, amount, cost
),

-- The open holds that these events name; the first event that names one captures it (rules.md Holds). They are found by
-- their primary key: that they have not ended is not said as the indexes of open holds say it, which lead through many.
held AS (
  SELECT hold.account_id, hold.id, event.source, event.event_id
  FROM (
    SELECT DISTINCT ON (booked.account_id, hold) booked.account_id, hold, incoming.source, incoming.id AS event_id
    FROM unnest(%(hold_positions)s, %(holds)s) AS named(position, hold)
    JOIN booked USING (position)
    JOIN incoming USING (position)
    ORDER BY booked.account_id, hold, position
  ) AS event
  JOIN holds AS hold ON hold.account_id = event.account_id AND hold.id = event.hold
  WHERE hold.ended_at IS NULL
  ORDER BY hold.account_id, hold.id
  FOR NO KEY UPDATE OF hold
),
captured AS (
  UPDATE holds
  SET state = 'captured', ended_at = now(), event_source = held.source, event_id = held.event_id
  FROM held
  WHERE holds.account_id = held.account_id AND holds.id = held.id AND holds.ended_at IS NULL
  RETURNING holds.account_id, holds.key_id, holds.amount
),

-- The accounts' rows: locked here, until the commit. Closing a period takes the same lock, so `open_from` is final.
-- Each account's chain grows by a link that was made of its charges before (docs/evidence.md).
account AS (
  INSERT INTO balances AS balance (account_id, posted, transactions, held, chain)
  SELECT account_id, -sum(charged), 1, -sum(freed),
         chain_link(account_id, transaction, string_agg(said, ''::bytea ORDER BY position))
  FROM (
    SELECT account_id, amount AS charged, 0 AS freed, position, said_of_charge(digest, amount, cost) AS said FROM booked
    UNION ALL
    SELECT account_id, 0, amount, NULL, NULL FROM captured
  ) AS changes, number
  GROUP BY account_id, transaction
  ORDER BY account_id
  ON CONFLICT (account_id) DO UPDATE
  SET posted = balance.posted + excluded.posted,
      transactions = balance.transactions + 1,
      held = balance.held + excluded.held,
      chain = chained(balance.chain, excluded.chain)
  RETURNING account_id, posted, transactions AS seq, open_from, counts_keys, credits, credits_due_at, chain
),

-- Late usage is billed in the period still open, with its own time kept (rules.md Usage 4).
billed AS (
  SELECT booked.*, account.seq, account.posted, greatest(booked.slot, account.open_from) AS billed
  FROM booked JOIN account USING (account_id)
),

-- What customers pay, and what upstreams take, each by the quarter hour billed. A correction may give back.
posted AS (
  INSERT INTO postings (
    account_id, transaction, line, seq, kind, source, destination, amount, balance, effective_at, chain
  )
  SELECT account_id, transaction, row_number() OVER (PARTITION BY account_id ORDER BY kind DESC, billed), sums.seq,
         kind, CASE WHEN amount < 0 THEN payee ELSE payer END, CASE WHEN amount < 0 THEN payer ELSE payee END,
         abs(amount), sums.posted, billed, chain
  FROM (
    SELECT account_id, transaction, seq, posted, billed,
           'usage' AS kind, 'wallet' AS payer, 'revenue' AS payee, sum(amount) AS amount
    FROM billed
    GROUP BY account_id, transaction, seq, posted, billed
    UNION ALL
    SELECT account_id, transaction, seq, posted, billed, 'cost', 'upstreams', 'costs', sum(cost)
    FROM billed
    WHERE cost <> 0
    GROUP BY account_id, transaction, seq, posted, billed
  ) AS sums
  JOIN account USING (account_id)
  RETURNING 1
),
used AS (
  SELECT billed.account_id, billed, slot, price_id, coalesce(key_id, '') AS key_id, coalesce(upstream, '') AS upstream,
         requests, quantity, lines.amount, lines.cost, costed, billed.time, billed.digest, position,
         CASE WHEN requests > 0 THEN outcome END AS outcome,
         CASE WHEN requests > 0 AND latency >= 0 THEN latency END AS latency,
         CASE WHEN requests > 0 AND first_token >= 0 THEN first_token END AS first_token
  FROM billed JOIN lines USING (position) JOIN incoming USING (position)
),
rolled_up AS (
  INSERT INTO usage_rollups AS sums (
    account_id, billed, slot, price_id, key_id, upstream,
    events, requests, quantity, amount, cost, costed, first_time, last_time, evidence
  )
  SELECT account_id, billed, slot, price_id, key_id, upstream,
         count(*), sum(requests), sum(quantity), sum(amount), sum(cost), sum(costed),
         min(time), max(time), sha256(string_agg(digest, '' ORDER BY position))
  FROM used
  GROUP BY account_id, billed, slot, price_id, key_id, upstream
  ON CONFLICT (account_id, billed, slot, price_id, key_id, upstream) DO UPDATE
  SET events = sums.events + excluded.events,
      requests = sums.requests + excluded.requests,
      quantity = sums.quantity + excluded.quantity,
      amount = sums.amount + excluded.amount,
      cost = sums.cost + excluded.cost,
      costed = sums.costed + excluded.costed,
      first_time = least(sums.first_time, excluded.first_time),
      last_time = greatest(sums.last_time, excluded.last_time),
      evidence = sha256(sums.evidence || excluded.evidence)
),

-- What reports sum up over all accounts, and over all prices of one. Only appended, so that no batch waits for another;
-- fold.sql adds it to the totals.
appended AS (
  INSERT INTO usage_increments (
    slot, price_id, upstream, requests, quantity, amount, cost, costed, failed, aborted, cut, latencies, first_tokens
  )
  SELECT slot, price_id, upstream, sum(requests), sum(quantity), sum(amount), sum(cost), sum(costed),
         count(*) FILTER (WHERE outcome = 1), count(*) FILTER (WHERE outcome = 2), count(*) FILTER (WHERE outcome = 3),
         array_agg(latency) FILTER (WHERE latency IS NOT NULL),
         array_agg(first_token) FILTER (WHERE first_token IS NOT NULL)
  FROM used
  GROUP BY slot, price_id, upstream
),
appended_by_account AS (
  INSERT INTO account_increments (account_id, slot, requests, amount, cost, costed)
  SELECT account_id, slot, sum(requests), sum(amount), sum(cost), sum(costed)
  FROM used
  GROUP BY account_id, slot
),

-- What keys have spent, for the accounts that have had one with a limit, and which spent more than theirs.
counted AS (
  INSERT INTO key_sums AS sums (account_id, key_id, span, start, amount)
  SELECT account_id, key_id, span, start, sum(amount)
  FROM (
    SELECT account.account_id, key_id, span, start, amount
    FROM account
    JOIN booked ON booked.account_id = account.account_id
    JOIN incoming USING (position)
    CROSS JOIN LATERAL (SELECT (booked.time AT TIME ZONE 'UTC')::date AS day) AS used
    CROSS JOIN LATERAL (
      VALUES ('day', day), ('month', date_trunc('month', day::timestamp)::date), ('total', date '1970-01-01')
    ) AS spans(span, start)
    WHERE counts_keys AND key_id IS NOT NULL
    UNION ALL
    SELECT account_id, key_id, 'held', date '1970-01-01', -amount
    FROM account JOIN captured USING (account_id)
    WHERE counts_keys AND key_id IS NOT NULL
  ) AS changes
  GROUP BY account_id, key_id, span, start
  ON CONFLICT (account_id, key_id, span, start) DO UPDATE SET amount = sums.amount + excluded.amount
  RETURNING key_id, span, amount
),
overspent AS (
  SELECT DISTINCT key_id
  FROM counted JOIN api_keys ON api_keys.id = key_id
  WHERE amount > CASE span WHEN 'day' THEN day_limit WHEN 'month' THEN month_limit WHEN 'total' THEN total_limit END
),
kept AS (
  INSERT INTO events (account_id, time, source, id, key_id, body)
  SELECT incoming.account_id, incoming.time, source, id, key_id, body::jsonb
  FROM incoming JOIN booked USING (position)
)
SELECT coalesce(array_agg(position), '{}') AS positions,
       (SELECT count(*) FROM posted) AS postings,
       (SELECT array_agg(key_id) FROM overspent) AS overspent,
       (SELECT transaction FROM number) AS transaction,
       (SELECT array_agg(account_id) FROM account WHERE credits > 0) AS with_credits,
       (SELECT array_agg(account_id) FROM account WHERE credits_due_at <= clock_timestamp()) AS credits_due
FROM booked
