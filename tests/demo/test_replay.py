"""Replaying a trace to a real service: totals recomputed in fractions, twice, stopped, with bad rows, with any key."""

from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import main
from billing.cli.replay import Model
from billing.demo.replay import Plan, events
from tests.serving import ADMIN_KEY, Server

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
OFFICIAL = {"gpt-4": (Fraction(30), Fraction(60)), "gpt-3.5-turbo": (Fraction("0.5"), Fraction("1.5"))}
"""Dollars for a million tokens in and out, in October 2026."""

ROWS = [(f"2023-11-16 18:{n % 60:02d}:07.1234567", 100 + 7 * n, n % 50) for n in range(300)]
MIX = ("--model", "gpt-4:1", "--model", "gpt-3.5-turbo:3", "--customers", "4", "--shift-to", "2026-10-01")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return written(tmp_path / "trace.csv", [f"{time},{context},{generated}" for time, context, generated in ROWS])


def written(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join((HEADER, *rows, "")))
    return path


def replay(server: Server, trace: Path, *options: str, key: str = ADMIN_KEY) -> tuple[Result, dict[str, Any]]:
    report = trace.with_suffix(".json")
    report.unlink(missing_ok=True)
    command = ["replay", str(trace), "--url", server.url, "--key", key, "--batch-size", "37", "--report", str(report)]
    result = CliRunner().invoke(main, [*command, *options])
    return result, msgspec.json.decode(report.read_bytes()) if report.exists() else {}


def test_totals_are_those_of_fractions_and_again_they_are_the_same(server: Server, trace: Path) -> None:
    result, first = replay(server, trace, *MIX)
    assert result.exit_code == 0, result.output
    assert (first["accepted"], first["duplicates"]) == (len(ROWS), 0)
    for total in first["totals"]:
        official_input, official_output = OFFICIAL[total["model"]]
        official = total["context_tokens"] * official_input + total["generated_tokens"] * official_output
        assert Fraction(total["charge"]) == official / 1_000_000 / 2
    everything = first["sum"]
    assert everything["context_tokens"] == sum(context for _, context, _ in ROWS)
    assert everything["generated_tokens"] == sum(generated for *_, generated in ROWS)
    assert Fraction(everything["charge"]) == sum(Fraction(total["charge"]) for total in first["totals"])

    result, second = replay(server, trace, *MIX)
    assert result.exit_code == 0, result.output
    assert (second["accepted"], second["duplicates"]) == (0, len(ROWS))
    assert (second["totals"], second["sum"]) == (first["totals"], first["sum"])

    for account, charge in charged(first).items():
        answer = httpx.get(f"{server.url}/v1/accounts/{account}/balance", headers=server.headers)
        assert Fraction(answer.json()["posted"]) == -charge


def charged(report: dict[str, Any]) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = {}
    for total in report["totals"]:
        sums[total["account"]] = sums.get(total["account"], Fraction()) + Fraction(total["charge"])
    return sums


def test_a_replay_that_was_stopped_goes_on(server: Server, trace: Path) -> None:
    """The first rows are posted, then the whole file: what was there is a duplicate, the rest is new."""
    rows = trace.read_text().splitlines()[1:]
    written(trace, rows[:100])
    assert replay(server, trace, *MIX)[1]["accepted"] == 100
    written(trace, rows)
    _, report = replay(server, trace, *MIX)
    assert (report["accepted"], report["duplicates"]) == (len(ROWS) - 100, 100)


def test_bad_rows_are_named_and_the_others_posted(server: Server, tmp_path: Path) -> None:
    good = "2026-10-05 10:00:00,100,10"
    path = written(tmp_path / "bad.csv", [good, "2026-10-05,1,1", good, "2126-10-05 10:00:00,1,1"])
    result, report = replay(server, path)
    assert result.exit_code == 1
    assert "line 3 cannot be read: TIMESTAMP is '2026-10-05'" in result.stderr
    assert "line 5 was refused: $.time" in result.stderr
    assert "2 rows are not billed" in result.stderr
    assert (report["accepted"], report["rejected"], len(report["bad_rows"])) == (2, 1, 1)

    written(path, [good, good, good, good])  # mended: lines 3 and 5 join the others
    result, report = replay(server, path)
    assert result.exit_code == 0
    assert (report["accepted"], report["duplicates"]) == (2, 2)


def test_a_gateway_key_posts_for_accounts_that_are_there(server: Server, trace: Path) -> None:
    body = {"scope": "gateway", "name": "test"}
    key = httpx.post(f"{server.url}/v1/keys", json=body, headers=server.headers).json()["secret"]
    result, report = replay(server, trace, "--customers", "1", key=key)
    assert result.exit_code == 1
    assert report["rejected"] == len(ROWS)
    assert "There is no account acct_replay-001" in result.stderr

    account = {"id": "acct_replay-001", "name": "Ada"}
    httpx.post(f"{server.url}/v1/accounts", json=account, headers=server.headers).raise_for_status()
    result, report = replay(server, trace, "--customers", "1", key=key)
    assert (result.exit_code, report["accepted"]) == (0, len(ROWS))


def test_a_key_or_a_file_that_cannot_be_used_is_a_sentence(server: Server, trace: Path) -> None:
    result, _ = replay(server, trace, key="idr_nobody")
    assert (result.exit_code, "Error: This API key is not" in result.stderr) == (1, True)
    trace.write_text("a,b\n1,2\n")
    result, _ = replay(server, trace)
    assert (result.exit_code, "is not a trace" in result.stderr) == (1, True)
    trace.write_text(HEADER + "\nnothing\n")
    result, _ = replay(server, trace)
    assert (result.exit_code, "has no row that can be read" in result.stderr) == (1, True)


def test_whose_a_row_is_depends_on_seed_and_line_alone(trace: Path) -> None:
    def drawn(path: Path, seed: int = 1) -> dict[int, tuple[str, str, str]]:
        models = (("gpt-4", 1), ("gpt-3.5-turbo", 2))
        plan = Plan(path=path, source="test", models=models, customers=5, seed=seed)
        return {row.line: (event["account"], event["model"], event["id"]) for row, event in events(plan, [])}

    whole = drawn(trace)
    assert whole == drawn(trace)
    assert whole != drawn(trace, seed=2)
    assert whole[17][2] == "trace.csv:17"
    lines = trace.read_text().splitlines()
    trace.write_text("\n".join([lines[0], "broken", *lines[2:], ""]))
    assert drawn(trace) == {line: event for line, event in whole.items() if line != 2}
    share = Counter(account for account, *_ in whole.values())
    assert share["acct_replay-001"] == max(share.values())


def test_times_are_kept_or_shifted_by_whole_days(trace: Path) -> None:
    plan = Plan(path=trace, source="test", models=(("gpt-4", 1),), customers=1, seed=1)
    shifted = Plan(**{**msgspec.structs.asdict(plan), "shift_to": date(2026, 10, 1)})
    [(_, kept), *_], [(_, moved), *_] = list(events(plan, [])), list(events(shifted, []))
    assert kept["time"] == "2023-11-16T18:00:07.123456Z"
    assert moved["time"] == "2026-10-01T18:00:07.123456Z"


@pytest.mark.parametrize(
    ("text", "model"),
    [("gpt-4", ("gpt-4", 1)), ("gpt-4:3", ("gpt-4", 3)), ("ft:gpt-3.5-turbo:org::x:2", ("ft:gpt-3.5-turbo:org::x", 2))],
)
def test_a_model_may_have_a_weight(text: str, model: tuple[str, int]) -> None:
    assert Model().convert(text, None, None) == model


@pytest.mark.parametrize("text", ["", ":3", "gpt-4:0"])
def test_a_weight_is_a_whole_number_above_zero(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a model with a weight"):
        Model().convert(text, None, None)
