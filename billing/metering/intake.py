"""The door of usage events: their texts are counted, requests are gathered and booked, and each event gets an answer.

read (events.py) → count texts (verifier.py) → gather with who comes meanwhile → book (booking.py) → results

Requests of few events are booked together, in one transaction, while the one before is under way; each is answered
after its commit, as if it had come alone. Large ones, and those of all or nothing, are a transaction each. Neither kind
waits for the other: each has connections, and a thread for long work, that the other leaves alone.
"""

from billing import observe
from billing.aside import Aside
from billing.db.pool import Pool
from billing.gather import Bounds, Gatherer
from billing.metering.answers import Result
from billing.metering.booking import Booking, Sent
from billing.metering.content import Exchange, Verified
from billing.metering.events import Batch
from billing.metering.judging import exchange_of
from billing.metering.key_rules import KeyRules
from billing.metering.remembered import Remembered
from billing.metering.verifier import Verifier
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings

GATHERED_EVENTS_MAX = 20
"""A request of more events is a transaction of its own."""
BATCHES_WAITING_MAX = 32
"""Of such requests: one may take ten megabytes."""


class Intake:
    """Takes batches of events. One for each process."""

    def __init__(self, pool: Pool, terms: TermsKeeper, settings: Settings) -> None:
        self.pool = pool
        self.terms = terms
        self.settings = settings
        self.verifier = Verifier(settings)
        remembered, rules = Remembered(), KeyRules()
        self.large = Booking(pool, terms, settings, remembered, rules, Aside(GATHERED_EVENTS_MAX))
        small = Booking(pool, terms, settings, remembered, rules, Aside(GATHERED_EVENTS_MAX))
        bounds = Bounds(settings.waiting_max, settings.pool_wait_seconds_max)
        self._gathered: Gatherer[Sent, list[Result]] = Gatherer(
            small.post, lanes=1, items_max=settings.gathered_max, bounds=bounds
        )
        # Half of the connections, so that whoever asks for little never waits for those who bring much.
        self._alone: Gatherer[Sent, list[Result]] = Gatherer(
            self.large.post,
            lanes=settings.pool_size_max // 2,
            items_max=1,
            bounds=bounds._replace(waiting_max=min(BATCHES_WAITING_MAX, settings.waiting_max)),
        )

    async def close(self) -> None:
        """End what is still being counted, when what was gathered is booked."""
        await self._gathered.drain()
        await self._alone.drain()
        await self.verifier.close()

    async def post(self, batch: Batch, *, all_or_nothing: bool = False) -> list[Result]:
        """Book the good events of a batch; every event gets a result, in order of index.

        With `all_or_nothing`, nothing is booked unless every event can be (duplicates may be among them).
        Raises Unavailable when too many wait already.
        """
        sent = Sent(batch, await self._verified(batch), all_or_nothing)
        alone = all_or_nothing or len(batch.events) > GATHERED_EVENTS_MAX
        results = await (self._alone if alone else self._gathered).ask(sent)
        observe.events_taken(results, oldest=min((event.time for _, event in batch.events), default=None))
        return results

    async def _verified(self, batch: Batch) -> dict[int, Verified]:
        """What was found of the texts that came with events, by their place."""
        given = await self.large.aside.do(len(batch.events), _exchanges, batch)
        if not given:
            return {}
        found = await self.verifier.verify([exchange for _, exchange in given])
        return {index: one for (index, _), one in zip(given, found, strict=True)}


def _exchanges(batch: Batch) -> list[tuple[int, Exchange]]:
    """The texts of a batch, with the places of their events."""
    return [(index, exchange) for index, event in batch.events if (exchange := exchange_of(event)) is not None]
