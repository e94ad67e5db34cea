-- Accounts that have usage, up to the end of their period of the month, that no invoice has: they are to be closed yet.

SELECT count(*) AS accounts
FROM accounts
JOIN balances ON account_id = id
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN anchor_day = 1 THEN %(first)s::timestamptz::timestamp + interval '1 month'
    ELSE least(%(first)s::timestamptz::timestamp + make_interval(days => anchor_day - 1),
               %(first)s::timestamptz::timestamp + interval '1 month -1 day')
  END AT TIME ZONE time_zone AS ends_at
) AS period
WHERE (open_from IS NULL OR open_from < ends_at)
  AND EXISTS (
    SELECT FROM usage_rollups
    WHERE usage_rollups.account_id = id AND amount <> 0 AND billed < ends_at
      AND billed >= coalesce(open_from, '-infinity')
  )
