"""The shape of the code (house.md): small files, small functions, no float near money, bodies that are strict."""

import ast
import typing
from pathlib import Path

import msgspec
import pytest
from litestar.routes import HTTPRoute

from billing.app import create_app
from tests.house.test_imports import ROOT

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
SOURCES = sorted(
    path for package in ("pricing", "billing", "tests", "benchmarks") for path in (ROOT / package).rglob("*.py")
)
ROOMS = ("accounts", "credits", "holds", "invoices", "ledger", "metering", "prices")
MONEY = ("pricing", *(f"billing/{room}" for room in ROOMS))
MAY_FLOAT = {
    "pricing/check.py": "prints a percentage of deviation",
    "pricing/peers.py": "reads what other projects keep as floats, to compare",
    "billing/metering/verifier.py": "waits some seconds",
    "billing/prices/keeper.py": "waits some seconds",
}


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_files_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    sizes = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, functions)
    }
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES_MAX} == {}


@pytest.mark.parametrize("path", [path for path in SOURCES if place(path).startswith(MONEY)], ids=place)
def test_no_float_touches_money(path):
    if place(path) in MAY_FLOAT or place(path).startswith("pricing/tokens"):  # tokens are counted, not paid with
        return
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"line {node.lineno}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), f"line {node.lineno}"


def test_bodies_forbid_unknown_fields(settings):
    """Every struct a body can hold; so a typo in an optional field is an error and not a default."""
    seen: set[type] = set()
    for route in create_app(settings).routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if handler.parsed_data_field is not None:
                collect(handler.parsed_data_field.raw, seen)
    assert seen
    assert [kind.__name__ for kind in seen if not kind.__struct_config__.forbid_unknown_fields] == []


def collect(kind: object, seen: set[type]) -> None:
    """All structs within a type."""
    for inner in typing.get_args(kind):
        collect(inner, seen)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        seen.add(kind)
        for hint in typing.get_type_hints(kind, include_extras=True).values():
            collect(hint, seen)
