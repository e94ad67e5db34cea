"""The commands on this worker's database."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from billing.cli import main

Billing = Callable[..., Result]


@pytest.fixture
def billing(url: str, monkeypatch: pytest.MonkeyPatch) -> Billing:
    """Runs `billing …` as an operator would."""
    monkeypatch.setenv("BILLING_DATABASE_URL", url)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(main, arguments)


def printed(result: Result) -> Any:
    """What a command printed with --json, once it has succeeded."""
    assert result.exit_code == 0, result.output
    return msgspec.json.decode(result.stdout)
