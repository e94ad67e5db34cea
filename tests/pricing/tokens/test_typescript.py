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
    assert section(functions, early=True) == (early, (0, 0))
    assert section(functions, early=False) == (late_text, (0, 0))


STRING = {"type": "string"}
OBJECT = {"type": "object", "properties": {"a": STRING}}
# What a property becomes, as captured from the API's own prompts and from the signatures it gives to connectors.
LATE: list[tuple[dict[str, Any], str]] = [
    (
        {"type": "integer", "default": 10, "minimum": 1, "maximum": 50},
        "x?: number, // default: 10, minimum: 1, maximum: 50",
    ),
    ({"type": "number", "minimum": 0, "multipleOf": 0.25}, "x?: number, // minimum: 0.0, multipleOf: 0.25"),
    ({**STRING, "minLength": 2, "pattern": "^a+$"}, "x?: string, // minLength: 2, pattern: /^a+$/"),
    ({**STRING, "format": "uri"}, 'x?: string, // format: "uri"'),
    ({"type": "array", "items": STRING, "minItems": 1, "uniqueItems": True}, "x?: string[], // minItems: 1"),
    (
        {**OBJECT, "default": {"a": "b"}},
        'x?: { a?: string }, // default: {"a": "b"}',
    ),
    ({**STRING, "examples": ["a"]}, '// Examples:\n// - "a"\nx?: string,'),
    (
        {"description": "When", "anyOf": [{**STRING, "format": "date"}, {"type": "null"}], "default": None},
        '// When\n// default: null\nx?:\n | string // format: "date"\n | null\n,',
    ),
    (
        {
            "oneOf": [
                STRING,
                {"type": "number", "description": "Or this"},
                OBJECT,
            ]
        },
        "x?:\n | string\n// Or this\n | number\n | { a?: string }\n,",
    ),
    (
        {"type": ["string", "null"], "description": "Perhaps"},
        "// Perhaps\nx?:\n// Perhaps\n | string\n// Perhaps\n | null\n,",
    ),
    (
        {"allOf": [{"properties": {"a": STRING}}, {"properties": {"n": {"type": "integer", "minimum": 0}}}]},
        "x?:\n & { a?: string }\n & {\nn?: number, // minimum: 0\n}\n,",
    ),
    (
        {"type": "array", "maxItems": 3, "items": {"type": "object", "properties": {"a": {**STRING, "title": "A"}}}},
        "// maxItems: 3\nx?: Array<\n{\n// A\na?: string,\n}\n>,",
    ),
    ({"type": "array", "items": {**STRING, "format": "email"}}, 'x?: Array<\nstring // format: "email"\n>,'),
]
PLAIN: list[tuple[Any, str]] = [
    ({"type": ["string", "integer", "null"]}, "string | number | null"),
    ({**STRING, "nullable": True}, "string | null"),
    ({"type": "array", "items": {"enum": ["a", "b"]}}, 'Array<"a" | "b">'),
    ({"type": "array", "items": {"type": "array", "items": STRING}}, "string[][]"),
    ({"type": "array", "prefixItems": [STRING, {"type": "null"}], "items": False}, "[item0?: string, item1?: null]"),
    ({"type": "array", "prefixItems": [STRING]}, "[item0?: string, ...items: any[]]"),
    ({"type": "object", "additionalProperties": STRING}, "{ [key: string]: string }"),
    (
        {**OBJECT, "additionalProperties": True},
        "{ a?: string, [key: string]: any }",
    ),
    ({"const": {"a": 1}}, '{"a": 1}'),
    ({"type": "object"}, "object"),
    ({}, "any"),
    (True, "any"),
    (False, "never"),
]


@pytest.mark.parametrize(("schema", "expected"), LATE)
def test_bounds_formats_and_variants_are_comments(schema: dict[str, Any], expected: str) -> None:
    assert late({"properties": {"x": schema}}) == f"{{\n{expected}\n}}"


@pytest.mark.parametrize(("schema", "expected"), PLAIN)
def test_what_needs_no_comment_stays_on_one_line(schema: Any, expected: str) -> None:
    assert late({"properties": {"x": schema}, "required": ["x"]}) == f"{{ x: {expected} }}"


def test_a_schema_that_holds_itself_is_named_where_it_recurs() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}
    shown = late({"$defs": {"n": node}, "properties": {"root": {"$ref": "#/$defs/n"}}})
    assert shown == '{\nroot?: {\nnext?: any, // $ref: "#/$defs/n"\n},\n}'


def test_what_few_recordings_show_is_a_doubt() -> None:
    for schema in ({"type": "integer", "minimum": 1}, {"type": "object", "patternProperties": {"a": {}}}):
        renderer = Renderer({})
        renderer.late_object({"properties": {"n": schema}})
        assert renderer.below > 0
        assert renderer.above > 0


DEEP: dict[str, Any] = {"type": "object", "properties": {}}
for _ in range(60):
    DEEP = {"type": "object", "properties": {"x": DEEP}}
FAN = {"type": "object", "properties": {f"p{i}": {"$ref": "#"} for i in range(30)}}
REPEATED = {
    "$defs": {"d": {"description": "long " * 10_000, "type": "string"}},
    "properties": {f"p{i}": {"$ref": "#/$defs/d"} for i in range(1_000)},
}


HEAVY = {
    "$defs": {"d": {"type": "object", "default": {"a": ["long " * 10_000]}}},
    "properties": {f"p{i}": {"$ref": "#/$defs/d"} for i in range(10_000)},
}
KINDS: dict[str, Any] = {"type": ["object"] * 50}
for _ in range(8):
    KINDS = {"type": ["object"] * 50, "properties": {"x": KINDS}}


@pytest.mark.parametrize(
    "schema", [DEEP, FAN, REPEATED, HEAVY, KINDS, {"properties": {"x": {"$ref": "#/properties/x"}}}]
)
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_a_schema_that_expands_without_end_is_refused_or_ends(schema: dict[str, Any], model: str) -> None:
    request = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"function": {"name": "f", "parameters": schema}}],
    }
    found = count("/v1/chat/completions", model, request).input
    assert not isinstance(found, Uncounted) or found.reason
