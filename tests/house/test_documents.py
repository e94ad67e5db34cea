"""What operators rely on is written down, and what is written down exists."""

import re

import pytest

from billing.observe import metrics
from billing.settings import Settings, environment_name
from tests.house.test_imports import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
DEFAULTS = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}


def written(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


@pytest.mark.parametrize("field", DEFAULTS)
def test_each_setting_is_documented_with_its_default(field):
    default = written(DEFAULTS[field]).strip("`")
    row = rf"^\| `{environment_name(field)}` \| `?{re.escape(default)}`? \| .{{20,}} \|$"
    assert re.search(row, OPERATIONS.read_text(), re.MULTILINE), f"{environment_name(field)}, default {default}"


def test_no_setting_is_documented_that_does_not_exist():
    known = {environment_name(field) for field in DEFAULTS} | {"BILLING_TEST_DATABASE_URL"}
    assert set(re.findall(r"BILLING_[A-Z_]+[A-Z]", OPERATIONS.read_text())) <= known


def test_each_metric_is_documented():
    text = OPERATIONS.read_text()
    ours = [metric for family in metrics.REGISTRY.collect() if (metric := family.name).startswith("billing_")]
    assert len(ours) >= 8
    assert [name for name in ours if name not in text] == []
