"""`billing prices check`."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import _price_check, main

HEAD = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"


def run(*arguments: str, rows: str = "", folder: Path | None = None) -> Result:
    price_file = ""
    if folder:
        (folder / "prices.csv").write_text(HEAD + rows)
        price_file = str(folder / "prices.csv")
    return billing("prices", "check", *arguments, price_file=price_file)


def billing(*arguments: str, price_file: str = "") -> Result:
    environment = {"BILLING_PRICE_FILE": price_file, "BILLING_TEST_DATABASE_URL": None}
    return CliRunner().invoke(main, arguments, env=environment)


def test_the_shipped_book_has_a_reason_for_everything() -> None:
    result = run()
    assert result.exit_code == 0
    assert "Prices that are not OpenAI's (7)" in result.output
    assert "Open questions (12)" in result.output
    assert "gpt-5.6-sol" in result.output


def test_what_has_no_reason_fails(tmp_path: Path) -> None:
    rows = "gpt-4,input,,,1M_tokens,20,2026-01-01,,A,s,2026-11-23,\nm,input,,,1M_tokens,1,,2026-01-01,A,s,2026-11-23,\n"
    rows += "m,input,,,1M_tokens,1,2026-02-01,,A,s,2026-11-23,\n"
    result = run(rows=rows, folder=tmp_path)
    assert result.exit_code == 1
    assert "✗ local:m/input@2026-02-01: Between 2026-01-01 and 2026-02-01 there is no price." in result.output
    assert "✗ local:gpt-4/input@2026-01-01: 20 for 1M_tokens is below the official 30" in result.output
    assert "2 of 21 findings have no reason yet." in result.output


def test_json() -> None:
    findings = msgspec.json.decode(run("--json").stdout)
    assert findings[0].keys() == {"check", "subject", "sentence", "reason"}


def test_peers_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_price_check.importlib.util, "find_spec", lambda _name: None)
    result = run("--peers")
    assert result.exit_code == 1
    assert "Neither genai-prices nor litellm is installed here" in result.output


def test_peers_that_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both packages as they lie on a disk, small: one price agrees, one is known to differ, one is news."""
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("raise ImportError('nobody imports this')")
    mine = {"litellm_provider": "openai"}
    data = {
        "gpt-4o": {**mine, "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.1e-05},
        "gpt-4o-transcribe": {**mine, "input_cost_per_audio_token": 2.5e-06},
    }
    (tmp_path / "litellm" / "model_prices_and_context_window_backup.json").write_bytes(msgspec.json.encode(data))
    monkeypatch.syspath_prepend(tmp_path)
    prices = SimpleNamespace(input_mtok=30)
    openai = SimpleNamespace(id="openai", models=[SimpleNamespace(id="gpt-4", prices=prices, price_variants=None)])
    for name in ("genai_prices", "genai_prices.data"):
        module = ModuleType(name)
        module.__spec__ = SimpleNamespace(origin=None)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["genai_prices.data"].providers = [openai]  # type: ignore[attr-defined]
    result = run("--peers")
    assert result.exit_code == 1
    assert "Where other price lists differ (2)" in result.output
    assert "✗ gpt-4o/output@2024-10-02: litellm has 11 for 1M_tokens where the book has 10." in result.output
    assert "• gpt-4o-transcribe/input_audio@2025-03-20: litellm has 2.5" in result.output


def test_a_model_is_still_listed() -> None:
    result = billing("prices", "tts-1")
    assert result.exit_code == 0
    assert "input_characters" in result.output
