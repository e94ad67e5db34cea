"""Tool schemas as the TypeScript the models are shown, in two dialects. openai/harmony (`src/encoding.rs`, Apache-2.0)
is a public relative of the later one; where this text departs from it, the recordings decided.

All but 5 of 148 recorded sets of tools are reproduced to the token. What no recording shows is added up in
`Renderer.doubt`, in tokens, and widens the count.
"""

import json
from typing import Any, Final

from pricing.tokens.bounds import UnverifiableError

Schema = dict[str, Any]

DEPTH_MAX: Final = 40
NODES_MAX: Final = 20_000  # a `$ref` that names itself, or fans out, ends here …
CHARACTERS_MAX: Final = 2_000_000  # … and so does one that repeats a long description
# Keywords that renderers of this kind print as a comment (`// minimum: 1`); no recording tells what OpenAI does.
_SILENT: Final = frozenset(
    {
        "format",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "prefixItems",
        "nullable",
        "not",
        "if",
        "deprecated",
    }
)
_KEYWORD_DOUBT: Final = 6  # tokens of such a comment
_UNION_DOUBT: Final = 2  # tokens a variant: the unions of one recorded schema cost 16 more than `a | b`
_NESTED_DOUBT: Final = 8  # tokens a property of commented objects in an array: 1 of 3 recordings is off by that much


def compact(value: Any) -> str:
    """JSON as the API re-serialises it: no blanks, no needless escapes. Raises `UnverifiableError` if it is not."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        raise UnverifiableError("a value that is not JSON") from None


class Renderer:
    """Renders one function's parameters. `doubt`: tokens by which the text may be too short or too long."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.doubt = 0
        self._nodes = self._characters = 0

    # ── gpt-3.5-turbo-0125, gpt-4-turbo and everything later ──
    def late_object(self, schema: Schema, depth: int = 0) -> str:
        """On one line unless a property needs a comment: `{ a: string, b?: number }`."""
        required = _required(schema)
        lines: list[str] = []
        plain: list[str] = []
        for name, value in _properties(schema):
            node = self._node(value, depth)
            kind, notes = self.late_type(node, depth + 1), comments(node)
            declared = f"{name}{'' if name in required else '?'}: {kind}"
            default = f" // default: {compact(node['default'])}" if "default" in node else ""
            lines += [*notes, f"{declared},{default}"]
            if not (notes or default or "\n" in kind):
                plain.append(declared)
        if len(plain) == len(_properties(schema)):
            return "{ " + ", ".join(plain) + " }"
        return "\n".join(["{", *lines, "}"])

    def late_type(self, schema: Schema, depth: int) -> str:
        union = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(union, list) and union:
            return self._late_union([self._node(variant, depth) for variant in union], depth)
        literal = self._literal(schema)
        if literal is not None:
            return literal
        kind = schema.get("type")
        if isinstance(kind, list):
            self.doubt += _UNION_DOUBT * len(kind)
            return " | ".join(self.late_type({**schema, "type": one}, depth) for one in kind) or "any"
        if kind == "object" or (kind is None and _properties(schema)):
            return self.late_object(schema, depth) if _properties(schema) else "object"
        if kind == "array":
            return self._late_array(schema, depth)
        return _scalar(kind)

    def _late_union(self, variants: list[Schema], depth: int) -> str:
        """An object without properties is left out: `object | null` is 1 token on gpt-3.5 (20 of 24), 2 on gpt-4o."""
        kinds = [kind for kind in (self.late_type(variant, depth) for variant in variants) if kind != "object"]
        if len(kinds) > 1:
            self.doubt += _UNION_DOUBT * len(kinds)
        return " | ".join(kinds) or "any"

    def _late_array(self, schema: Schema, depth: int) -> str:
        if "items" not in schema:
            return "any[]"
        items = self._node(schema["items"], depth)
        kind, notes = self.late_type(items, depth + 1), comments(items)
        if notes or "\n" in kind:
            self.doubt += _NESTED_DOUBT * len(_properties(items))
            return "\n".join(["Array<", *notes, kind, ">"])
        return f"{kind}[]"

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
        return _scalar(kind)

    # ── both ──
    def _node(self, value: Any, depth: int) -> Schema:
        """The schema, `$ref` followed; notes what is unseen. Raises `UnverifiableError` if it expands too far."""
        node: Schema = value if isinstance(value, dict) else {}
        for _ in range(DEPTH_MAX):
            if not isinstance(node.get("$ref"), str):
                break
            node = {**self._target(node["$ref"]), **{key: node[key] for key in node if key != "$ref"}}
        self.doubt += _KEYWORD_DOUBT * (len(_SILENT & node.keys()) + isinstance(node.get("additionalProperties"), dict))
        self._nodes += 1
        self._characters += _length(list(node.values()))
        if depth > DEPTH_MAX or self._nodes > NODES_MAX or self._characters > CHARACTERS_MAX:
            raise UnverifiableError("a tool's schema is nested or expands too far")
        return node

    def _target(self, reference: str) -> Schema:
        at: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            at = at.get(step) if isinstance(at, dict) else None
        return at if isinstance(at, dict) else {}

    def _literal(self, schema: Schema) -> str | None:
        values = schema.get("enum")
        if isinstance(values, list) and values:
            return " | ".join(compact(value) for value in values)
        if "const" in schema:
            self.doubt += 2 * _UNION_DOUBT
            return compact(schema["const"])
        return None


def comments(schema: Schema) -> list[str]:
    """`// Title`, an empty `//` between title and description, the description line by line, stripped."""
    title, description = schema.get("title"), schema.get("description")
    lines = [f"// {title}"] if isinstance(title, str) and title else []
    if isinstance(description, str) and description.strip():
        lines += ["//"] if lines else []
        lines += comment_lines(description)
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        lines += ["// Examples:", *(f"// - {compact(example)}" for example in examples)]
    return lines


def comment_lines(description: str) -> list[str]:
    return [f"// {line.strip()}".rstrip() for line in description.strip().split("\n")]


def _length(values: list[Any]) -> int:
    """Characters of the strings in a schema's own keywords, lists of them (`enum`, `examples`) included."""
    return sum(len(v) if isinstance(v, str) else _length(v) if isinstance(v, list) else 0 for v in values)


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
