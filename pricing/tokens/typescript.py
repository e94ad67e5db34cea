"""Tool schemas as the TypeScript the models are shown, in two dialects.

The later one is openai/harmony's (`src/encoding.rs`, Apache-2.0) with what is known of the API's own text since: bounds
and formats trail the type they belong to, a union whose variants need comments has one line for each. All but 3 of 148
recorded sets of tools are reproduced to the token; what few or no recordings show is added up as a doubt.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from pricing.tokens.bounds import UnverifiableError

Schema = dict[str, Any]

DEPTH_MAX: Final = 40
NODES_MAX: Final = 20_000  # a `$ref` that fans out ends here …
CHARACTERS_MAX: Final = 2_000_000  # … and so does one that repeats a long description
# Keywords that trail a type as comments, in this order (`// minimum: 1, maximum: 9`). Recorded: `default`, `format`.
_MARKS: Final = (
    "default",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
)
_FLOATS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_RECORDED: Final = frozenset({"default"})
# Keywords that are said to leave no trace, and shapes that are rare: no recording.
_SILENT: Final = frozenset(
    {
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "dependentSchemas",
        "prefixItems",
        "nullable",
        "not",
        "if",
        "allOf",
        "deprecated",
        "readOnly",
    }
)
_STRUCTURE: Final = _SILENT | {"properties", "items", "anyOf", "oneOf", "$defs", "definitions"}  # walked on their own
_MARK_DOUBT: Final = (8, 2)  # tokens less (an older model that is not shown the comment) and more, a comment
_SILENT_DOUBT: Final = (4, 8)
_VARIANT_DOUBT: Final = 2  # tokens a variant of a union that is not of plain scalars


@dataclass(frozen=True, slots=True)
class Shown:
    """One schema as text: comment lines above it, the type, and what trails on the type's line."""

    notes: list[str]
    kind: str
    marks: list[str]

    @property
    def plain(self) -> bool:
        return not self.notes and not self.marks and "\n" not in self.kind


def compact(value: Any) -> str:
    """JSON as the API re-serialises it: no blanks, no needless escapes. Raises `UnverifiableError` if it is not."""
    return _dumped(value, (",", ":"))


def _dumped(value: Any, separators: tuple[str, str] = (", ", ": ")) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=separators)
    except (ValueError, TypeError, RecursionError):
        raise UnverifiableError("a value that is not JSON") from None


class Renderer:
    """Renders one function's parameters. `below`, `above`: tokens by which the text may be too long or too short."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.below = self.above = 0
        self._nodes = self._characters = 0
        self._open: list[str] = []  # the references that are being expanded

    def doubt(self, below: int, above: int) -> None:
        self.below += below
        self.above += above

    # ── gpt-3.5-turbo-0125, gpt-4-turbo and everything later ──
    def late_object(self, schema: Schema, depth: int = 0) -> str:
        """On one line unless a property needs a comment: `{ a: string, b?: number }`."""
        required = _required(schema)
        fields = [
            (f"{name}{'' if name in required else '?'}", self._shown(value, depth))
            for name, value in _properties(schema)
        ]
        others = self._other_properties(schema, depth)
        fields += [("[key: string]", Shown([], others, []))] if others else []
        if not fields:
            return "object"
        if all(shown.plain for _, shown in fields):
            return "{ " + ", ".join(f"{name}: {shown.kind}" for name, shown in fields) + " }"
        return "\n".join(["{", *(line for name, shown in fields for line in _property(name, shown)), "}"])

    def _other_properties(self, schema: Schema, depth: int) -> str:
        """The type of what `additionalProperties` allows, or nothing."""
        allowed = schema.get("additionalProperties")
        if isinstance(allowed, dict) and allowed:
            return self.late_type(self._node(allowed, depth + 1), depth + 1)
        return "any" if allowed is True or allowed == {} else ""

    def _shown(self, value: Any, depth: int) -> Shown:
        if value is False:
            return Shown([], "never", [])
        reference = value.get("$ref") if isinstance(value, dict) else None
        if isinstance(reference, str):
            if reference in self._open:
                self.doubt(16, 64)
                return Shown([], "any", [f"$ref: {_dumped(reference)}"])
            self._open.append(reference)
        node = self._node(value, depth)
        shown = Shown(comments(node), self.late_type(node, depth + 1), self._marks(node))
        if isinstance(reference, str):
            self._open.pop()
        return shown

    def _marks(self, node: Schema) -> list[str]:
        found = [key for key in _MARKS if key in node]
        unseen = len(set(found) - _RECORDED)
        self.doubt(_MARK_DOUBT[0] * unseen, _MARK_DOUBT[1] * unseen)
        return [f"{key}: {_mark(key, node[key], node)}" for key in found]

    def late_type(self, schema: Schema, depth: int) -> str:
        """The type alone; a union of several lines begins and ends with a line break."""
        literal = _literal(schema)
        if literal is not None:
            return literal
        variants, operator = _variants(schema)
        if variants:
            if isinstance(schema.get("type"), list):
                self.doubt(_length(schema.get("description")) * len(variants) // 3, 0)  # 1 recording
            return self._late_union(variants, operator, depth)
        kind = schema.get("type")
        if kind == "object" or (kind is None and _properties(schema)):
            kind = self.late_object(schema, depth)
        elif kind == "array":
            kind = self._late_array(schema, depth)
        else:
            kind = _scalar(kind)
        return f"{kind} | null" if schema.get("nullable") is True and "null" not in kind else kind

    def _late_union(self, variants: list[Any], operator: str, depth: int) -> str:
        """An object without properties is left out: `object | null` is 1 token on gpt-3.5 (20 of 24), 2 on gpt-4o.

        Variants with comments have a line each (3 recordings of 2 schemas, to the token).
        """
        shown = [one for one in (self._shown(variant, depth) for variant in variants) if one.kind != "object"]
        if len(shown) < len(variants) or not all(one.plain for one in shown):
            self.doubt(_VARIANT_DOUBT * len(variants), _VARIANT_DOUBT * len(variants))
        if len(shown) == 1 and len(variants) == 1:
            return shown[0].kind
        if all(one.plain for one in shown):
            return f" {operator} ".join(one.kind for one in shown) or "any"
        lines = [line for one in shown for line in [*one.notes, _trailed(f" {operator} {one.kind}", one.marks)]]
        return "\n" + "\n".join(lines) + "\n"

    def _late_array(self, schema: Schema, depth: int) -> str:
        if isinstance(schema.get("prefixItems"), list):
            first = [f"item{at}?: {self._shown(one, depth).kind}" for at, one in enumerate(schema["prefixItems"])]
            rest = [] if schema.get("items") is False else [f"...items: {self._rest(schema, depth)}[]"]
            return f"[{', '.join([*first, *rest])}]"
        if "items" not in schema:
            return "any[]"
        item = self._shown(schema["items"], depth)
        if not item.plain:
            return "\n".join(["Array<", *item.notes, _trailed(item.kind.strip("\n"), item.marks), ">"])
        return f"Array<{item.kind}>" if " | " in item.kind and not item.kind.startswith("{") else f"{item.kind}[]"

    def _rest(self, schema: Schema, depth: int) -> str:
        return self._shown(schema["items"], depth).kind if "items" in schema else "any"

    # ── the snapshots of 2023: gpt-3.5-turbo-0613, gpt-4-0613 ──
    def early_object(self, schema: Schema, indent: int = 0) -> str:
        """Properties, one a line; only the outer ones keep their descriptions (hmarr/openai-chat-tokens, 36 cases)."""
        required = _required(schema)
        lines: list[str] = []
        for name, value in _properties(schema):
            node = self._node(value, indent // 2)
            kind = self.early_type(node, indent)
            if kind is None:
                continue
            note = node.get("description")
            if isinstance(note, str) and note and indent < 2:
                lines.append(f"// {note}")
            lines.append(f"{name}{'' if name in required else '?'}: {kind},")
        return "\n".join(" " * indent + line for line in lines)

    def early_type(self, schema: Schema, indent: int) -> str | None:
        """The type; None for an object without properties, which is not shown, alone or in a union (76 of 80)."""
        variants = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(variants, list) and variants:
            kinds = [self.early_type(self._node(variant, indent // 2), indent) for variant in variants]
            return " | ".join(kind for kind in kinds if kind) or None
        values = schema.get("enum")
        if isinstance(values, list) and values:
            return " | ".join(compact(value) for value in values)
        kind = schema.get("type")
        if kind == "object":
            return "\n".join(["{", self.early_object(schema, indent + 2), "}"]) if _properties(schema) else None
        if kind == "array":
            item = self.early_type(self._node(schema["items"], indent // 2), indent) if "items" in schema else None
            return f"{item or 'any'}[]"
        if isinstance(kind, list) and kind:
            self.doubt(2 * len(kind), 4)  # no recording
            return " | ".join(map(_scalar, kind))
        return _scalar(kind)

    # ── both ──
    def _node(self, value: Any, depth: int) -> Schema:
        """The schema, `$ref` followed; notes what is unseen. Raises `UnverifiableError` if it expands too far."""
        node: Schema = value if isinstance(value, dict) else {}
        for _ in range(DEPTH_MAX):
            if not isinstance(node.get("$ref"), str):
                break
            node = {**self._target(node["$ref"]), **{key: node[key] for key in node if key != "$ref"}}
        silent = sum(node.get(key) not in (None, False) for key in _SILENT & node.keys())
        self.doubt(_SILENT_DOUBT[0] * silent, _SILENT_DOUBT[1] * silent)
        self._nodes += 1
        self._characters += sum(_length(value) for key, value in node.items() if key not in _STRUCTURE)
        if depth > DEPTH_MAX or self._nodes > NODES_MAX or self._characters > CHARACTERS_MAX:
            raise UnverifiableError("a tool's schema is nested or expands too far")
        return node

    def _target(self, reference: str) -> Schema:
        at: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            at = at.get(step) if isinstance(at, dict) else None
        return at if isinstance(at, dict) else {}


def _property(name: str, shown: Shown) -> list[str]:
    """The lines of one property. What would trail a type of several lines stands above it instead."""
    if "\n" in shown.kind and not shown.kind.startswith("{"):
        above = [f"// {', '.join(shown.marks)}"] if shown.marks else []
        gap = "" if shown.kind.startswith("\n") else " "
        return [*shown.notes, *above, f"{name}:{gap}{shown.kind},"]
    return [*shown.notes, _trailed(f"{name}: {shown.kind},", shown.marks)]


def _trailed(line: str, marks: list[str]) -> str:
    return f"{line} // {', '.join(marks)}" if marks else line


def _mark(key: str, value: Any, schema: Schema) -> str:
    if key == "pattern" and isinstance(value, str):
        return f"/{value}/"
    if key in _FLOATS and schema.get("type") == "number" and isinstance(value, int) and abs(value) < 1 << 53:
        return f"{value:d}.0"
    return _dumped(value)


def _literal(schema: Schema) -> str | None:
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return " | ".join(map(_dumped, values))
    return _dumped(schema["const"]) if "const" in schema else None


def _variants(schema: Schema) -> tuple[list[Any], str]:
    """(the variants of a union or intersection, its operator). A list of types repeats the schema's comments for each.

    1 recording of one property, to the token: 32 tokens more than `string | null` are its description twice.
    """
    for key, operator in (("anyOf", "|"), ("oneOf", "|"), ("allOf", "&")):
        found = schema.get(key)
        if isinstance(found, list) and found:
            return found, operator
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return [], "|"
    shared = {key: value for key, value in schema.items() if key not in ("title", "default")}
    return [{**shared, "type": one} for one in kinds if isinstance(one, str)], "|"


def comments(schema: Schema) -> list[str]:
    """`// Title`, an empty `//` between title and description, the description line by line, stripped."""
    title, description = schema.get("title"), schema.get("description")
    lines = [f"// {title}"] if isinstance(title, str) and title else []
    if isinstance(description, str) and description.strip():
        lines += ["//"] if lines else []
        lines += comment_lines(description)
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        lines += ["// Examples:", *(f"// - {_dumped(example)}" for example in examples)]
    return lines


def comment_lines(description: str) -> list[str]:
    return [f"// {line.strip()}".rstrip() for line in description.strip().split("\n")]


def _length(value: Any) -> int:
    """Characters of the strings in a keyword's value (`enum`, `examples` and `default` hold any JSON)."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _length(item) for key, item in value.items())
    return sum(map(_length, value)) if isinstance(value, list) else 0


def _properties(schema: Schema) -> list[tuple[str, Any]]:
    found = schema.get("properties")
    return list(found.items()) if isinstance(found, dict) else []


def _required(schema: Schema) -> set[str]:
    found = schema.get("required")
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()


def _scalar(kind: Any) -> str:
    if kind == "integer":
        return "number"
    return kind if isinstance(kind, str) and kind else "any"
