"""Reports on money and on how requests went, against sums over the events that were posted."""

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from click.testing import Result as Ran
from msgspec.structs import replace

from billing.metering.answers import Result
from billing.metering.folding import fold
from pricing import money
from tests.cli.conftest import printed
from tests.reports.conftest import Relay

pytestmark = pytest.mark.anyio

ZONES = ("UTC", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/Berlin", "America/St_Johns")
FIRST = datetime(2026, 10, 22, 3, 10, tzinfo=UTC)  # Europe and Lord Howe change their clocks in this time
DAYS = 12
MODELS = ("gpt-4", "gpt-4o", "gpt-3.5-turbo", "no-such-model")
ENDS = ("completed", "completed", "completed", "client_aborted", "upstream_cut", "failed")

WHOLE = {"from": "2026-10-01", "to": "2026-12-01"}

Posted = list[tuple[dict[str, Any], Result]]


async def posted(relay: Relay, seed: int, events: int = 300) -> Posted:
    """Events at any time of some days, in several batches, with what was answered."""
    chance = random.Random(seed)
    accounts = [await relay.account() for _ in range(4)]
    found = []
    for number in range(events):
        usage = {"prompt_tokens": chance.randint(1, 5_000), "completion_tokens": chance.randint(0, 900)}
        event = {
            "id": f"e{number}",
            "source": "gateway-1",
            "account": chance.choice(accounts[: 1 + number % 4]),
            "time": (FIRST + timedelta(seconds=chance.randint(0, DAYS * 86_400))).isoformat(),
            "model": chance.choice(MODELS),
            "usage": usage,
            "ended": chance.choice(ENDS),
            "status": chance.choice((200, 200, 200, 429, 503)),
            "latency_ms": chance.randint(0, 60_000),
        }
        if number % 3:
            event |= {"upstream": {"name": chance.choice(("up-1", "up-2")), "cost": f"0.{chance.randint(1, 99):04d}"}}
        if number % 2:
            event |= {"first_token_ms": chance.randint(0, 900)}
        found.append(event)
    results: list[Result] = []
    for start in range(0, events, 100):
        results += await relay.post(found[start : start + 100])
        if start == 100:
            await fold(relay.pool)
    assert {result.status for result in results} == {"accepted", "unpriced"}
    return list(zip(found, results, strict=True))


def shown(sent: dict[str, Any], interval: str | None, zone: str) -> str:
    local = datetime.fromisoformat(sent["time"]).astimezone(ZoneInfo(zone))
    if interval == "hour":
        return local.replace(minute=0, second=0).isoformat(timespec="minutes")
    return {"day": f"{local:%Y-%m-%d}", "month": f"{local:%Y-%m}", None: ""}[interval]


def model_of(sent: dict[str, Any]) -> str:
    return "unknown" if sent["model"] == "no-such-model" else str(sent["model"])


def upstream_of(sent: dict[str, Any]) -> str:
    return str(sent.get("upstream", {"name": ""})["name"])


def within(items: Posted, start: datetime, end: datetime) -> Posted:
    return [one for one in items if start <= datetime.fromisoformat(one[0]["time"]) < end]


def expected(items: Posted) -> dict[str, Any]:
    amount = sum(money.parse(result.charge or "0") for _, result in items)
    cost = sum(money.parse(sent["upstream"]["cost"]) for sent, _ in items if "upstream" in sent)
    return {
        "requests": len(items),
        "amount": money.format(amount),
        "cost": money.format(cost),
        "margin": money.format(amount - cost),
        "without_cost": sum("upstream" not in sent for sent, _ in items),
    }


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("requests", "amount", "cost", "margin", "without_cost")}


@pytest.mark.parametrize("seed", range(6))
async def test_margins_are_sums_in_any_time_zone(relay: Relay, seed: int) -> None:
    items = await posted(relay, seed)
    chance = random.Random(seed)
    for interval in (None, "hour", "day", "month"):
        for zone in (ZONES[seed], chance.choice(ZONES)):
            edges = sorted(FIRST + timedelta(minutes=15) * chance.randint(-100, DAYS * 96 + 100) for _ in range(2))
            start, end = (edge - timedelta(minutes=edge.minute % 15) for edge in edges)
            query = {"from": start.isoformat(), "to": (end + timedelta(minutes=15)).isoformat(), "time_zone": zone}
            query |= {"interval": interval} if interval else {}
            mine = within(items, start, end + timedelta(minutes=15))
            groups: dict[tuple[str, ...], Posted] = defaultdict(list)
            for one in mine:
                groups[(shown(one[0], interval, zone), model_of(one[0]), upstream_of(one[0]))].append(one)
            report = await relay.report("margin", **query, group_by=["model", "upstream"])
            found = {(row.get("time", ""), row["model"], row["upstream"]): told(row) for row in report["data"]}
            assert found == {key: expected(group) for key, group in groups.items()}
            assert told(report["total"]) == expected(mine)
            revenue = await relay.report("revenue", **query)
            by_time: dict[str, Posted] = defaultdict(list)
            for one in mine:
                by_time[shown(one[0], interval, zone)].append(one)
            assert {row.get("time", ""): row["amount"] for row in revenue["data"]} == {
                key: expected(group)["amount"] for key, group in by_time.items()
            }


async def test_customers_are_listed_by_what_they_were_charged(relay: Relay) -> None:
    items = await posted(relay, 7)
    query = {"from": "2026-10-24T05:45+05:45", "to": "2026-10-30", "time_zone": "Asia/Kathmandu"}
    end = datetime(2026, 10, 30, tzinfo=ZoneInfo("Asia/Kathmandu"))
    mine = within(items, datetime(2026, 10, 24, tzinfo=UTC), end)
    by_account: dict[str, Posted] = defaultdict(list)
    for one in mine:
        by_account[one[0]["account"]].append(one)
    ranked = sorted(by_account, key=lambda account: -money.parse(expected(by_account[account])["amount"]))
    report = await relay.report("customers", **query, limit=3)
    assert [(row["account"], row["name"]) for row in report["data"]] == [(account, "Ada") for account in ranked[:3]]
    assert [told(row) for row in report["data"]] == [expected(by_account[account]) for account in ranked[:3]]
    assert told(report["total"]) == expected(mine)
    one = await relay.report("customers", **query, account=ranked[1])
    assert [row["account"] for row in one["data"]] == [ranked[1]]
    assert one["total"]["requests"] == len(by_account[ranked[1]])


async def test_filters_leave_out_the_others(relay: Relay) -> None:
    items = await posted(relay, 8)
    account = items[0][0]["account"]
    for only, passes in (
        ({"model": ["gpt-4", "unknown"]}, lambda sent: model_of(sent) in ("gpt-4", "unknown")),
        ({"upstream": ""}, lambda sent: upstream_of(sent) == ""),
        ({"account": account}, lambda sent: sent["account"] == account),
        ({"account": account, "model": "gpt-4o"}, lambda sent: (sent["account"], sent["model"]) == (account, "gpt-4o")),
    ):
        some = [one for one in items if passes(one[0])]
        assert told((await relay.report("margin", **WHOLE, **only))["total"]) == expected(some)


async def test_usage_is_a_quantity_for_each_dimension(relay: Relay) -> None:
    items = await posted(relay, 9)
    report = await relay.report("usage", **WHOLE, group_by="model", interval="month", time_zone="Asia/Kolkata")
    quantities: dict[tuple[str, str, str], int] = defaultdict(int)
    for sent, result in items:
        if money.parse(result.charge or "0"):
            usage = sent["usage"]
            for dimension, tokens in (("input", usage["prompt_tokens"]), ("output", usage["completion_tokens"])):
                quantities[(shown(sent, "month", "Asia/Kolkata"), sent["model"], dimension)] += tokens
    found = {(row["time"], row["model"], row["dimension"]): row["quantity"] for row in report["data"]}
    assert {key: found[key] for key in quantities} == quantities
    assert report["group_by"] == ["model", "dimension"]
    assert report["total"]["requests"] == len(items)


async def test_models_come_in_order_of_their_revenue(relay: Relay) -> None:
    await posted(relay, 10)
    rows = (await relay.report("models", **WHOLE))["data"]
    amounts = [money.parse(row["amount"]) for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert rows[0]["model"] == "gpt-4"
    part = 100 * money.parse(rows[0]["margin"]) / amounts[0]
    assert abs(float(rows[0]["margin_percent"]) - part) <= 0.005


async def test_a_margin_is_no_part_of_anything_where_no_cost_is_known(relay: Relay) -> None:
    await posted(relay, 12)
    rows = (await relay.report("margin", **WHOLE, group_by="upstream"))["data"]
    parts = {row["upstream"]: row["margin_percent"] for row in rows}
    assert parts.pop("") is None
    assert None not in parts.values()


async def test_status_says_how_requests_went(relay: Relay) -> None:
    items = await posted(relay, 11)
    report = await relay.report("status", **WHOLE, group_by=["model", "upstream"], interval="day")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for sent, _ in items:
        groups[(shown(sent, "day", "UTC"), model_of(sent), upstream_of(sent))].append(sent)
    assert {(row["time"], row["model"], row["upstream"]) for row in report["data"]} == set(groups)
    for row in [*report["data"], report["total"]]:
        mine = groups[(row["time"], row["model"], row["upstream"])] if "time" in row else [sent for sent, _ in items]
        failed = [sent for sent in mine if sent["status"] >= 400 or sent["ended"] == "failed"]
        others = [sent["ended"] for sent in mine if sent not in failed]
        cut = others.count("upstream_cut")
        assert (row["requests"], row["failed"], row["aborted"], row["cut"]) == (
            len(mine),
            len(failed),
            others.count("client_aborted"),
            cut,
        )
        assert abs(float(row["error_percent"]) - 100 * (len(failed) + cut) / len(mine)) <= 0.005
        for name in ("latency_ms", "first_token_ms"):
            took = sorted(sent[name] for sent in mine if name in sent)
            assert row[name]["requests"] == len(took)
            for percent in (50, 95, 99) if took else ():
                true = took[-(-len(took) * percent // 100) - 1]
                assert abs(row[name][f"p{percent}"] - true) <= max(8, true // 4)


async def test_a_span_in_which_nothing_happened_is_empty(relay: Relay) -> None:
    await posted(relay, 12, events=10)
    empty = {"from": "2025-01-01", "to": "2025-02-01"}
    for name in ("revenue", "usage", "customers", "models", "margin", "status"):
        report = await relay.report(name, **empty)
        assert (report["object"], report["data"], report["total"]["requests"]) == (f"report.{name}", [], 0)


@pytest.mark.parametrize("name", ["revenue", "usage", "customers", "models", "margin", "status"])
async def test_bad_questions_are_refused(relay: Relay, name: str) -> None:
    assert await relay.refusal(name, time_zone="Mars/Olympus") == "unknown_time_zone"
    assert await relay.refusal(name, **{"from": "soon"}) == "invalid_time"
    assert await relay.refusal(name, **{"from": "2026-11-02", "to": "2026-11-01"}) == "empty_span"
    if name != "customers":
        assert await relay.refusal(name, **{"from": "2020-01-01"}, interval="hour") == "too_many_rows"
    if name not in ("customers", "models"):
        assert await relay.refusal(name, group_by="colour") == "invalid_parameter"


async def test_rows_beyond_the_limit_are_refused_and_never_cut(relay: Relay) -> None:
    await posted(relay, 13)
    settings = relay.client._transport.app.state.settings  # type: ignore[attr-defined]
    relay.client._transport.app.state.settings = replace(settings, report_rows_max=100)  # type: ignore[attr-defined]
    query = {"from": "2026-10-25", "to": "2026-10-29", "interval": "hour"}
    assert await relay.refusal("usage", **query, group_by=["model", "upstream"]) == "too_many_rows"


async def test_commands_print_the_same(relay: Relay, billing: Callable[..., Ran]) -> None:
    await posted(relay, 14, events=60)

    async def run(*arguments: str) -> Ran:
        return await anyio.to_thread.run_sync(lambda: billing("report", *arguments))

    span = ("--from", "2026-10-01", "--to", "2026-12-01")
    for name in ("revenue", "usage", "customers", "models", "margin", "status"):
        assert printed(await run(name, *span, "--json")) == await relay.report(name, **WHOLE)
        table = await run(name, *span)
        assert table.exit_code == 0, table.output
        assert name.capitalize() in table.output
        nothing = await run(name, "--from", "2025-01-01", "--to", "2025-01-02")
        assert "in this span" in nothing.output
    by_day = await run("status", *span, "--interval", "day", "--group-by", "upstream", "--model", "gpt-4")
    assert "2026-10-2" in by_day.output
