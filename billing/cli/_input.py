"""What commands take: checked by the types of the HTTP API, so that both doors have the same rules."""

from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

import click
import msgspec

from billing.errors import Invalid
from billing.times import instant

T = TypeVar("T")
UTC_ZONE = ZoneInfo("UTC")

LOOKS_LIKE = {
    "NewAccount.id": "An account's id is acct_ and letters, digits, _ or -, such as acct_acme.",
    "NewPlan.id": "A plan's id is small letters, digits, _ or -, such as wholesale.",
    "country": "A country is the two capital letters of ISO 3166-1, such as IE.",
    "multiplier": "A multiplier is a number from 0 to 10 with at most twelve decimals, such as 0.45, or none.",
    "factor": "A factor is a number from 0 to 10 with at most twelve decimals, such as 0.3, or none.",
    "amount": "An amount is plain dollars with at most nine digits before the point and twelve after it: 12.50.",
}


class TimeZone(click.ParamType[str]):
    """The name of a time zone, such as Europe/Berlin."""

    name = "zone"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return ZoneInfo(value).key
        except (KeyError, ValueError, OSError):
            self.fail(f"There is no time zone {value!r}; a name looks like Europe/Berlin.", param, ctx)


class Instant(click.ParamType[datetime]):
    """`2026-11-01`, `2026-11-01T08:00` (both UTC) or an instant with its zone."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            found = instant(value, UTC_ZONE, "The time")
        except Invalid as fault:
            self.fail(fault.detail, param, ctx)
        assert found is not None
        return found.astimezone(UTC)


def checked(kind: type[T], **fields: object) -> T:
    """The fields, as the HTTP API would take them. Raises UsageError, naming the one at fault."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`")
        sentence = LOOKS_LIKE.get(f"{kind.__name__}.{field}") or LOOKS_LIKE.get(field)
        raise click.UsageError(sentence or f"{field or 'The request'}: {what}.") from None
