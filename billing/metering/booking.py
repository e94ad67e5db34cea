"""The way of requests into the book: whose events they are → what each costs → one transaction → a result for each.

resolve accounts (remembered.py) → assess (assess.py) → pack → post_usage.sql → burn credits → keep verdicts → results
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import psycopg

from billing.accounts.keys import hash_of
from billing.aside import Aside
from billing.credits import store as credits
from billing.db.arrays import Columns
from billing.db.pool import Connection, Pool, with_retries
from billing.errors import Problem
from billing.metering import corrections, store, verdicts
from billing.metering.answers import Result, by_index, faulty, held_back, refusal, result_of
from billing.metering.assess import Assessed, assess
from billing.metering.content import Verified
from billing.metering.corrections import Charged
from billing.metering.events import ID_CHARACTERS_MAX, RERATED, Batch, UsageEvent
from billing.metering.key_rules import KeyRules, Rule
from billing.metering.refused import Refused
from billing.metering.remembered import Numbers, Owner, Remembered
from billing.prices.keeper import TermsKeeper
from billing.prices.terms import Terms
from billing.settings import Settings


class Sent(msgspec.Struct, frozen=True):
    """What a request brought: its events, what was found of their texts by their place, and whether all or nothing."""

    batch: Batch
    verified: Mapping[int, Verified]
    whole: bool


class Booking:
    """Books requests. What takes long is done `aside`, one piece after the other: who must not wait has another one.

    What is `remembered` of the database, and the `rules` of keys, may be shared.
    """

    def __init__(
        self,
        pool: Pool,
        terms: TermsKeeper,
        settings: Settings,
        remembered: Remembered,
        rules: KeyRules,
        aside: Aside,
    ) -> None:
        self.terms = terms
        self.aside = aside
        self._pool = pool
        self._settings = settings
        self._remembered = remembered
        self._rules = rules

    async def post(self, requests: list[Sent]) -> Sequence[list[Result] | Exception]:
        """The results of requests that are booked together.

        Where one makes the others fail, each is booked on its own; not while the database is away or too slow.
        """
        try:
            async with self._pool.connection() as conn:
                return await self._booked(conn, requests)
        except (psycopg.OperationalError, psycopg.InterfaceError, Problem):
            raise
        except Exception as fault:
            return [fault] if len(requests) == 1 else await self._post_each(requests)

    async def _post_each(self, requests: list[Sent]) -> list[list[Result] | Exception]:
        """The same, each in a transaction of its own; once the database is away, the rest is not tried."""
        found: list[list[Result] | Exception] = []
        for request in requests:
            try:
                found += await self.post([request])
            except (psycopg.OperationalError, psycopg.InterfaceError, Problem) as fault:
                return found + [fault] * (len(requests) - len(found))
        return found

    async def _booked(self, conn: Connection, requests: list[Sent]) -> list[list[Result]]:
        found = await self._assess(conn, requests)
        [whole, *others] = [request.whole for request in requests]
        assert not (whole and others)
        if whole and found[0].refused:
            return [by_index(found[0].refused + [held_back(result_of(item)) for item in found[0].assessed])]
        booked = iter(await self.book(conn, [item for one in found for item in one.assessed], all_or_nothing=whole))
        return [by_index(one.refused + [next(booked) for _ in one.assessed]) for one in found]

    async def book(self, conn: Connection, items: list[Assessed], *, all_or_nothing: bool = False) -> list[Result]:
        """Book what was assessed; a result for each, in their order."""
        if not items:
            return []
        numbers = await self._remembered.numbers_of(conn, {item.rate for item in items}, self.terms.current.version)
        packed = await self.aside.do(len(items), _packed, items, numbers)
        book = _book_all if all_or_nothing else _book
        while True:
            try:
                results = await with_retries(lambda: book(conn, packed))
            except _CreditsDue as due:
                async with conn.transaction():
                    await credits.settle(conn, due.accounts)
            else:
                verdicts.count(item for item, result in zip(items, results, strict=True) if result.verification)
                return results

    async def _assess(self, conn: Connection, requests: list[Sent]) -> list["_Found"]:
        """What becomes of the events of each request, with one look at the database for all of them."""
        latest = datetime.now(UTC) + timedelta(seconds=self._settings.event_ahead_seconds_max)
        terms = await self.terms.fresh(conn)
        events = [event for request in requests for _, event in request.batch.events]
        owners = await self._remembered.owners_of(conn, {_owner_named(event) for event in events})
        rules = await self._rules.of(conn, {key for _, key in owners.values() if key is not None})
        firsts = await store.charged(conn, _named(events, owners))
        return await self.aside.do(
            len(events),
            lambda: [_assessed(request, owners, rules, firsts, terms, latest) for request in requests],
        )


class _Found(msgspec.Struct, frozen=True):
    """A request's events that can be booked, and the results of the others."""

    assessed: list[Assessed]
    refused: list[Result]


class _Packed(NamedTuple):
    """Assessed events, and the first of each identity as the statements take them: these at their places."""

    items: list[Assessed]
    places: list[int]
    usage: Columns
    verdicts: verdicts.Judged


def _packed(items: list[Assessed], numbers: Numbers) -> _Packed:
    firsts: dict[tuple[str, str, str], int] = {}
    for place, item in enumerate(items):
        firsts.setdefault(item.identity, place)
    places = list(firsts.values())
    first = [items[place] for place in places]
    return _Packed(items, places, store.columns(first, [numbers[item.rate] for item in first]), verdicts.judged(first))


async def _book(conn: Connection, packed: _Packed) -> list[Result]:
    items, places = packed.items, packed.places
    async with conn.transaction():
        booked = await store.post_usage(conn, packed.usage)
        if booked.credits_due:
            raise _CreditsDue(booked.credits_due)
        await credits.burn(conn, booked.transaction, booked.with_credits)
        await verdicts.keep(conn, packed.verdicts, booked.places)
    new = {places[place] for place in booked.places}
    old = [place for place in range(len(items)) if place not in new]
    known = dict(zip(old, await store.known(conn, [items[place] for place in old]), strict=True))
    return [
        result_of(item, known.get(place), is_new=place in new, overspent=item.key_id in booked.overspent)
        for place, item in enumerate(items)
    ]


async def _book_all(conn: Connection, packed: _Packed) -> list[Result]:
    """Book all of them or, when one conflicts with what is booked, none."""
    try:
        async with conn.transaction():
            results = await _book(conn, packed)
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


def _assessed(
    request: Sent,
    owners: Mapping[str | bytes, Owner],
    rules: Mapping[str, Rule],
    firsts: Mapping[corrections.Identity, Charged],
    terms: Terms,
    latest: datetime,
) -> _Found:
    assessed: list[Assessed] = []
    refused = faulty(request.batch)
    for index, event in request.batch.events:
        owner = owners.get(_owner_named(event))
        try:
            if owner is None:
                raise _unknown_owner(event)
            if len(event.id) > ID_CHARACTERS_MAX:
                raise Refused("invalid_value", "$.id", f"An id has at most {ID_CHARACTERS_MAX} characters.")
            if event.id.endswith(RERATED):
                raise Refused("reserved_id", "$.id", f"Ids that end in {RERATED} are those of events billed late.")
            first = _first(event, owner, firsts)
            found = request.verified.get(index)
            item = assess(index, event, *owner, terms=terms, latest=latest, verified=found, first=first)
        except Refused as fault:
            refused.append(refusal(index, event.id, [fault.fault(index)]))
        else:
            rule = rules.get(item.key_id) if item.key_id else None
            assessed.append(item if rule is None else rule.noted(item, event))
    return _Found(assessed, refused)


def _owner_named(event: UsageEvent) -> str | bytes:
    """The account's name, or the hash of the key, that an event says it belongs to (never both: see UsageEvent)."""
    if event.account is not None:
        return event.account
    if event.api_key is not None:
        return hash_of(event.api_key)
    return bytes.fromhex(event.api_key_hash or "")


def _named(events: list[UsageEvent], owners: Mapping[str | bytes, Owner]) -> list[corrections.Identity]:
    """The events that these events stand for."""
    return [
        (owner[0], event.source, named)
        for event in events
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
