"""Which rows of the totals make up a span: as few as there can be. Pure.

Totals are kept by the quarter hour, the hour and the day (UTC), each sum in all three. The intervals of a span, which
begin wherever a zone's clock says, are laid out with whole days, then hours, then quarter hours.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
LENGTHS = tuple(timedelta(minutes=minutes) for minutes in (1440, 60, 15))


class Tile(NamedTuple):
    """Rows of this length whose slots are in [start, end)."""

    minutes: int
    start: datetime
    end: datetime


def tiles(edges: list[datetime], end: datetime) -> list[Tile]:
    """What makes up the intervals that begin at the edges, the last one until `end`; all on quarter hours."""
    found: dict[int, list[Tile]] = {}
    for start, until in pairwise([*edges, end]):
        for tile in _tiles(start, until, 0):
            row = found.setdefault(tile.minutes, [])
            if row and row[-1].end == tile.start:
                row[-1] = row[-1]._replace(end=tile.end)
            else:
                row.append(tile)
    return [tile for row in found.values() for tile in row]


def _tiles(start: datetime, end: datetime, size: int) -> Iterator[Tile]:
    """[start, end) in rows of this size, and of the smaller ones at its edges, in order of time."""
    if start >= end:
        return
    length = LENGTHS[size]
    first = EPOCH - (EPOCH - start) // length * length
    last = EPOCH + (end - EPOCH) // length * length
    if first >= last:
        yield from _tiles(start, end, size + 1)
        return
    yield from _tiles(start, first, size + 1)
    yield Tile(length // timedelta(minutes=1), first, last)
    yield from _tiles(last, end, size + 1)
