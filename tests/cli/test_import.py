"""`billing import` on a real database: what files hold is booked once, and each event that is not is told."""

import gzip
import os
import signal
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from billing.demo.replay import Plan, events
from pricing import money
from tests import serving
from tests.cli.conftest import Billing, printed
from tests.metering.events import GPT_4_CHARGE, event

OFFICIAL = {"gpt-4": (Fraction(30), Fraction(60)), "gpt-3.5-turbo": (Fraction("0.5"), Fraction("1.5"))}
"""Dollars for a million tokens in and out, in October 2026."""


@pytest.fixture
def account(billing: Billing) -> str:
    return str(printed(billing("accounts", "create", "Ada", "--json"))["id"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def written(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in found))
    return str(path)


def posted(billing: Billing, account: str) -> str:
    return str(printed(billing("accounts", "show", account, "--json"))["balance"])


def test_good_events_are_booked_and_each_other_is_told(billing: Billing, account: str, path: Path) -> None:
    secret = "what a customer wrote"
    found = [
        event(account, "1"),
        event(account, "2", model="no-such-model"),
        event(account, "3", usage={"prompt_tokens": -1}, content={"request": {"prompt": secret}}),
        event("acct_nobody", "4"),
        event(..., "5", api_key="idr_secret", status="x"),  # type: ignore[arg-type]
        event(account, "1", model="gpt-4o"),
        event(account, "1"),
    ]
    report = path.with_suffix(".refused")
    result = billing("import", written(path, found), "--refused", str(report))
    assert result.exit_code == 1
    assert "7 events in" in result.output
    said = result.output
    assert "1 booked now for $0.000585, 1 booked before, 1 waiting for a price, 4 refused." in said
    assert "1 × rejected, unknown_account; the first in line 4: $.account: There is no account acct_nobody." in said
    assert "1 × unpriced; the first in line 2:" in said
    told = [msgspec.json.decode(line) for line in report.read_bytes().splitlines()]
    assert [(one["line"], one["status"], one["code"], one["path"]) for one in told] == [
        (3, "rejected", "invalid_usage", "$.usage.prompt_tokens"),
        (4, "rejected", "unknown_account", "$.account"),
        (5, "rejected", "invalid_value", "$.status"),
        (6, "conflict", "conflict", "$"),
    ]
    assert told[0]["event"]["usage"] == {"prompt_tokens": -1}
    assert told[0]["file"] == str(path)
    assert secret not in report.read_text()
    assert "idr_secret" not in report.read_text()
    assert posted(billing, account) == "-" + GPT_4_CHARGE
    again = billing("import", str(path))
    assert "0 booked now" in again.output
    assert posted(billing, account) == "-" + GPT_4_CHARGE


def test_a_row_is_booked_as_the_same_event_and_its_faults_name_columns(
    billing: Billing, account: str, path: Path
) -> None:
    rows = [
        "id,source,time,account,model,prompt_tokens,completion_tokens,total_tokens,cached_tokens,n,size,quality",
        f"1,gateway-1,2026-10-05T08:00:00.123Z,{account},gpt-4,19,10,29,,,,",
        f"2,gateway-1,2026-10-05T08:00:00.123Z,{account},dall-e-3,,,,,1,1024x1792,hd",
        f"3,gateway-1,2026-10-05T08:00:00.123Z,{account},gpt-4,19,10,30,,,,",
        f"4,gateway-1,2026-10-05T08:00:00.123Z,{account},gpt-4,19,10,,20,,,",
        f"5,gateway-1,2026-10-05T08:00:00.123Z,{account},gpt-4,1e3,10,,,,,",
    ]
    path.write_bytes(gzip.compress("\r\n".join([*rows, ""]).encode()))
    report = path.with_suffix(".refused")
    result = billing("import", str(path), "--refused", str(report))
    assert result.exit_code == 1, result.output
    told = [msgspec.json.decode(line) for line in report.read_bytes().splitlines()]
    assert [(one["line"], one["path"]) for one in told] == [
        (4, "total_tokens"),
        (5, "cached_tokens"),
        (6, "prompt_tokens"),
    ]
    assert posted(billing, account) == "-" + money.format(money.parse(GPT_4_CHARGE) + money.parse("0.06"))
    same = billing("import", written(path, [event(account, "1")]))
    assert "1 booked before" in same.output


def test_texts_are_counted_as_at_intake(billing: Billing, account: str, path: Path) -> None:
    messages = [{"role": "user", "content": "Hello!"}]
    answer = {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    text = {"request": {"model": "gpt-4", "messages": messages}, "response": answer}
    result = billing("import", written(path, [event(account, usage=..., content=text)]))
    assert (result.exit_code, "1 booked now" in result.output) == (0, True), result.output
    assert posted(billing, account).startswith("-0.000")


def test_a_correction_finds_what_it_corrects_in_the_same_batch(billing: Billing, account: str, path: Path) -> None:
    none = {"prompt_tokens": 0, "completion_tokens": 10}
    found = [
        event(account, "1"),
        event(account, "2", corrects="1", usage=none),
        event(account, "3", usage=..., voids="2"),
    ]
    result = billing("import", written(path, found))
    assert (result.exit_code, "3 booked now" in result.output) == (0, True), result.output
    assert money.parse(posted(billing, account)) == 0


def test_what_is_before_a_damage_is_booked(billing: Billing, account: str, path: Path) -> None:
    lines = b"".join(msgspec.json.encode(event(account, str(number))) + b"\n" for number in range(3000))
    path.write_bytes(gzip.compress(lines)[:-2000])
    good = written(path.with_name("good.ndjson"), [event(account, "good")])
    result = billing("import", str(path), good, "--batch", "100")
    assert result.exit_code == 1
    assert "is damaged after line" in result.stderr
    assert "1 booked now" in result.stdout
    assert money.parse(posted(billing, account)) < -100 * money.parse(GPT_4_CHARGE)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty."), (b"a;b\n", "is no column"), (b"[{}, 1]", "this is no array of objects")],
)
def test_a_file_that_is_none_is_named(billing: Billing, path: Path, content: bytes, sentence: str) -> None:
    path.write_bytes(content)
    result = billing("import", str(path))
    assert result.exit_code == 1
    assert f"Error: {path}" in result.stderr
    assert sentence in result.stderr


def test_the_first_events_are_passed_over(billing: Billing, account: str, path: Path) -> None:
    name = written(path, [event(account, "1", status="x"), event(account, "2")])
    report = path.with_suffix(".refused")
    report.write_text("what was refused before\n")
    result = billing("import", name, "--skip", "1", "--refused", str(report))
    assert (result.exit_code, "1 booked now" in result.output) == (0, True)
    assert report.read_text() == "what was refused before\n"
    assert billing("import", name, name, "--skip", "1").exit_code == 2


def test_a_trace_costs_what_fractions_say(billing: Billing, path: Path) -> None:
    """A recorded trace, made into events by `billing replay`'s rules, in a file instead of over HTTP."""
    trace = path.with_name("trace.csv")
    rows = [f"2026-10-16 18:{n % 60:02d}:07.1234567,{100 + 7 * n},{n % 50}" for n in range(500)]
    trace.write_text("\n".join(("TIMESTAMP,ContextTokens,GeneratedTokens", *rows, "")))
    owner = str(printed(billing("accounts", "create", "Trace", "--json"))["id"])
    plan = Plan(path=trace, source=owner, models=(("gpt-4", 1), ("gpt-3.5-turbo", 3)), customers=1, seed=1)
    found = [{**one, "account": owner} for _, one in events(plan, [])]
    result = billing("import", written(path, found), "--batch", "64")
    assert (result.exit_code, "500 booked now" in result.output) == (0, True), result.output
    expected = sum(
        one["usage"]["prompt_tokens"] * OFFICIAL[one["model"]][0]
        + one["usage"]["completion_tokens"] * OFFICIAL[one["model"]][1]
        for one in found
    )
    assert Fraction(posted(billing, owner)) == -expected / 1_000_000 / 2


# ── a process of its own ──
class Piped:
    """`billing import -` with a database of its own; `path` holds what is to be sent to it."""

    def __init__(self, url: str, path: Path) -> None:
        self.settings = {"BILLING_DATABASE_URL": url}
        self.url = url
        self.path = path
        self.process = serving.billing(
            *("import", "-", "--batch", "50"),
            settings=self.settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send_until_some_are_booked(self) -> None:
        """All but the last bytes, so that it waits for more in the midst of a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(self.path.read_text()[:-20])
        self.process.stdin.flush()
        deadline = time.monotonic() + 60
        while self.booked() < 100:
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.01)

    def booked(self) -> int:
        with psycopg.connect(self.url) as conn:
            row = conn.execute("SELECT count(*), count(DISTINCT (source, id)) FROM charges").fetchone()
        assert row is not None
        assert row[0] == row[1]
        return int(row[0])

    def run(self, *arguments: str) -> str:
        done = serving.billing(*arguments, settings=self.settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = done.communicate(timeout=120)
        assert done.returncode == 0, output
        return " ".join(output.split())


EVENTS = 2000


@pytest.fixture
def piped(fresh_database: str, path: Path) -> Callable[[], Piped]:
    def start() -> Piped:
        serving.billing(
            "accounts", "create", "Ada", "--id", "acct_a", settings={"BILLING_DATABASE_URL": fresh_database}
        ).wait(60)
        written(path, [event("acct_a", str(number)) for number in range(EVENTS)])
        return Piped(fresh_database, path)

    return start


def test_killed_in_the_midst_and_run_again_each_event_is_there_once(piped: Callable[[], Piped]) -> None:
    imported = piped()
    imported.send_until_some_are_booked()
    os.kill(imported.process.pid, signal.SIGKILL)
    imported.process.communicate()
    assert imported.booked() < EVENTS
    assert f"{EVENTS:,} events" in imported.run("import", str(imported.path))
    assert imported.booked() == EVENTS
    assert "The book is right" in imported.run("verify")
    balance = msgspec.json.decode(imported.run("accounts", "show", "acct_a", "--json"))["balance"]
    assert money.parse(balance) == -EVENTS * money.parse(GPT_4_CHARGE)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_says_how_to_go_on(piped: Callable[[], Piped], kind: signal.Signals) -> None:
    imported = piped()
    imported.send_until_some_are_booked()
    os.kill(imported.process.pid, kind)
    _, said = imported.process.communicate(timeout=60)  # closes the pipe
    assert imported.process.returncode == 1
    assert "Error: Stopped. The first" in said
    skip = said.rpartition("--skip ")[2].split(";")[0]
    booked = imported.booked()
    assert int(skip) == booked
    assert f"{EVENTS - booked:,} booked now" in imported.run("import", str(imported.path), "--skip", skip)
    assert imported.booked() == EVENTS
