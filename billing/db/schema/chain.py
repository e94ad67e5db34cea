"""The chain of an account's transactions (docs/evidence.md): what is hashed, said once, for who posts and who proves.

They are functions of the database because the chain grows in the statement that holds the account's lock.
"""

SAID_OF_CHARGE = """
CREATE FUNCTION said_of_charge(digest bytea, amount numeric, cost numeric) RETURNS bytea LANGUAGE sql STABLE
RETURN digest || convert_to(amount || ' ' || coalesce(cost::text, '') || ' ', 'UTF8')
"""

SAID_OF_POSTING = """
CREATE FUNCTION said_of_posting(
  kind text, source text, destination text, amount numeric, effective_at timestamptz,
  reference text, reason text, actor text, grant_id text, reverses bigint
) RETURNS bytea LANGUAGE sql STABLE
RETURN convert_to(jsonb_build_array(
  kind, source, destination, amount::numeric(38, 12), extract(epoch FROM effective_at),
  reference, reason, actor, grant_id, reverses
)::text, 'UTF8')
"""

CHAIN_LINK = """
CREATE FUNCTION chain_link(account_id text, transaction bigint, said bytea) RETURNS bytea LANGUAGE sql STABLE
RETURN sha256(convert_to(account_id || ' ' || transaction || ' ', 'UTF8') || said)
"""

CHAINED = """
CREATE FUNCTION chained(chain bytea, link bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN coalesce(sha256(chain || link), link, chain)
"""

FUNCTIONS = (SAID_OF_CHARGE, SAID_OF_POSTING, CHAIN_LINK, CHAINED)
