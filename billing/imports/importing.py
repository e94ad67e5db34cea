"""Posting what a file holds: batch after batch in its order, each as a gateway's would be.

While a batch is being booked the next one is read. There is no state: an event that is there already is a duplicate,
so whatever happened, a file can be imported again, from its beginning or from where it stopped.
"""

import asyncio
from collections.abc import Callable, Iterator

import msgspec

from billing.imports.columns import placed
from billing.imports.files import FileError
from billing.imports.items import Item
from billing.metering.answers import Result, refusal
from billing.metering.corrections import named_by
from billing.metering.events import Batch, UsageEvent, read_items
from billing.metering.intake import Intake
from pricing import money

BATCH_BYTES_MAX = 4 << 20
"""Of events that bring their text, so that all of a batch is counted in time."""

Refusals = Callable[[Item, Result], None]
"""Told of each event that was not kept, and why."""


class Reason(msgspec.Struct):
    """Why events were not simply taken: what was said of the first one, and how many there were."""

    sentence: str
    line: int
    count: int = 0


class Tally(msgspec.Struct):
    """What became of the events of a file. `charged` is picodollars, of the events booked now."""

    seen: int = 0
    accepted: int = 0
    duplicates: int = 0
    unpriced: int = 0
    refused: int = 0
    charged: int = 0
    reasons: dict[tuple[str, str], Reason] = {}

    def add(self, item: Item, result: Result) -> None:
        self.seen += 1
        match result.status:
            case "accepted":
                self.accepted += 1
                self.charged += money.parse(result.charge or "0")
            case "duplicate":
                self.duplicates += 1
            case "unpriced":
                self.unpriced += 1
                self._note("unpriced", item, result)
            case "rejected" | "conflict":
                self.refused += 1
                self._note(result.errors[0].code if result.errors else result.status, item, result)

    def _note(self, code: str, item: Item, result: Result) -> None:
        """Reasons are of a kind by what they say is wrong, not by where: so there are never many."""
        reason = self.reasons.setdefault((result.status, code), Reason(result.reason or code, item.line))
        reason.count += 1


class Importing:
    """Posts the events of one file. `stop()` ends it after the batch in work; `done` are those of whole batches."""

    def __init__(self, intake: Intake, batch_size: int, refusals: Refusals, *, by_column: bool = False) -> None:
        self.intake = intake
        self.batch_size = batch_size
        self.refusals = refusals
        self.by_column = by_column
        self.tally = Tally()
        self.done = 0
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    async def run(self, items: Iterator[Item], progress: Callable[[], None]) -> None:
        """Post them all. Raises FileError when the file cannot be read any further, after what came before is booked;
        and whatever the database raises: then the batch in work is not booked, and what came before it is."""
        batches = _batches(items, self.batch_size)
        work, damage = await asyncio.to_thread(_next, batches)
        while work and not self.stopped:
            posting = asyncio.create_task(self._post(*work))
            try:
                following, damage = await asyncio.to_thread(_next, batches)
            finally:
                await posting
            progress()
            work = following
        if damage is not None and not work:
            raise damage

    async def _post(self, items: list[Item], batch: Batch) -> None:
        for part in _parts(batch):
            for result in await self.intake.post(part):
                item = items[result.index]
                told = self._told(result)
                self.tally.add(item, told)
                if told.status in ("rejected", "conflict"):
                    self.refusals(item, told)
        self.done += len(items)

    def _told(self, result: Result) -> Result:
        if not self.by_column or not result.errors:
            return result
        return refusal(result.index, result.id, [placed(fault) for fault in result.errors])


Work = tuple[list[Item], Batch]


def _next(batches: Iterator[Work]) -> tuple[Work | None, FileError | None]:
    """The next batch; none at the end of the file, or where it is damaged."""
    try:
        return next(batches, None), None
    except FileError as damage:
        return None, damage


def _batches(items: Iterator[Item], size: int) -> Iterator[Work]:
    """At most so many items, and about so many bytes, read as events. What came before a damage is a batch, too."""
    found: list[Item] = []
    room = BATCH_BYTES_MAX
    try:
        for item in items:
            found.append(item)
            room -= len(item.event)
            if len(found) == size or room <= 0:
                yield found, _read(found)
                found, room = [], BATCH_BYTES_MAX
    except FileError:
        if found:
            yield found, _read(found)
        raise
    if found:
        yield found, _read(found)


def _read(items: list[Item]) -> Batch:
    read = read_items([item.event for item in items], single=False)
    unread = {index: item.fault for index, item in enumerate(items) if item.fault is not None}
    faults = [fault for fault in read.faults if fault.index not in unread]
    faults += [msgspec.structs.replace(fault, index=index) for index, fault in unread.items()]
    return Batch(read.events, faults, single=False)


def _parts(batch: Batch) -> Iterator[Batch]:
    """The batch, divided before each event that corrects or voids one of its own: that one must be booked first."""
    part: list[tuple[int, UsageEvent]] = []
    identities: set[tuple[str, str | None]] = set()
    for index, event in batch.events:
        if (event.source, named_by(event)) in identities:
            yield Batch(part, [], single=False)
            part, identities = [], set()
        part.append((index, event))
        identities.add((event.source, event.id))
    yield Batch(part, batch.faults, single=False)
