"""Requests with the token counts that the API gave for them.

`COOKBOOK_*`: openai/openai-cookbook, How_to_count_tokens_with_tiktoken.ipynb (MIT). `FUNCTIONS`: the cases of
hmarr/openai-chat-tokens (MIT), validated against the API by its author with gpt-3.5-turbo-0613.
"""

from typing import Any

COOKBOOK_MESSAGES: dict[str, Any] = {
    "messages": [
        {
            "role": "system",
            "content": "You are a helpful, pattern-following assistant that translates corporate jargon "
            "into plain English.",
        },
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Things working well together will increase revenue.",
        },
        {
            "role": "system",
            "name": "example_user",
            "content": "Let's circle back when we have more bandwidth to touch base on opportunities "
            "for increased leverage.",
        },
        {
            "role": "system",
            "name": "example_assistant",
            "content": "Let's talk later when we're less busy about how to do better.",
        },
        {
            "role": "user",
            "content": "This late pivot means we don't have time to boil the ocean for the client deliverable.",
        },
    ]
}
COOKBOOK_MESSAGE_COUNTS = {
    "gpt-3.5-turbo-0301": 127,
    "gpt-3.5-turbo-0613": 129,
    "gpt-3.5-turbo-0125": 129,
    "gpt-4-0314": 129,
    "gpt-4-0613": 129,
    "gpt-4o-2024-08-06": 124,
    "gpt-4o-mini-2024-07-18": 124,
}
COOKBOOK_TOOLS: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a given location",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                        "unit": {
                            "type": "string",
                            "description": "The unit of temperature to return",
                            "enum": ["celsius", "fahrenheit"],
                        },
                    },
                    "required": ["location"],
                },
            },
        }
    ],
}
COOKBOOK_TOOL_COUNTS = {
    "gpt-3.5-turbo-0125": 105,
    "gpt-4-0613": 105,
    "gpt-4o-2024-08-06": 101,
    "gpt-4o-mini-2024-07-18": 101,
}

_HELLO = {"messages": [{"role": "user", "content": "hello"}]}
_GREETING = {"messages": [{"role": "system", "content": "Hello"}, {"role": "user", "content": "Hi there"}]}


def _function(name: str, properties: dict[str, Any], description: str | None = None) -> dict[str, Any]:
    described = {"description": description} if description else {}
    return {"name": name, **described, "parameters": {"type": "object", "properties": properties}}


_CALL = {"name": "do_stuff", "arguments": '{"foo": "bar", "baz": 1.5}'}
_VARIANT_A = {"type": "object", "properties": {"kind": {"type": "string", "const": "a"}, "baz": {"type": "boolean"}}}
FUNCTIONS: list[tuple[dict[str, Any], int]] = [
    ({**_HELLO, "functions": [_function("foo", {})]}, 31),
    ({**_HELLO, "functions": [_function("foo", {})], "function_call": "none"}, 32),
    ({**_HELLO, "functions": [_function("foo", {})], "function_call": {"name": "foo"}}, 36),
    ({**_HELLO, "functions": [_function("foo", {}, "Do a foo")]}, 36),
    ({**_HELLO, "functions": [_function("bing_bong", {"foo": {"type": "string"}}, "Do a bing bong")]}, 49),
    (
        {
            **_HELLO,
            "functions": [
                _function(
                    "bing_bong",
                    {"foo": {"type": "string"}, "bar": {"type": "number", "description": "A number"}},
                    "Do a bing bong",
                )
            ],
        },
        57,
    ),
    ({**_GREETING, "functions": [_function("do_stuff", {"foo": {"anyOf": [_VARIANT_A]}})]}, 52),
    (
        {
            **_GREETING,
            "functions": [
                _function("do_stuff", {"foo": {"anyOf": [{"type": "string", "const": "a"}, {"type": "number"}]}})
            ],
        },
        44,
    ),
    ({**_GREETING, "functions": [_function("do_stuff", {})]}, 35),
    (
        {
            "messages": [
                {"role": "user", "content": "hello world"},
                {"role": "function", "name": "do_stuff", "content": '{"foo": "bar", "baz": 1.5}'},
            ]
        },
        28,
    ),
    ({"messages": [{"role": "assistant", "content": "", "function_call": _CALL}]}, 26),
]
