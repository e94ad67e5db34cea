"""Events that stand for others: a correction says what was really used, a void that nothing was (rules.md Usage 5).

Both are events with an identity of their own, and name the one they stand for; both remain. What the named event was
charged is taken back line by line, at the prices it was charged by, and what the new one says is charged.
"""

from datetime import datetime

import msgspec

from billing.metering.events import UsageEvent, has_usage
from billing.metering.refused import Refused

Identity = tuple[str, str, str]
"""Account, source, id."""


Line = tuple[int, int, int]
"""Price number, quantity, picodollars."""


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """What was booked for an event that is to be corrected. `lines` are those that are to be taken back.

    `cost` in picodollars, of the named event together with all it stands for. `key_id` and `upstream` are not known of
    events from before charges kept them, once the events are not `kept` any more.
    """

    time: datetime
    lines: tuple[Line, ...]
    cost: int | None
    corrected_by: str | None
    kept: bool
    key_id: str | None
    upstream: str | None

    def cost_change(self, cost: int | None) -> int | None:
        """By how much the cost changes when it is this one; what is not known leaves it as it was."""
        return None if cost is None else cost - (self.cost or 0)


def named_by(event: UsageEvent) -> str | None:
    """The id of the event that this one stands for."""
    return event.corrects if event.voids is None else event.voids


def check(event: UsageEvent, key_id: str | None, first: Charged | None) -> Charged:
    """What is to be taken back. Raises Refused when this event cannot stand for the one it names."""
    field = "corrects" if event.voids is None else "voids"
    named = named_by(event)
    if first is None:
        raise Refused("unknown_event", f"$.{field}", f"No event {named} of this account and source is booked.")
    if first.corrected_by not in (None, event.id):
        detail = f"{named} is corrected already, by {first.corrected_by}; to correct that, name it."
        raise Refused("already_corrected", f"$.{field}", detail)
    if event.voids is not None and has_usage(event.usage):
        raise Refused("void_with_usage", "$.usage", "A void says that nothing is to be billed: leave `usage` out.")
    if event.time != first.time:
        detail = f"It stands for an event of {first.time.isoformat()}, so it has the same time."
        raise Refused("corrected_time", "$.time", detail)
    if key_id is not None and first.kept and key_id != first.key_id:
        raise Refused("corrected_key", f"$.{field}", f"{named} was not sent with this API key.")
    upstream = None if event.upstream is None else event.upstream.name
    if first.kept and upstream != first.upstream:
        detail = f"{named} was served by {first.upstream or 'an upstream that was not named'}: say the same."
        raise Refused("corrected_upstream", "$.upstream", detail)
    return first
