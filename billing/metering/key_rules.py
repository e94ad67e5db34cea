"""What keys may not do, as far as an event shows it: which models, and since when nothing at all. Enforced at
authorization; usage that comes all the same is booked, and its result says so.

Rules are looked up for the keys that come, and remembered for a moment: an event is never held up to ask again.
"""

import time
from collections.abc import Set
from datetime import datetime
from typing import NamedTuple

import msgspec

from billing.db.arrays import TextArray
from billing.db.pool import Connection
from billing.holds.rules import is_named
from billing.metering.assess import Assessed
from billing.metering.events import UsageEvent

FRESH_SECONDS = 1
REMEMBERED_MAX = 10_000

RULES = """
SELECT id, models, revoked_at, expires_at
FROM api_keys
WHERE id = ANY(%s) AND num_nonnulls(models, revoked_at, expires_at) > 0
"""


class Rule(NamedTuple):
    """Of a key that may not do everything for ever."""

    models: list[str] | None
    revoked_at: datetime | None
    expires_at: datetime | None

    def noted(self, item: Assessed, event: UsageEvent) -> Assessed:
        """The event with a note of what its key may not do, if it did that."""
        notes = [note for note in (item.note, self._broken_by(event)) if note]
        return msgspec.structs.replace(item, note=" ".join(notes) or None)

    def _broken_by(self, event: UsageEvent) -> str | None:
        if self.revoked_at is not None and event.time >= self.revoked_at:
            return "The API key had been revoked."
        if self.expires_at is not None and event.time >= self.expires_at:
            return "The API key had expired."
        if self.models is not None and not any(is_named(event.model, pattern) for pattern in self.models):
            return "The API key may not use this model."
        return None


class KeyRules:
    """The rules of one process's keys."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, Rule | None]] = {}

    async def of(self, conn: Connection, keys: Set[str]) -> dict[str, Rule]:
        """Those of these keys that have rules, as they were a moment ago."""
        now = time.monotonic_ns()
        known = {key: one for key in keys if (one := self._seen.get(key)) and now - one[0] < FRESH_SECONDS * 10**9}
        if stale := keys - known.keys():
            rows = await (await conn.execute(RULES, [TextArray.of(stale)])).fetchall()
            found = {row["id"]: Rule(row["models"], row["revoked_at"], row["expires_at"]) for row in rows}
            new = {key: (now, found.get(key)) for key in stale}
            if len(self._seen) > REMEMBERED_MAX:
                self._seen.clear()
            self._seen |= new
            known |= new
        return {key: rule for key, (_, rule) in known.items() if rule is not None}
