-- What is still to come of a month: how many accounts have usage, up to the end of their period of the month, that no invoice
-- has; and whether the month is over everywhere and that period closed for every account that there was, so that no document
-- is added any more. (Of an account that is made later, and brings its history, there may be one all the same.)

SELECT count(*) FILTER (WHERE unbilled) AS unbilled_accounts,
       now() >= %(until)s AND NOT coalesce(bool_or(unbilled OR created_at < ends_at), false) AS final
FROM accounts
JOIN balances ON account_id = id
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN anchor_day = 1 THEN %(first)s::timestamptz::timestamp + interval '1 month'
    ELSE least(%(first)s::timestamptz::timestamp + make_interval(days => anchor_day - 1),
               %(first)s::timestamptz::timestamp + interval '1 month -1 day')
  END AT TIME ZONE time_zone AS ends_at
) AS period
CROSS JOIN LATERAL (
  SELECT EXISTS (
    SELECT FROM usage_rollups
    WHERE usage_rollups.account_id = id AND amount <> 0 AND billed < ends_at
      AND billed >= coalesce(open_from, '-infinity')
  ) AS unbilled
) AS usage
WHERE open_from IS NULL OR open_from < ends_at
