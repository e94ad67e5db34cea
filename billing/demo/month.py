"""The demo from end to end: customers, keys, top-ups, traffic, closing, invoices. All of it may be done again."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from billing.accounts.keys import hash_of
from billing.demo.customers import Customer
from billing.demo.gateway import Gateway, GatewayError, Refused, Tally
from billing.demo.traffic import Demo, Event, Post, Traffic, Wave, traffic
from billing.metering.answers import Answer
from pricing import money

BATCH_EVENTS = 250
KEY_NAME = "demo"
TOP_UPS_DOLLARS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
MARGIN = 3
"""What is topped up is at least this many times what upstreams take, which is less than what customers pay."""

Stage = Literal["making", "customers", "traffic", "closing", "invoices"]
Progress = Callable[[Stage, int, int], None]
"""Told how many of how many are done in a stage."""


class Run(msgspec.Struct, kw_only=True):
    """What a demo did: amounts in picodollars by account, invoices as the service answers them."""

    demo: Demo
    traffic: Traffic
    tally: Tally
    seconds: float = 0.0
    retries: int = 0
    late: dict[str, int] = {}
    closed: dict[str, dict[str, Any]] = {}
    invoices: dict[str, dict[str, Any]] = {}
    balances: dict[str, int] = {}


def last_complete_month(now: datetime) -> str:
    """The last month that is over in every time zone."""
    everywhere = now.astimezone(UTC) - timedelta(hours=13)
    return f"{everywhere.replace(day=1) - timedelta(days=1):%Y-%m}"


async def run(admin: Gateway, demo: Demo, folder: Path, progress: Progress) -> Run:
    """Do all of it and write the invoices to `folder`, which exists. Raises GatewayError."""
    month = traffic(demo, lambda made: progress("making", made, demo.events))
    done = Run(demo=demo, traffic=month, tally=Tally())
    keys = await _set_up(admin, month, demo, progress)
    expires_at = datetime.now(UTC) + timedelta(hours=1)  # so that none is left behind, whatever happens
    service_key = {"scope": "gateway", "name": f"demo {demo.tag}", "expires_at": expires_at}
    secret = (await admin.post("/v1/keys", service_key))["secret"]
    async with admin.with_key(secret) as gateway:
        started = time.monotonic()
        await _post(gateway, done, ("in_time", "after_the_rest"), keys, progress)
        done.seconds = time.monotonic() - started
        await _close(admin, done, progress)
        await _post(gateway, done, ("after_closing",), keys, progress)
        done.retries = gateway.retries + admin.retries
    await _fetch_invoices(admin, done, folder, progress)
    await admin.each(month.customers, lambda customer: _read_balance(admin, done, customer))
    return done


async def _set_up(admin: Gateway, month: Traffic, demo: Demo, progress: Progress) -> dict[str, str]:
    """Accounts with keys and money; the hash of the key of each account that has just got one."""
    hashes: dict[str, str] = {}
    needs = _top_ups(month)
    finished = 0
    progress("customers", 0, len(month.customers))

    async def make(customer: Customer) -> None:
        nonlocal finished
        await make_account(admin, customer.account, customer.name, customer.time_zone)
        secret = await _issue_key(admin, customer)
        if secret:
            hashes[customer.account] = hash_of(secret).hex()
        await _top_up(admin, demo, customer, needs[customer.account])
        finished += 1
        progress("customers", finished, len(month.customers))

    await admin.each(month.customers, make)
    return hashes


async def make_account(admin: Gateway, account: str, name: str, time_zone: str) -> None:
    """Make an account, unless it is there already."""
    try:
        await admin.post("/v1/accounts", {"id": account, "name": name, "time_zone": time_zone})
    except Refused as refused:
        if refused.code != "account_exists":
            raise


async def _issue_key(admin: Gateway, customer: Customer) -> str | None:
    """A key for a customer who has none: the secret of an earlier one is not to be had again."""
    path = f"/v1/accounts/{customer.account}/keys"
    if any(key["name"] == KEY_NAME for key in (await admin.get(path))["data"]):
        return None
    secret: str = (await admin.post(path, {"name": KEY_NAME}))["secret"]
    return secret


async def _top_up(admin: Gateway, demo: Demo, customer: Customer, dollars: int) -> None:
    """Money on the first day of the customer's month, once however often it is asked for."""
    first = datetime(*demo.year_and_month, 1, tzinfo=ZoneInfo(customer.time_zone))
    body = {"amount": str(dollars), "reference": f"demo {demo.tag}", "effective_at": first.isoformat()}
    try:
        await admin.post(
            f"/v1/accounts/{customer.account}/top-ups", body, idempotency_key=f"demo-top-up-{customer.account}"
        )
    except Refused as refused:
        if refused.code != "period_closed":  # then an earlier run has done it, so long ago that the key is forgotten
            raise


def _top_ups(month: Traffic) -> dict[str, int]:
    """A round sum of dollars for each customer that lasts for the month."""
    costs: dict[str, int] = defaultdict(int)
    for post in month:
        costs[post.customer.account] += money.parse(post.event.get("upstream", {}).get("cost", "0"))
    return {
        customer.account: next(
            (size for size in TOP_UPS_DOLLARS if money.parse(str(size)) >= MARGIN * costs[customer.account]),
            TOP_UPS_DOLLARS[-1],
        )
        for customer in month.customers
    }


async def _post(gateway: Gateway, done: Run, waves: Sequence[Wave], keys: dict[str, str], progress: Progress) -> None:
    """Post waves one after the other, each in batches on all connections."""
    total = sum(len(posts) for posts in done.traffic.posts.values())

    async def send(batch: list[Post]) -> None:
        late = batch[0].wave == "after_closing"
        answer = await gateway.post_events([_named(post.event, keys) for post in batch], every_result=late)
        done.tally.add(answer)
        if late:
            _add_charges(done.late, batch, answer)
        progress("traffic", done.tally.posted, total)

    for wave in waves:
        await gateway.each(batches(done.traffic.posts[wave], BATCH_EVENTS), send)


def batches(posts: Sequence[Post], size: int) -> Iterator[list[Post]]:
    rest = iter(posts)
    while batch := list(islice(rest, size)):
        yield batch


def _named(event: Event, keys: dict[str, str]) -> Event:
    """The event with the hash of the key it came with, where we know it; a gateway need not know accounts."""
    key = keys.get(event["account"])
    if key is None:
        return event
    return {**{name: value for name, value in event.items() if name != "account"}, "api_key_hash": key}


def _add_charges(charges: dict[str, int], batch: list[Post], answer: Answer) -> None:
    """What events cost, each counted once: a repeated one costs nothing more."""
    seen = set()
    for result in answer.results:
        post = batch[result.index]
        if result.charge and result.id not in seen:
            seen.add(result.id)
            charges[post.customer.account] = charges.get(post.customer.account, 0) + money.parse(result.charge)


async def _close(admin: Gateway, done: Run, progress: Progress) -> None:
    """Close the month of the demo's own customers, and of nobody else's."""

    async def close(customer: Customer) -> None:
        path = f"/v1/periods/{done.demo.month}/close?account={customer.account}"
        result = (await admin.post(path))["results"][0]
        if result["outcome"] in ("parked", "refused", "failed"):
            raise GatewayError(f"{customer.name} could not be closed ({result['outcome']}): {result['detail']}")
        done.closed[customer.account] = result
        progress("closing", len(done.closed), len(done.traffic.customers))

    await admin.each(done.traffic.customers, close)


async def _fetch_invoices(admin: Gateway, done: Run, folder: Path, progress: Progress) -> None:
    invoiced = [(account, result) for account, result in done.closed.items() if result["invoice"]]

    async def fetch(closed: tuple[str, dict[str, Any]]) -> None:
        account, result = closed
        for kind in ("json", "csv"):
            content = await admin.file(f"/v1/invoices/{quote(result['invoice'])}.{kind}")
            (folder / f"{Path(result['number']).name}.{kind}").write_bytes(content)
            if kind == "json":
                done.invoices[account] = msgspec.json.decode(content)
        progress("invoices", len(done.invoices), len(invoiced))

    await admin.each(invoiced, fetch)


async def _read_balance(admin: Gateway, done: Run, customer: Customer) -> None:
    found = await admin.get(f"/v1/accounts/{customer.account}/balance")
    done.balances[customer.account] = money.parse(found["posted"])
