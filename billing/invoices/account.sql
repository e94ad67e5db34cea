-- What an invoice needs of an account besides usage and moves: its names, calendars and taxes, and what is true of it now.

SELECT
  accounts.id, name, email, address, tax_id, country, accounts.time_zone, accounts.anchor_day, created_at, closed_at,
  payment_days, posted, open_from, period_ends_at,
  coalesce(credits_due_at <= clock_timestamp(), false) AS credits_due,
  clock_timestamp() AS now,
  CASE WHEN open_from IS NULL THEN (
    SELECT min(billed) FROM usage_rollups WHERE usage_rollups.account_id = accounts.id
  ) END AS first_usage_at,
  (
    SELECT jsonb_agg(jsonb_build_array(set_at, set.time_zone, set.anchor_day) ORDER BY set_at)
    FROM account_calendars AS set
    WHERE set.account_id = accounts.id
  ) AS calendars,
  (
    SELECT jsonb_agg(jsonb_build_object(
      'own', given.account_id IS NOT NULL, 'since', effective_from, 'rates', given.rates IS NOT NULL, 'named', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
          'id', rate.id, 'name', rate.name, 'percent', percent::text, 'inclusive', inclusive,
          'reverse_charge', reverse_charge, 'note', note
        ) ORDER BY place), '[]')
        FROM unnest(given.rates) WITH ORDINALITY AS listed(id, place) JOIN tax_rates AS rate ON rate.id = listed.id
      )
    ) ORDER BY effective_from, given.id)
    FROM account_taxes AS given
    WHERE given.account_id = accounts.id OR given.account_id IS NULL
  ) AS taxes
FROM balances JOIN accounts ON accounts.id = balances.account_id
WHERE balances.account_id = %(account)s
