"""Schemas as the TypeScript that models are shown."""

from typing import Any

import pytest

from pricing.tokens import Uncounted, count
from pricing.tokens.tools import section
from pricing.tokens.typescript import Renderer


def late(schema: dict[str, Any]) -> str:
    return Renderer(schema).late_object(schema)


def test_an_object_without_comments_is_one_line() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}
    assert late(schema) == "{ a: string, b?: number }"


def test_titles_descriptions_and_defaults_are_comments() -> None:
    schema = {
        "properties": {
            "unit": {"title": "Unit", "description": "Of heat.\n  ", "enum": ["c", "f"], "default": "c"},
            "many": {"title": "Many", "type": "array", "items": {"type": "string"}},
        },
        "required": ["unit"],
    }
    expected = '{\n// Unit\n//\n// Of heat.\nunit: "c" | "f", // default: "c"\n// Many\nmany?: string[],\n}'
    assert late(schema) == expected


def test_references_are_followed_and_objects_nest() -> None:
    author = {"properties": {"name": {"title": "Name", "type": "string"}}}
    schema = {
        "$defs": {"Author": author},
        "properties": {"by": {"$ref": "#/$defs/Author"}, "all": {"type": "array", "items": {"$ref": "#/$defs/Author"}}},
    }
    assert late(schema) == "{\nby?: {\n// Name\nname?: string,\n},\nall?: Array<\n{\n// Name\nname?: string,\n}\n>,\n}"


def test_an_object_without_properties_is_left_out_of_a_union() -> None:
    schema = {"properties": {"x": {"anyOf": [{"type": "object"}, {"type": "null"}]}}}
    assert late(schema) == "{ x?: null }"


def test_the_sections_of_both_generations() -> None:
    parameters = {"type": "object", "properties": {"q": {"title": "Q", "type": "string", "description": "What"}}}
    functions: list[dict[str, Any]] = [
        {"name": "find", "description": "Find it", "parameters": parameters},
        {"name": "stop"},
    ]
    head, foot = (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n",
        "\n\ntype stop = () => any;\n\n} // namespace functions",
    )
    early = head + "// Find it\ntype find = (_: {\n// What\nq?: string,\n}) => any;" + foot
    late_text = head + "// Find it\ntype find = (_: {\n// Q\n//\n// What\nq?: string,\n}) => any;" + foot
    assert section(functions, early=True) == (early, 0)
    assert section(functions, early=False) == (late_text, 0)


def test_what_no_recording_shows_is_a_doubt() -> None:
    renderer = Renderer({})
    renderer.late_object({"properties": {"n": {"type": "integer", "minimum": 1}}})
    assert renderer.doubt > 0


DEEP: dict[str, Any] = {"type": "object", "properties": {}}
for _ in range(60):
    DEEP = {"type": "object", "properties": {"x": DEEP}}
FAN = {"type": "object", "properties": {f"p{i}": {"$ref": "#"} for i in range(30)}}
REPEATED = {
    "$defs": {"d": {"description": "long " * 10_000, "type": "string"}},
    "properties": {f"p{i}": {"$ref": "#/$defs/d"} for i in range(1_000)},
}


@pytest.mark.parametrize("schema", [DEEP, FAN, REPEATED, {"properties": {"x": {"$ref": "#/properties/x"}}}])
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_a_schema_that_expands_without_end_is_refused_or_ends(schema: dict[str, Any], model: str) -> None:
    request = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"function": {"name": "f", "parameters": schema}}],
    }
    found = count("/v1/chat/completions", model, request).input
    assert not isinstance(found, Uncounted) or found.reason
