"""Every refusal's code is documented, and no code is that does not exist."""

import ast
import re

from billing import errors
from tests.house.test_imports import ROOT

API = ROOT / "docs" / "api.md"
PROBLEMS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.Problem)}


def codes() -> set[str]:
    """The first argument of every call that makes a problem."""
    calls = (
        node
        for path in (ROOT / "billing").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
    )
    named = (call.args[0] for call in calls if call.func.id in {*PROBLEMS, "MethodNotAllowed"})
    return {argument.value for argument in named if isinstance(argument, ast.Constant)}


def documented() -> set[str]:
    rows = re.findall(r"^\| [45]\d\d \| ([^|]*) \|", API.read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall("`([a-z_]+)`", row)}


def test_the_codes_of_all_refusals_are_documented():
    assert len(codes()) > 30
    assert documented() == codes()
