"""What tool definitions, a tool choice and a response format add to a prompt.

Both generations show the functions as a `# Tools` section of TypeScript. Joined to the conversation it is one token
shorter than openai/harmony's text (148 recorded sets of tools), so one is subtracted.
"""

from typing import Any, Final

from pricing.tokens.bounds import Tally
from pricing.tokens.typescript import Renderer, Schema, comment_lines, comments, compact

SECTION_JOIN: Final = -1
# Keys that do not reach the model in a response format: 13 of 13 recorded schemas (`maxItems`: 1 schema).
_FORMAT_DROPS: Final = frozenset({"additionalProperties", "required", "maxItems"})
_FORMAT_UNSEEN: Final = frozenset(
    {"anyOf", "oneOf", "allOf", "pattern", "format", "minimum", "maximum", "minItems", "default"}
)


def functions(request: Schema) -> list[Schema]:
    """The function definitions of a request: `functions`, `tools[].function`, or the flat `tools[]` of Responses."""
    if not (request.get("functions") or request.get("tools")):
        return []
    found = [f for f in _list(request.get("functions")) if isinstance(f, dict)]
    for tool in _list(request.get("tools")):
        if isinstance(tool, dict) and tool.get("type", "function") == "function":
            inner = tool.get("function", tool)
            found += [inner] if isinstance(inner, dict) else []
    return [f for f in found if isinstance(f.get("name"), str)]


def built_in(request: Schema) -> bool:
    """Whether the request names tools that OpenAI runs itself (web search, file search, computer use …)."""
    return any(isinstance(t, dict) and t.get("type", "function") != "function" for t in _list(request.get("tools")))


def unreadable(request: Schema) -> bool:
    """Whether tools or a response format are given in a shape that the functions here do not read."""
    for key in ("tools", "functions"):
        if request.get(key) and not isinstance(request[key], list):
            return True
    given = _list(request.get("functions")) + [
        tool
        for tool in _list(request.get("tools"))
        if not isinstance(tool, dict) or tool.get("type", "function") == "function"
    ]
    found = functions(request)
    if len(found) < len(given) or not all(isinstance(one.get("parameters") or {}, dict) for one in found):
        return True
    wanted = _wanted_format(request)
    if not isinstance(wanted, dict):
        return bool(wanted)
    known = wanted.get("type") in (None, "text", "json_object", "json_schema")
    return not known or (wanted.get("type") == "json_schema" and json_schema(request) is None)


def section(found: list[Schema], *, early: bool) -> tuple[str, tuple[int, int]]:
    """(the `# Tools` text, tokens by which it may be too long and too short).

    Raises `UnverifiableError` when a schema expands too far.
    """
    parts = ["# Tools\n\n## functions\n\nnamespace functions {"]
    below = above = 0
    for function in found:
        text, unsure = _function(function, early=early)
        parts.append(text)
        below, above = below + unsure[0], above + unsure[1]
    return "\n\n".join([*parts, "} // namespace functions"]), (below, above)


def _function(function: Schema, *, early: bool) -> tuple[str, tuple[int, int]]:
    description = function.get("description")
    lines: list[str] = []
    if isinstance(description, str) and description.strip():
        lines = [f"// {line}" for line in description.split("\n")] if early else comment_lines(description)
    parameters = function.get("parameters")
    name = function["name"]
    if not isinstance(parameters, dict) or not parameters.get("properties"):
        unread = len(compact(parameters)) // 2 if isinstance(parameters, dict) and not _is_empty(parameters) else 0
        return "\n".join([*lines, f"type {name} = () => any;"]), (0, unread)
    renderer = Renderer(parameters)
    if early:
        body = "\n".join(["{", renderer.early_object(parameters), "}"])
    else:
        body = "\n".join([*comments(parameters), renderer.late_object(parameters)])
    return "\n".join([*lines, f"type {name} = (_: {body}) => any;"]), (renderer.below, renderer.above)


def chosen(request: Schema) -> str | None:
    """The function that `tool_choice` or `function_call` forces, if it forces one."""
    choice = request.get("tool_choice") or request.get("function_call")
    if not isinstance(choice, dict):
        return None
    inner = choice.get("function", choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) else None


def forbidden(request: Schema) -> bool:
    """Whether the choice is `none`: the definitions are shown, a call is not allowed."""
    return "none" in (request.get("tool_choice"), request.get("function_call"))


def add_choice(tally: Tally, request: Schema, layout: str) -> None:
    """Tokens that steer the answer to a tool: none on gpt-5 (21 of 21); on the later generation name + 7 (69 of 91, the
    others 1 more but for one), on the 2023 snapshots name + 4 (88 of 92) and 2 for `required` (8 of 8); 1 for `none`.
    """
    if layout == "harmony":
        return
    name = chosen(request)
    if name is not None:
        tally.text(name)
        tally.exact(4 if layout == "snapshot" else 7)
    elif forbidden(request):
        tally.exact(1)
    elif layout == "snapshot" and request.get("tool_choice") == "required":
        tally.exact(2)


# ── response formats ──
def json_schema(request: Schema) -> Schema | None:
    """The schema of `response_format` (chat) or `text.format` (Responses), if any. `json_object` adds nothing."""
    wanted = _wanted_format(request)
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    inner = wanted.get("json_schema", wanted)
    return inner if isinstance(inner, dict) else None


def _wanted_format(request: Schema) -> Any:
    text = request.get("text")
    return request.get("response_format") or (text.get("format") if isinstance(text, dict) else None)


def format_section(wanted: Schema) -> tuple[str, int]:
    """(the `# Response Formats` text, doubt in tokens)."""
    name, description = wanted.get("name"), wanted.get("description")
    lines = [f"// {line}" for line in description.split("\n")] if isinstance(description, str) and description else []
    schema, unseen = _without_drops(wanted.get("schema"))
    heading = f"# Response Formats\n\n## {name if isinstance(name, str) else ''}\n"
    return "\n".join([heading, *lines, compact(schema)]), 8 * unseen


def _without_drops(schema: Any, *, names: bool = False) -> tuple[Any, int]:
    """The schema without the keys the model is not shown; how many keys no recording has. `names`: keys are names."""
    if isinstance(schema, list):
        pairs = [_without_drops(item) for item in schema]
        return [kept for kept, _ in pairs], sum(unseen for _, unseen in pairs)
    if not isinstance(schema, dict):
        return schema, 0
    kept, unseen = {}, 0
    for key, value in schema.items():
        if names or key not in _FORMAT_DROPS:
            kept[key], below = _without_drops(value, names=key in ("properties", "$defs", "definitions") and not names)
            unseen += below + (key in _FORMAT_UNSEEN and not names)
    return kept, unseen


def _is_empty(schema: Schema) -> bool:
    """Whether an object's schema allows no property to be told of."""
    return not schema.keys() & {"$ref", "anyOf", "oneOf", "allOf", "items", "enum", "title", "description"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
