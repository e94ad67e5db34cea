"""A recorded trace, posted as a gateway's traffic.

Each row is one event whose identity is the file's name and the row's line, and whose customer and model are drawn from
the seed and that identity alone. So a replay can be stopped and run again, and a row that was mended joins the others:
what is there already comes back as a duplicate, with what it cost.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import accumulate, islice
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from billing.demo.customers import power_law
from billing.demo.gateway import Gateway, Refused, Tally
from billing.demo.models import CHAT
from billing.demo.month import make_account
from billing.demo.trace import BadRow, Row, TraceError, read
from billing.metering.answers import Answer, Result
from pricing import money

TAKEN = ("accepted", "duplicate", "unpriced")
FAULTS_LISTED_MAX = 1000

Event = dict[str, Any]
Sent = tuple[Row, Event]
Progress = Callable[[int], None]
"""Told how many rows are done."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What decides every event of a replay. `models` are names with their weights."""

    path: Path
    source: str
    models: tuple[tuple[str, int], ...]
    customers: int
    seed: int
    shift_to: date | None = None

    @property
    def name(self) -> str:
        """The file's name without what it is packed in: so a trace is the same trace, packed or not."""
        return self.path.name.removesuffix(".gz")

    @property
    def accounts(self) -> list[str]:
        """The customers, the one with most of the traffic first."""
        return [f"acct_replay-{number:03d}" for number in range(1, self.customers + 1)]


class Total(msgspec.Struct):
    """Of one customer and model: what was booked, now or before. `charge` is picodollars until it is printed."""

    requests: int = 0
    context_tokens: int = 0
    generated_tokens: int = 0
    charge: int = 0


class Replayed(msgspec.Struct, kw_only=True):
    """What a replay did. `bad_rows` could not be read, `refused` were not taken by the service; by line."""

    tally: Tally
    totals: dict[tuple[str, str], Total] = {}
    bad_rows: list[BadRow] = []
    refused: list[BadRow] = []
    retries: int = 0

    def add(self, rows: list[Sent], answer: Answer) -> None:
        self.tally.add(answer)
        for result in answer.results:
            row, event = rows[result.index]
            if result.status in TAKEN:
                self._count(row, event, result)
            elif len(self.refused) < FAULTS_LISTED_MAX:
                self.refused.append(BadRow(row.line, result.reason or result.status))

    def _count(self, row: Row, event: Event, result: Result) -> None:
        total = self.totals.setdefault((event["account"], event["model"]), Total())
        total.requests += 1
        total.context_tokens += row.context_tokens
        total.generated_tokens += row.generated_tokens
        total.charge += money.parse(result.charge or "0")


async def replay(gateway: Gateway, plan: Plan, batch_size: int, progress: Progress) -> Replayed:
    """Post the whole trace. Raises TraceError, GatewayError."""
    done = Replayed(tally=Tally())
    await _make_accounts(gateway, plan)
    finished = 0

    async def send(batch: list[Sent]) -> None:
        nonlocal finished
        answer = await gateway.post_events([event for _, event in batch], every_result=True)
        done.add(batch, answer)
        finished += len(batch)
        progress(finished)

    await gateway.each(_batches(events(plan, done.bad_rows), batch_size), send)
    done.retries = gateway.retries
    return done


async def _make_accounts(gateway: Gateway, plan: Plan) -> None:
    """Make the accounts that are missing, if the key may: a gateway's key may only use those that are there."""

    async def make(account: str) -> None:
        await make_account(gateway, account, f"Replay customer {account[-3:]}", "UTC")

    try:
        await gateway.each(plan.accounts, make)
    except Refused as refused:
        if refused.code != "wrong_scope":
            raise


def events(plan: Plan, bad_rows: list[BadRow]) -> Iterator[Sent]:
    """The trace's events, in its order; rows that are none are added to `bad_rows`. Raises TraceError."""
    accounts, shares = plan.accounts, list(accumulate(power_law(plan.customers)))
    models, weights = zip(*plan.models, strict=True)
    shift: timedelta | None = None
    for row in read(plan.path):
        if isinstance(row, BadRow):
            bad_rows.append(row)
            continue
        if shift is None:
            shift = _shift(plan, row)
        rng = Random(f"{plan.seed}/{plan.name}/{row.line}")  # noqa: S311 - the same every time
        account = rng.choices(accounts, cum_weights=shares)[0]
        yield row, _event(plan, row, account, rng.choices(models, weights)[0], row.time + shift)
    if shift is None:
        raise TraceError(f"{plan.path} has no row that can be read.")


def _shift(plan: Plan, first: Row) -> timedelta:
    """Whole days, so that the hours stay what they were."""
    if plan.shift_to is None:
        return timedelta()
    return plan.shift_to - first.time.date()


def _event(plan: Plan, row: Row, account: str, model: str, moment: datetime) -> Event:
    return {
        "id": f"{plan.name}:{row.line}",
        "source": plan.source,
        "time": f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z",
        "account": account,
        "model": model,
        "endpoint": CHAT,
        "usage": {
            "prompt_tokens": row.context_tokens,
            "completion_tokens": row.generated_tokens,
            "total_tokens": row.context_tokens + row.generated_tokens,
        },
    }


def _batches(rows: Iterator[Sent], size: int) -> Iterator[list[Sent]]:
    while batch := list(islice(rows, size)):
        yield batch


def report(plan: Plan, done: Replayed) -> dict[str, Any]:
    """The totals as plain data, to be compared with a computation by others: money in decimal dollars."""
    tally = done.tally
    return {
        "file": plan.name,
        "source": plan.source,
        "models": dict(plan.models),
        "customers": plan.customers,
        "seed": plan.seed,
        "shift_to": plan.shift_to,
        "posted": tally.posted,
        "accepted": tally.accepted,
        "duplicates": tally.duplicates,
        "unpriced": tally.unpriced,
        "conflicts": tally.conflicts,
        "rejected": tally.rejected,
        "bad_rows": [row._asdict() for row in done.bad_rows],
        "refused": [row._asdict() for row in done.refused],
        "totals": [
            {"account": account, "model": model, **_in_dollars(total)}
            for (account, model), total in sorted(done.totals.items())
        ],
        "sum": _in_dollars(total_of(done)),
    }


def total_of(done: Replayed) -> Total:
    totals = done.totals.values()
    return Total(*(sum(getattr(total, name) for total in totals) for name in Total.__struct_fields__))


def _in_dollars(total: Total) -> dict[str, Any]:
    return {**msgspec.structs.asdict(total), "charge": money.format(total.charge)}
