"""Input tokens of a chat completion: messages, names, images, tools, tool history, response format.

A message is rendered as `<start> role <separator> content <end>`: three tokens around its role and content. The layouts
differ in how the answer is primed, where the tools go, and what a name or an assistant's turn costs; `models.Layout`
names them.
"""

import re
from typing import Any, Final

from pricing.tokens import history, tools
from pricing.tokens.bounds import Count, Tally, UnverifiableError
from pricing.tokens.images import image_tokens
from pricing.tokens.limits import DEFAULT, Limits
from pricing.tokens.models import Model
from pricing.tokens.typescript import Schema

FRAME: Final = 3  # tokens around role and content; 4 for gpt-3.5-turbo-0301
# Tokens that prime the answer. 3: 4,889 of 4,923 recordings of plain text; 2: 162 of 163 of o3, o4-mini and gpt-5.
_PRIMING: Final = {"launch": 3, "snapshot": 3, "namespace": 3, "reasoning": 2, "harmony": 2}
# The system message that harmony puts in front when there are functions (channels, where calls go): 81 in 86 of 86.
_HARMONY_TOOLS: Final = 81
# The Responses API shows tools apart from the messages, in 3 tokens less than their text, on gpt-5 in 3 more: 17 of 18
# sets of tools. Tools and a response schema together are 1 less on gpt-5 (12 of 12), in Responses 2 less (1 of 1).
_RESPONSES_TOOLS: Final = 3
_TWO_SECTIONS: Final = (-1, -2)
_INSTRUCTIONS: Final = "# Instructions\n\n"  # harmony's heading over a developer message that also holds a section
_ASSISTANT_CHANNEL: Final = 2  # harmony names a channel in every assistant turn of the history
# What adds text that nobody sees: OpenAI's, Azure's (of 2024, of 2023), a router's.
_RETRIEVES: Final = ("web_search_options", "data_sources", "dataSources", "enhancements", "plugins")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}\s*\Z")
_AUDIO_BYTES_PER_SECOND_MIN: Final = 500  # 4 kbit/s, less than any speech codec in use
_SECTION_SHARE: Final = 130  # characters of tools for one token of doubt: 3 %, so that 5 % more is noticed
_FORMAT_SHARE: Final = 64  # the same for a response schema: 6 %
_NAMED: Final = frozenset(
    {"gpt-4o", "gpt-4o-mini", "gpt-4", "gpt-3.5-turbo", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-0301"}
)
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})  # one token each


def count_chat(model: Model, request: Schema, limits: Limits = DEFAULT) -> Count:
    """Tokens of the prompt. Raises `UnverifiableError` when there are no messages, or more than the limits allow."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise UnverifiableError("the request has no messages")
    if len(messages) > limits.messages:
        raise UnverifiableError(f"more than {limits.messages} messages")
    conversation = Conversation(model, request, limits)
    conversation.add_all(messages)
    return conversation.tally.count()


class Conversation:
    """Adds up one request. `section`: the tools and response format text that joins the first system message."""

    def __init__(self, model: Model, request: Schema, limits: Limits, *, responses: bool = False) -> None:
        self.model = model
        self.responses = responses
        self.request = request
        self.limits = limits
        self.tally = Tally(model.encoding)
        self.tally.exact(_PRIMING[model.layout])
        self.section = ""
        self.images = 0
        if request.get("verbosity"):
            self.tally.slack(2, 8, "a verbosity may be told to the model")
        if request.get("modalities") not in (None, ["text"]):
            self.tally.slack(4, 12, "prompts for spoken answers were never recorded")
        if request.get("prediction"):
            self._add_prediction(request["prediction"])
        if model.hidden:
            self.tally.unbounded("this model may add hidden tokens to every prompt")
        if not model.seen and model.layout in ("reasoning", "harmony"):
            self.tally.slack(4, 12, "this model was never recorded")
        elif model.layout == "reasoning" and not model.hidden:
            self.tally.slack(4, 4, "this family was recorded rarely")
        elif model.layout == "launch":
            self.tally.slack(1, 0, "the answer was primed with 2 tokens at first")

    def _add_prediction(self, prediction: Any) -> None:
        """Documented as output only; no recording shows whether the prompt holds it."""
        predicted = Tally(self.model.encoding)
        text = self._content(prediction.get("content") if isinstance(prediction, dict) else None)
        self.tally.doubt(0, predicted.text(text), "a predicted answer may be billed as input")

    def add_all(self, messages: list[Schema]) -> None:
        """Everything the request shows to the model: the sections, then the messages turn by turn."""
        self.add_sections(messages[0] if messages else {})
        if self.model.undated and self.model.family == "gpt-3.5-turbo":
            named = sum("name" in message for message in messages)
            self.tally.doubt(
                2 * named, len(messages), "the snapshot of March 2023 counted messages and names otherwise"
            )
        for turn in history.turns(messages):
            self.add_turn(turn)

    # ── sections ──
    def add_sections(self, first: Schema) -> None:
        functions, wanted = tools.functions(self.request), tools.json_schema(self.request)
        layout = self.model.layout
        parts: list[str] = []
        if functions:
            text, doubt = tools.section(functions, early=layout in ("launch", "snapshot"))
            parts.append(text)
            self._doubt_tools(text, doubt)
            if self.model.undated:
                self._doubt_layout(text, functions)
            self.tally.exact(self._tools_constant())
            tools.add_choice(self.tally, self.request, layout)
        if wanted is not None:
            parts.append(self._format(wanted, functions))
        if tools.unreadable(self.request):
            self.tally.unbounded("a tool or response format that cannot be read")
        if tools.built_in(self.request) or any(self.request.get(key) for key in _RETRIEVES):
            self.tally.unbounded("built-in tools add text that is not published")
        self.section = "\n\n".join(parts)
        if len(parts) == 2 and layout == "harmony":
            self.tally.exact(_TWO_SECTIONS[self.responses])
        if self.responses:
            shown = self.tally.text(self.section)
            if functions:
                self.tally.doubt(shown, 0, "the Responses API does not always bill the tools")  # 2 of 61 recordings
            self.section = ""
        elif parts and first.get("role") not in ("system", "developer"):
            self.tally.exact(FRAME + 1)
            self.tally.text(self.section)
            self.section = ""

    def _tools_constant(self) -> int:
        layout = self.model.layout
        if self.responses:
            return _RESPONSES_TOOLS if layout == "harmony" else -_RESPONSES_TOOLS
        return _HARMONY_TOOLS if layout == "harmony" else tools.SECTION_JOIN if layout != "reasoning" else 0

    def _doubt_tools(self, text: str, doubt: tuple[int, int]) -> None:
        size = len(text) // _SECTION_SHARE
        self.tally.slack(max(6, size), max(12, size), "the text that shows tools to the model is not published")
        if any(doubt):
            self.tally.slack(6 + doubt[0], 6 + doubt[1], "a tool's schema has parts that few recordings show")
        if self.model.layout in ("launch", "reasoning") or not self.model.seen:
            self.tally.slack(16, 16, "tools of this model were recorded rarely or never")

    def _doubt_layout(self, text: str, functions: list[Schema]) -> None:
        """A name without a date may stand for a snapshot that is shown tools in the other generation's text."""
        shown, other = Tally(self.model.encoding), Tally(self.model.encoding)
        other_text, _ = tools.section(functions, early=self.model.layout != "snapshot")
        more = other.text(other_text) - shown.text(text)
        self.tally.slack(8 + max(0, -more), 8 + max(0, more), "the name of the model has no date")

    def _format(self, wanted: Schema, functions: list[Schema]) -> str:
        """A schema that must be followed primes the answer with its name, 2 + name, unless a function may be called.

        gpt-5 is not primed (15 of 15). Of the other models 18 of 22 agree without tools (4 were edited), 23 of 23 with.
        """
        text, doubt = tools.format_section(wanted)
        size = len(text) // _FORMAT_SHARE
        self.tally.slack(
            max(8, size) + doubt, max(12, size) + doubt, "the text that shows a response schema is not published"
        )
        followed = not functions or (tools.forbidden(self.request) and not self.responses)
        if followed and self.model.layout != "harmony":
            self.tally.exact(0 if self.responses else 2)
            self.tally.text(str(wanted.get("name", "")))
        if self.model.layout not in ("namespace", "harmony"):
            self.tally.slack(16, 16, "response schemas of this model were never recorded")
        return text

    # ── turns ──
    def add_turn(self, turn: history.Turn) -> None:
        if isinstance(turn, history.Calls):
            self._add_calls(turn)
        else:
            self._add_message(turn)

    def _add_message(self, message: Schema) -> None:
        role = message.get("role")
        text = self._content(message.get("content")) or self._content(message.get("refusal"))
        if message.get("audio"):
            self.tally.unbounded("audio of an earlier answer is billed by its length")
        if self.section and role in ("system", "developer"):
            heading = _INSTRUCTIONS if self.model.layout == "harmony" else ""
            text = f"{heading}{text}\n\n{self.section}"
            self.section = ""
        if role == "tool":
            self.tally.slack(8, 12, "the result of a call that is not in the request")
        self.tally.exact(FRAME + (1 if self.model.layout == "launch" else 0))
        self._add_role(role if isinstance(role, str) else "", message.get("name"))
        self.tally.text(text)
        if role == "assistant" and self.model.layout == "harmony":
            self.tally.exact(_ASSISTANT_CHANNEL)

    def _add_role(self, role: str, name: Any) -> None:
        """Role and name: 1 + name (26 recordings). The launch snapshot drops the role, gpt-4o a name that repeats it.

        A result of a 2023 function has its name in place of its role (hmarr/openai-chat-tokens, 4 API-validated cases).
        """
        named = isinstance(name, str) and bool(name)
        if role == "function" and named:
            self.tally.text(name)
            return
        if role in _ROLES:
            self.tally.exact(1)
        else:
            self.tally.text(role)
        if named and role != "tool":
            self.tally.text(name)
            self.tally.exact(-1 if self.model.layout == "launch" else 1)
            if name == role and self.model.encoding == "o200k_base":
                self.tally.exact(-1)  # 13 of 13 on gpt-4o
            if self.model.family not in _NAMED:
                self.tally.slack(6, 6, "names were never recorded for this family")

    def _add_calls(self, turn: history.Calls) -> None:
        if turn.content:
            self._add_message({"role": "assistant", "content": turn.content})
        history.add_calls(self.tally, turn, self.model.layout, self._content, responses=self.responses)

    # ── content ──
    def _content(self, content: Any) -> str:
        """The text of a message: its text parts joined with nothing between (42 of 42); other parts go to the tally."""
        if isinstance(content, str):
            return content
        parts = content if isinstance(content, list) else [] if content is None else [content]
        return "".join(part if isinstance(part, str) else self._part(part) for part in parts)

    def _part(self, part: Any) -> str:
        if not isinstance(part, dict):
            self.tally.unbounded("a content that cannot be read")
            return ""
        for key in ("text", "refusal"):
            if isinstance(part.get(key), str):
                return str(part[key])
        kind = part.get("type")
        if kind in ("image_url", "input_image"):
            self._add_image(part)
        elif kind == "input_audio" and isinstance(part.get("input_audio"), dict):
            self._add_audio(part["input_audio"].get("data"))
        elif kind in ("file", "input_file"):
            self.tally.unbounded("a file is billed by text and pictures that are extracted from it")
        else:
            self.tally.unbounded("a part of a message of a kind that is not known")
        return ""

    def _add_audio(self, data: Any) -> None:
        """10 tokens a second, as transcription was recorded (1.13 s: 11, 3.7 s: 37); the bytes bound the seconds."""
        if not isinstance(data, str) or not _BASE64.match(data[:200]):
            self.tally.unbounded("audio is billed by its length")
            return
        self.tally.doubt(
            0, len(data) * 3 // 4 * 10 // _AUDIO_BYTES_PER_SECOND_MIN + 20, "audio is billed by its length"
        )

    def _add_image(self, part: Schema) -> None:
        self.images += 1
        if self.images > self.limits.images:
            raise UnverifiableError(f"more than {self.limits.images} images")
        image = part.get("image_url")
        inner = image if isinstance(image, dict) else {"url": image, "detail": part.get("detail")}
        url, detail = inner.get("url"), inner.get("detail")
        self.tally.add(image_tokens(self.model.images, url if isinstance(url, str) else "", detail))
