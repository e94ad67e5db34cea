"""Times as people write them in a query: an instant, or a local day or time."""

from datetime import datetime
from zoneinfo import ZoneInfo

from billing.errors import Fault, Invalid


def instant(text: str | None, zone: ZoneInfo, parameter: str) -> datetime | None:
    """`2026-11-01` or `2026-11-01T08:00` in `zone`, or an instant such as `2026-11-01T00:00:00Z`. Raises Invalid."""
    if text is None:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        detail = f"{parameter} must be a day such as 2026-11-01 or an instant such as 2026-11-01T00:00:00Z."
        raise Invalid("invalid_time", detail, (Fault("invalid_time", detail, parameter),)) from None
    return given if given.tzinfo else given.replace(tzinfo=zone)
