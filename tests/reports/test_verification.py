"""The verification report, against what was answered when its events were posted."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from click.testing import Result as Ran

from billing.metering.answers import Result
from pricing import money
from tests import factories
from tests.cli.conftest import printed
from tests.metering.contents import ANSWER, ANSWER_TOKENS, HELLO, HELLO_TOKENS
from tests.metering.events import event
from tests.reports.conftest import Relay

pytestmark = pytest.mark.anyio

CONTENT = {"request": HELLO, "response": ANSWER}
TRUE = {"prompt_tokens": HELLO_TOKENS, "completion_tokens": ANSWER_TOKENS}
OVER = {"prompt_tokens": 900, "completion_tokens": ANSWER_TOKENS}
WAY_OVER = {"prompt_tokens": 5_000, "completion_tokens": 1_000}
UNDER = {"prompt_tokens": 2, "completion_tokens": 1}
OCTOBER = {"from": "2026-10-01", "to": "2026-11-01"}
KATHMANDU = "Asia/Kathmandu"  # 5 h 45 min ahead
TIMES = ("2026-10-05T18:10:00Z", "2026-10-05T18:20:00Z", "2026-10-31T18:14:59Z", "2026-10-31T18:20:00Z")
MODELS = ("gpt-4", "gpt-4o")


Posted = list[tuple[dict[str, Any], Result]]


async def posted(relay: Relay) -> Posted:
    """Each way of reporting, at each time; models, upstreams, sources and accounts take turns."""
    accounts = [await relay.account() for _ in range(2)]
    usages = [TRUE, OVER, WAY_OVER, UNDER, ..., None]
    events = []
    for number, (time, usage) in enumerate((time, usage) for time in TIMES for usage in usages):
        changes: dict[str, Any] = {"time": time, "usage": usage, "model": MODELS[number % 2], "content": CONTENT}
        changes |= {"source": f"gateway-{number % 3 % 2}", "upstream": {"name": f"up-{number % 5 // 2}"}}
        if number % 7 == 0:
            changes["content"] = ["odd"]
        if number % 4 == 0:
            del changes["upstream"]
        events.append(event(accounts[number // 3 % 2], f"e{number}", **changes))
    plain = event(accounts[0], "without text", usage=TRUE)
    results = await relay.post([*events, plain])
    assert results[-1].verification is None
    return list(zip(events, results, strict=False))


def names_of(sent: dict[str, Any]) -> dict[str, str]:
    return {
        "model": sent["model"],
        "upstream": sent.get("upstream", {"name": ""})["name"],
        "source": sent["source"],
        "account": sent["account"],
    }


def outside(result: Result) -> tuple[int, int]:
    """Tokens reported above our highest count, and below our lowest."""
    found = result.verification
    assert found is not None
    sides = [(found.reported.input, found.counted.input), (found.reported.output, found.counted.output)]
    known = [(said, span) for said, span in sides if said is not None and span is not None]
    over = sum(max(0, said - high) for said, (_, high) in known if high is not None)
    return over, sum(max(0, low - said) for said, (low, _) in known)


def sums(items: Posted) -> dict[str, Any]:
    verdicts = Counter(result.verification.verdict for _, result in items if result.verification)
    return {
        "events": len(items),
        "verdicts": {name: number for name, number in verdicts.items() if number},
        "excess": sum(outside(result)[0] for _, result in items),
        "shortfall": sum(outside(result)[1] for _, result in items),
    }


def told(row: dict[str, Any]) -> dict[str, Any]:
    verdicts = {name: number for name, number in row["verdicts"].items() if number}
    return {**{name: row[name] for name in ("events", "excess", "shortfall")}, "verdicts": verdicts}


@pytest.mark.parametrize(
    ("group_by", "interval", "time_zone"),
    [
        (["model", "upstream"], None, "UTC"),
        (["account"], "day", KATHMANDU),
        (["source", "model"], "month", KATHMANDU),
        (["upstream"], "hour", "Australia/Lord_Howe"),
    ],
)
async def test_each_group_is_the_sum_of_its_events(
    relay: Relay, group_by: list[str], interval: str | None, time_zone: str
) -> None:
    items = await posted(relay)
    query = {"from": "2026-10-01T00:00Z", "to": "2026-11-01T00:00Z", "group_by": group_by, "time_zone": time_zone}
    report = await relay.report("verification", **query, **({"interval": interval} if interval else {}))
    expected: dict[tuple[str, ...], Posted] = {}
    for sent, result in items:
        local = datetime.fromisoformat(sent["time"]).astimezone(ZoneInfo(time_zone))
        shown = {
            "day": f"{local:%Y-%m-%d}",
            "month": f"{local:%Y-%m}",
            "hour": local.replace(minute=0, second=0).isoformat(timespec="minutes"),
            None: "",
        }[interval]
        named = names_of(sent)
        expected.setdefault((shown, *(named[name] for name in group_by)), []).append((sent, result))
    found = {(row.get("time", ""), *(row[name] for name in group_by)): told(row) for row in report["data"]}
    assert found == {key: sums(group) for key, group in expected.items()}
    assert told(report["total"]) == sums(items)


async def test_filters_and_spans_leave_out_the_others(relay: Relay) -> None:
    items = await posted(relay)
    mine = [(sent, result) for sent, result in items if sent["model"] == "gpt-4o" and sent["time"] < "2026-10-06"]
    report = await relay.report("verification", **{**OCTOBER, "to": "2026-10-06"}, model="gpt-4o")
    assert told(report["total"]) == sums(mine)
    assert {row["model"] for row in report["data"]} == {"gpt-4o"}
    unnamed = await relay.report("verification", **OCTOBER, upstream=["", "up-1"])
    some = [one for one in items if names_of(one[0])["upstream"] in ("", "up-1")]
    assert told(unnamed["total"]) == sums(some)
    nobody = await relay.report("verification", **OCTOBER, account="acct_nobody")
    assert (nobody["total"]["events"], nobody["data"], nobody["worst"]) == (0, [], [])


async def test_what_mismatches_would_have_cost(relay: Relay) -> None:
    account = await relay.account()
    [over, under] = await relay.post(
        [
            event(account, "over", usage=OVER, content=CONTENT, upstream={"name": "greedy"}),
            event(account, "under", usage=UNDER, content=CONTENT),
        ]
    )
    report = await relay.report("verification", **OCTOBER)
    excess, _ = outside(over)
    [greedy, other] = report["data"]
    assert (greedy["upstream"], other["upstream"]) == ("greedy", "")
    per_token = 15 * money.PICOS_PER_DOLLAR // 10**6  # half of $30 a million
    assert money.parse(greedy["excess_amount"]) == excess * per_token
    assert greedy["shortfall_amount"] == "0"
    assert under.verification is not None
    assert under.verification.counted.input is not None
    assert under.verification.counted.output is not None
    less = under.verification.counted.input[0] - 2, under.verification.counted.output[0] - 1
    assert money.parse(other["shortfall_amount"]) == (less[0] + 2 * less[1]) * per_token
    assert other["reported"] == 3
    assert other["counted"] == HELLO_TOKENS + ANSWER_TOKENS
    assert report["total"]["excess_amount"] == greedy["excess_amount"]


async def test_the_worst_events_come_first_with_both_numbers(relay: Relay) -> None:
    items = await posted(relay)
    report = await relay.report("verification", **OCTOBER, worst=5)
    amounts = [money.parse(one["excess_amount"]) + money.parse(one["shortfall_amount"]) for one in report["worst"]]
    assert len(amounts) == 5
    assert amounts == sorted(amounts, reverse=True)
    first = report["worst"][0]
    [(sent, result)] = [one for one in items if one[0]["id"] == first["id"]]
    assert result.verification is not None
    assert {name: first[name] for name in names_of(sent)} == names_of(sent)
    assert first["verification"]["verdict"] == "over_reported"
    assert first["verification"]["reported"] == {"input": 5_000, "output": 1_000}
    assert first["verification"]["counted"]["input"] == list(result.verification.counted.input or ())
    assert (await relay.report("verification", **OCTOBER, worst=0))["worst"] == []


async def test_reasons_for_not_verifying_are_counted(relay: Relay) -> None:
    items = await posted(relay)
    reasons = Counter(
        result.verification.reason
        for _, result in items
        if result.verification and result.verification.verdict == "unverifiable"
    )
    assert reasons
    report = await relay.report("verification", **OCTOBER)
    assert {one["reason"]: one["events"] for one in report["unverifiable"]} == reasons


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"time_zone": "Mars/Olympus"}, "unknown_time_zone"),
        ({"from": "soon"}, "invalid_time"),
        ({"from": "2026-11-01"}, "empty_span"),
        ({"from": "2020-01-01", "interval": "hour"}, "too_many_rows"),
        ({"interval": "week"}, "invalid_parameter"),
        ({"group_by": "key"}, "invalid_parameter"),
        ({"worst": 101}, "invalid_parameter"),
    ],
)
async def test_a_query_that_is_none_is_refused(relay: Relay, query: dict[str, Any], code: str) -> None:
    assert await relay.refusal("verification", **{**OCTOBER, **query}) == code


async def test_it_is_for_the_operator(relay: Relay) -> None:
    async with relay.pool.connection() as conn:
        secret = await factories.key(conn, "gateway")
    answer = await relay.client.get("/v1/reports/verification", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")


async def test_the_command_prints_the_same(relay: Relay, billing: Callable[..., Ran]) -> None:
    await posted(relay)
    asked = ("report", "verification", "--from", "2026-10-01", "--to", "2026-11-01")
    over_http = await relay.report("verification", **OCTOBER)
    shown = await anyio.to_thread.run_sync(lambda: printed(billing(*asked, "--json")))
    assert shown == over_http
    table = await anyio.to_thread.run_sync(lambda: billing(*asked, "--model", "gpt-4", "--interval", "month"))
    assert table.exit_code == 0, table.output
    assert "2026-10" in table.output
    assert "Worst events" in table.output
    assert "gpt-4o" not in table.output
    nothing = await anyio.to_thread.run_sync(lambda: billing(*asked, "--account", "acct_nobody"))
    assert nothing.output == "No event of this span carried its text.\n"
    wrong = await anyio.to_thread.run_sync(lambda: billing(*asked[:3], "soon"))
    assert wrong.exit_code == 1
    assert "2026-11-01" in wrong.output
