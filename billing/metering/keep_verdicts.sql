-- The verdicts of events of a batch that were booked just now, in the same transaction: each by itself, and summed up.
-- The accounts are locked by then, so the sums of one account are never touched by two transactions at once.

WITH given AS (
  SELECT *, excess_picos * 0.000000000001 AS excess_amount, shortfall_picos * 0.000000000001 AS shortfall_amount
  FROM unnest(
    %(places)s, %(account_ids)s, %(sources)s, %(ids)s, %(times)s, %(models)s, %(upstreams)s, %(verdicts)s, %(reasons)s, %(units)s,
    %(policies)s, %(reported_inputs)s, %(reported_outputs)s,
    %(input_lows)s, %(input_likelies)s, %(input_highs)s,
    %(output_lows)s, %(output_likelies)s, %(output_highs)s,
    %(billed_inputs)s, %(billed_outputs)s, %(excesses)s, %(shortfalls)s,
    %(excess_amounts)s, %(shortfall_amounts)s
  ) AS t(
    place, account_id, source, id, time, model, upstream, verdict, reason, unit, policy, reported_input, reported_output,
    input_low, input_likely, input_high, output_low, output_likely, output_high, billed_input, billed_output,
    excess, shortfall, excess_picos, shortfall_picos
  )
  WHERE place = ANY(%(booked)s)
),
kept AS (
  INSERT INTO verdicts (
    account_id, source, id, time, model, upstream, verdict, reason, unit, policy, reported_input, reported_output,
    input_low, input_likely, input_high, output_low, output_likely, output_high, billed_input, billed_output,
    excess, shortfall, excess_amount, shortfall_amount
  )
  SELECT account_id, source, id, time, model, upstream, verdict, reason, unit, policy, reported_input, reported_output,
         input_low, input_likely, input_high, output_low, output_likely, output_high, billed_input, billed_output,
         excess, shortfall, excess_amount, shortfall_amount
  FROM given
)
INSERT INTO verdict_rollups AS sums (
  account_id, slot, model, upstream, source, verdict,
  events, reported, counted, excess, shortfall, excess_amount, shortfall_amount
)
SELECT account_id, date_bin('15 minutes', time, 'epoch') AS slot, model, upstream, source, verdict,
       count(*),
       coalesce(sum(reported_input) FILTER (WHERE input_likely IS NOT NULL), 0)
         + coalesce(sum(reported_output) FILTER (WHERE output_likely IS NOT NULL), 0),
       coalesce(sum(input_likely) FILTER (WHERE reported_input IS NOT NULL), 0)
         + coalesce(sum(output_likely) FILTER (WHERE reported_output IS NOT NULL), 0),
       sum(excess), sum(shortfall), sum(excess_amount), sum(shortfall_amount)
FROM given
GROUP BY account_id, slot, model, upstream, source, verdict
ON CONFLICT (account_id, slot, model, upstream, source, verdict) DO UPDATE
SET events = sums.events + excluded.events,
    reported = sums.reported + excluded.reported,
    counted = sums.counted + excluded.counted,
    excess = sums.excess + excluded.excess,
    shortfall = sums.shortfall + excluded.shortfall,
    excess_amount = sums.excess_amount + excluded.excess_amount,
    shortfall_amount = sums.shortfall_amount + excluded.shortfall_amount
