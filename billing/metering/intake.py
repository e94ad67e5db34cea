"""The way of a batch of usage events: whose it is → what it costs → one transaction → an answer for each.

read (events.py) → count texts (verifier.py) → resolve accounts → assess (assess.py) → post_usage.sql → burn credits →
results
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from billing import observe
from billing.accounts.keys import hash_of
from billing.credits import store as credits
from billing.db.pool import Connection, Pool, with_retries
from billing.metering import corrections, store, verdicts
from billing.metering.answers import Result, by_index, faulty, held_back, refusal, result_of
from billing.metering.assess import Assessed, assess
from billing.metering.content import Verified
from billing.metering.corrections import Charged
from billing.metering.events import ID_CHARACTERS_MAX, RERATED, Batch, UsageEvent
from billing.metering.judging import exchange_of
from billing.metering.refused import Refused
from billing.metering.remembered import Numbers, Owner, Remembered
from billing.metering.verifier import Verifier
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings


class Intake:
    """Takes batches of events. One for each process."""

    def __init__(self, pool: Pool, terms: TermsKeeper, settings: Settings) -> None:
        self.pool = pool
        self.terms = terms
        self.settings = settings
        self.verifier = Verifier(settings)
        self.remembered = Remembered()

    async def close(self) -> None:
        """End what is still being counted."""
        await self.verifier.close()

    async def post(self, batch: Batch, *, all_or_nothing: bool = False) -> list[Result]:
        """Book the good events of a batch; every event gets a result, in order of index.

        With `all_or_nothing`, nothing is booked unless every event can be (duplicates may be among them).
        """
        verified = await self._verified(batch)
        async with self.pool.connection() as conn:
            assessed, refused = await self._assess(conn, batch, verified)
            if all_or_nothing and refused:
                return by_index(refused + [held_back(result_of(item)) for item in assessed])
            booked = await self.book(conn, assessed, all_or_nothing=all_or_nothing)
        observe.events_taken(refused + booked, oldest=min((event.time for _, event in batch.events), default=None))
        return by_index(refused + booked)

    async def book(self, conn: Connection, items: list[Assessed], *, all_or_nothing: bool = False) -> list[Result]:
        """Book what was assessed; a result for each, in their order."""
        if not items:
            return []
        numbers = await self.remembered.numbers_of(conn, {item.rate for item in items}, self.terms.current.version)
        book = _book_all if all_or_nothing else _book
        while True:
            try:
                return await with_retries(lambda: book(conn, items, numbers))
            except _CreditsDue as due:
                async with conn.transaction():
                    await credits.settle(conn, due.accounts)

    async def _verified(self, batch: Batch) -> dict[int, Verified]:
        """What was found of the texts that came with events, by their place."""
        given = [(index, exchange) for index, event in batch.events if (exchange := exchange_of(event)) is not None]
        if not given:
            return {}
        found = await self.verifier.verify([exchange for _, exchange in given])
        return {index: one for (index, _), one in zip(given, found, strict=True)}

    async def _assess(
        self, conn: Connection, batch: Batch, verified: dict[int, Verified]
    ) -> tuple[list[Assessed], list[Result]]:
        latest = datetime.now(UTC) + timedelta(seconds=self.settings.event_ahead_seconds_max)
        terms = await self.terms.fresh(conn)
        owners = await self.remembered.owners_of(conn, {_owner_named(event) for _, event in batch.events})
        firsts = await store.charged(conn, _named(batch, owners))
        assessed: list[Assessed] = []
        refused = faulty(batch)
        for index, event in batch.events:
            owner = owners.get(_owner_named(event))
            try:
                if owner is None:
                    raise _unknown_owner(event)
                if len(event.id) > ID_CHARACTERS_MAX:
                    raise Refused("invalid_value", "$.id", f"An id has at most {ID_CHARACTERS_MAX} characters.")
                if event.id.endswith(RERATED):
                    raise Refused("reserved_id", "$.id", f"Ids that end in {RERATED} are those of events billed late.")
                first = _first(event, owner, firsts)
                found = verified.get(index)
                item = assess(index, event, *owner, terms=terms, latest=latest, verified=found, first=first)
            except Refused as fault:
                refused.append(refusal(index, event.id, [fault.fault(index)]))
            else:
                assessed.append(item)
        return assessed, refused


async def _book(conn: Connection, items: list[Assessed], numbers: Numbers) -> list[Result]:
    by_identity: dict[tuple[str, str, str], Assessed] = {}
    for item in items:
        by_identity.setdefault(item.identity, item)
    first = list(by_identity.values())
    async with conn.transaction():
        booked = await store.post_usage(conn, first, [numbers[item.rate] for item in first])
        if booked.credits_due:
            raise _CreditsDue(booked.credits_due)
        await credits.burn(conn, booked.transaction, booked.with_credits)
        await verdicts.keep(conn, [first[place] for place in sorted(booked.places)])
    new = {first[place].index for place in booked.places}
    old = [item for item in items if item.index not in new]
    known = await store.known(conn, old)
    return [
        result_of(item, known.get(item.index), is_new=item.index in new, overspent=item.key_id in booked.overspent)
        for item in items
    ]


async def _book_all(conn: Connection, items: list[Assessed], numbers: Numbers) -> list[Result]:
    """Book all of them or, when one conflicts with what is booked, none."""
    try:
        async with conn.transaction():
            results = await _book(conn, items, numbers)
            if any(result.status == "conflict" for result in results):
                raise _NotAll(results)
    except _NotAll as fault:
        return [result if result.status == "conflict" else held_back(result) for result in fault.results]
    return results


class _CreditsDue(Exception):
    """Takes back a batch until credits that have begun or expired are posted: each transaction burns what there is."""

    def __init__(self, accounts: list[str]) -> None:
        self.accounts = accounts


class _NotAll(Exception):
    """Takes back what a batch has booked that was to be booked whole."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results


def _owner_named(event: UsageEvent) -> str | bytes:
    """The account's name, or the hash of the key, that an event says it belongs to (never both: see UsageEvent)."""
    if event.account is not None:
        return event.account
    if event.api_key is not None:
        return hash_of(event.api_key)
    return bytes.fromhex(event.api_key_hash or "")


def _named(batch: Batch, owners: Mapping[str | bytes, Owner]) -> list[corrections.Identity]:
    """The events that events of this batch stand for."""
    return [
        (owner[0], event.source, named)
        for _, event in batch.events
        if (named := corrections.named_by(event)) is not None and (owner := owners.get(_owner_named(event)))
    ]


def _first(event: UsageEvent, owner: Owner, firsts: Mapping[corrections.Identity, Charged]) -> Charged | None:
    """What was booked for the event that this one stands for, if it names one. Raises Refused when it may not."""
    named = corrections.named_by(event)
    if named is None:
        return None
    account_id, key_id = owner
    return corrections.check(event, key_id, firsts.get((account_id, event.source, named)))


def _unknown_owner(event: UsageEvent) -> Refused:
    if event.account is not None:
        return Refused("unknown_account", "$.account", f"There is no account {event.account}.")
    field = "api_key" if event.api_key is not None else "api_key_hash"
    return Refused("unknown_key", f"$.{field}", "No customer has this API key.")
