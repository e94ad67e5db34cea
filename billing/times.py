"""Times as people write them in a query: an instant, or a local day or time; and how far from now they may lie."""

import re
from datetime import date, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from billing.errors import Fault, Invalid

D = TypeVar("D", date | None, datetime | None)

# Far enough from both ends of what Python and PostgreSQL can count with in any time zone.
YEARS = range(2000, 2200)
# "+08:00" arrives as " 08:00" from those who do not escape the plus in a query.
LOST_PLUS = re.compile(r"(T[0-9:.,]+) (?=[0-9]{2}:?[0-9]{2}\Z)")


def instant(text: str | None, zone: ZoneInfo, parameter: str) -> datetime | None:
    """`2026-11-01` or `2026-11-01T08:00` in `zone`, or an instant such as `2026-11-01T00:00:00Z`. Raises Invalid."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(LOST_PLUS.sub(r"\1+", text))
    except ValueError:
        detail = f"{parameter} must be a day such as 2026-11-01 or an instant such as 2026-11-01T00:00:00Z."
        raise Invalid("invalid_time", detail, (Fault("invalid_time", detail, parameter),)) from None
    bounded(given, parameter)
    return given if given.tzinfo else given.replace(tzinfo=zone)


def bounded(given: D, place: str) -> D:
    """The same, if its year is one we count with. Raises Invalid, naming the place it came from."""
    if given is not None and given.year not in YEARS:
        detail = f"{place.removeprefix('$.')} must lie in the years from {YEARS[0]} to {YEARS[-1]}."
        raise Invalid("invalid_time", detail, (Fault("invalid_time", detail, place),))
    return given
