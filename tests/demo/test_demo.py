"""The demo from end to end, on a real service; its invoices against fractions and a price list of the test's own."""

import csv
import re
from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import main
from billing.cli._summary import bar
from billing.demo.checks import CHECKS, quantities
from billing.demo.gateway import Tally
from billing.demo.month import Run
from billing.demo.traffic import Demo, Traffic, traffic
from tests.serving import ADMIN_KEY, Server

SIZE = {"events": 1500, "customers": 6, "seed": 3}
MILLION = 1_000_000


def tokens(official_input: str, official_output: str = "0") -> dict[str, Fraction]:
    return {"input": Fraction(official_input) / MILLION, "output": Fraction(official_output) / MILLION}


def characters(official: str) -> dict[str, Fraction]:
    return {"input_characters": Fraction(official) / MILLION}


OFFICIAL: dict[str, dict[str, Fraction]] = {
    "gpt-3.5-turbo": tokens("0.5", "1.5"),
    "gpt-3.5-turbo-0125": tokens("0.5", "1.5"),
    "gpt-3.5-turbo-0301": tokens("1.5", "2"),
    "gpt-3.5-turbo-0613": tokens("1.5", "2"),
    "gpt-3.5-turbo-1106": tokens("1", "2"),
    "gpt-3.5-turbo-16k": tokens("3", "4"),
    "gpt-3.5-turbo-16k-0613": tokens("3", "4"),
    "gpt-3.5-turbo-instruct": tokens("1.5", "2"),
    "gpt-4": tokens("30", "60"),
    "gpt-4-1106-preview": tokens("10", "20"),  # as the platform publishes these two
    "gpt-4-vision-preview": tokens("10", "20"),
    "text-embedding-ada-002": tokens("0.1"),
    "tts-1": characters("15"),
    "tts-1-1106": characters("15"),
    "tts-1-hd": characters("30"),
    "tts-1-hd-1106": characters("30"),
    "dall-e-2": {
        "image:standard:256x256": Fraction("0.016"),
        "image:standard:512x512": Fraction("0.018"),
        "image:standard:1024x1024": Fraction("0.02"),
    },
    "dall-e-3": {
        "image:standard:1024x1024": Fraction("0.04"),
        "image:standard:1024x1792": Fraction("0.08"),
        "image:standard:1792x1024": Fraction("0.08"),
        "image:hd:1024x1024": Fraction("0.08"),
        "image:hd:1024x1792": Fraction("0.12"),
        "image:hd:1792x1024": Fraction("0.12"),
    },
}
"""Dollars for one token, character or image."""


def cost(event: dict[str, Any]) -> Fraction:
    """Half of the official price."""
    return (
        sum(
            (OFFICIAL[event["model"]][dimension] * count for dimension, count in quantities(event["usage"]).items()),
            Fraction(),
        )
        / 2
    )


def expected(month: Traffic, *waves: str) -> dict[str, Fraction]:
    """What each customer owes for what was sent in these waves."""
    sums: dict[str, Fraction] = Counter()
    for post in month:
        if post.kind == "usage" and post.wave in waves and "usage" in post.event:
            sums[post.customer.account] += cost(post.event)
    return sums


def demo(server: Server, folder: Path) -> Result:
    options = [part for name, value in SIZE.items() for part in (f"--{name}", str(value))]
    command = ["demo", *options, "--out", str(folder), "--url", server.url, "--admin-key", ADMIN_KEY]
    return CliRunner().invoke(main, command)


def invoices(folder: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def test_the_whole_month_to_the_last_cent_and_once_more_without_a_change(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "invoices"
    result = demo(server, folder)
    assert result.exit_code == 0, result.output + server.log.read_text()
    assert "✗" not in result.output
    assert re.search(r"accepted +1,500 ", result.output)

    month = traffic(Demo(last_complete_month_of(folder), **SIZE))
    owed = expected(month, "in_time", "after_the_rest")
    late = expected(month, "after_closing")
    first = invoices(folder)
    assert {invoice["account"]: Fraction(invoice["amount_exact"]) for invoice in first} == owed
    for invoice in first:
        account, total = invoice["account"], Fraction(invoice["total"])
        assert abs(total - owed[account]) <= Fraction("0.005") * len(invoice["lines"])
        balance = httpx.get(f"{server.url}/v1/accounts/{account}/balance", headers=server.headers).json()
        topped_up = Fraction(invoice["statement"]["top_ups"])
        assert Fraction(balance["posted"]) == topped_up - total - late.get(account, 0)
        assert Fraction(balance["posted"]) > 0

    again = demo(server, folder)
    assert again.exit_code == 0, again.output
    assert "Nothing new this time" in again.output
    assert re.search(r"accepted +0 ", again.output)
    assert invoices(folder) == first


def last_complete_month_of(folder: Path) -> str:
    """The month the demo took: the local one of any invoice's end, less a moment."""
    period = invoices(folder)[0]["period"]
    end = datetime.fromisoformat(period["end"]) - timedelta(seconds=1)
    return f"{end.astimezone(ZoneInfo(period['time_zone'])):%Y-%m}"


def test_csv_says_what_json_says(server: Server, tmp_path: Path) -> None:
    result = demo(server, tmp_path)
    assert result.exit_code == 0, result.output + server.log.read_text()
    for invoice in invoices(tmp_path):
        with (tmp_path / f"{invoice['number']}.csv").open(newline="") as file:
            records = list(csv.DictReader(file))
        lines = [record for record in records if record["record"] == "line"]
        assert [line["amount"] for line in lines] == [line["amount"] for line in invoice["lines"]]
        assert [record["amount"] for record in records if record["record"] == "total"] == [invoice["total"]]


def test_a_service_of_its_own_needs_no_preparation(folder: Path, tmp_path: Path) -> None:
    """An embedded PostgreSQL and a process for the service, which are gone afterwards."""
    settings = {"BILLING_DATA_DIR": str(folder / "demo"), "BILLING_DATABASE_URL": None, "BILLING_ADMIN_KEY": None}
    command = ["demo", "--events", "40", "--customers", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, command, env=settings)
    assert result.exit_code == 0, result.output
    assert "✓ Every balance is the sum of its postings" in result.output
    assert "✗" not in result.output
    assert len(invoices(tmp_path)) == 2
    assert (folder / "demo" / "demo" / "service.log").read_text().count("POST /v1/events 200") > 0


def test_a_running_service_needs_its_key() -> None:
    result = CliRunner().invoke(main, ["demo", "--url", "http://127.0.0.1:1"], env={"BILLING_ADMIN_KEY": None})
    assert (result.exit_code, "--url needs the service's admin key" in result.output) == (2, True)


@pytest.fixture
def run() -> Run:
    """Of one customer who bought 1000 tokens of gpt-4, which cost three cents and half of one for rounding up."""
    month = traffic(Demo("2026-10", 1, 1, 18))
    [post] = [post for post in month if post.event["model"] == "gpt-4"]
    post.event["usage"] = {"prompt_tokens": 2300, "completion_tokens": 0, "total_tokens": 2300}
    account = post.customer.account
    factors = {"unit_size": MILLION, "official_unit_price": "30", "multiplier": "0.5", "per_event_rounding": "0"}
    line = {"model": "gpt-4", "dimension": "input", "variant": "", "quantity": 2300, **factors}
    amounts = {"opening": "0", "top_ups": "10", "grants": "0", "usage": "0.03", "expired": "0", "adjustments": "0"}
    invoice = {
        "number": "INV-1",
        "lines": [{**line, "amount_exact": "0.0345", "amount": "0.03"}],
        "amount_exact": "0.0345",
        "total": "0.03",
        "statement": {**amounts, "closing": "9.97"},
    }
    return Run(
        demo=Demo("2026-10", 1, 1, 18),
        traffic=Traffic(month.customers, {"in_time": [post], "after_the_rest": [], "after_closing": []}),
        tally=Tally(),
        invoices={account: invoice},
        balances={account: 9_970_000_000_000},
    )


def found(run: Run) -> list[str]:
    return [difference for check in CHECKS.values() for difference in check(run)]


def test_the_checks_are_content_with_what_is_right(run: Run) -> None:
    assert found(run) == []


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("lines.quantity", 2301, "2,300 sent, 2,301 invoiced"),
        ("lines.official_unit_price", "30.000001", "0.0345 is not 0.03450000115"),
        ("lines.amount", "0.04", "0.04 is not the nearest cent"),
        ("total", "0.04", "its total is not the sum of its lines"),
        ("amount_exact", "0.0346", "its amount_exact is not the sum"),
        ("statement.closing", "9.98", "its statement does not add up"),
        ("statement.top_ups", "10.01", "its statement does not add up"),
    ],
)
def test_the_checks_find_a_cent_that_is_missing(run: Run, place: str, value: object, complaint: str) -> None:
    [invoice] = run.invoices.values()
    *path, name = place.split(".")
    holder = invoice if not path else invoice["lines"][0] if path == ["lines"] else invoice[path[0]]
    holder[name] = value
    assert any(complaint in difference for difference in found(run))


def test_the_checks_find_a_wallet_that_is_wrong(run: Run) -> None:
    [account] = run.balances
    run.balances[account] += 1
    assert found(run) == [f"{account} holds 9.970000000001; by its statement and late usage it should be 9.97."]


def test_bars_are_in_proportion() -> None:
    assert [bar(amount, 80) for amount in (80, 40, 20)] == ["█" * 28, "█" * 14, "█" * 7]
    assert (bar(1, 10**9), bar(0, 0)) == ("▏", "")
