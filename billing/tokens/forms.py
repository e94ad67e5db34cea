"""The page's form: what was written, and the question that it asks. Pure."""

from typing import Literal, NamedTuple
from urllib.parse import parse_qs

import msgspec

from billing.errors import Invalid, NotFound
from billing.tokens.questions import OUTPUT_TOKENS_MAX, Question

FORM_TYPE = "application/x-www-form-urlencoded"
FIELDS_MAX = 500
ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    role: str
    content: str


class Form(NamedTuple):
    model: str
    mode: Literal["text", "chat"]
    text: str
    messages: tuple[Message, ...]
    output_tokens: int

    def with_text(self, text: str) -> "Form":
        """The form with this text, in either mode."""
        return self._replace(text=text, messages=(self.messages[0], Message("user", text)))

    @property
    def written(self) -> tuple[Message, ...]:
        """The messages that are not empty."""
        return tuple(message for message in self.messages if message.content)

    @property
    def text_bytes(self) -> int:
        return sum(len(text.encode()) for text in (self.text, *(message.content for message in self.messages)))

    def question(self) -> Question | None:
        """What is asked; None while nothing is written. Raises NotFound for what cannot be a model's name."""
        asked: dict[str, object]
        if self.mode == "chat":
            asked = {"messages": [message._asdict() for message in self.written]} if self.written else {}
        else:
            asked = {"prompt": self.text} if self.text else {}
        if not asked:
            return None
        asked |= {"model": self.model, "output_tokens": self.output_tokens, "pieces": True}
        try:
            return msgspec.convert(asked, Question)
        except msgspec.ValidationError:
            raise NotFound("unknown_model", "The form names no model.") from None


BLANK = Form("gpt-4o", "text", "", (Message("system", ""), Message("user", "")), 500)


def read_form(body: bytes) -> Form:
    """The form as a browser sends it; a button `add` or `remove` changes the messages. Raises Invalid."""
    try:
        fields = parse_qs(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Invalid("invalid_body", f"A form has at most {FIELDS_MAX} fields.") from None

    def first(name: str, otherwise: str) -> str:
        return unix_lines(fields.get(name, [otherwise])[0])

    pairs = zip(fields.get("role", []), fields.get("content", []), strict=False)
    messages = [Message(role if role in ROLES else "user", unix_lines(content)) for role, content in pairs]
    if "add" in fields:
        messages.append(Message("assistant" if messages and messages[-1].role == "user" else "user", ""))
    removed = first("remove", "")
    if removed.isdecimal() and int(removed[:9]) < len(messages):
        del messages[int(removed[:9])]
    return Form(
        model=first("model", BLANK.model).strip(),
        mode="chat" if first("mode", "text") == "chat" else "text",
        text=first("text", ""),
        messages=tuple(messages) or BLANK.messages[1:],
        output_tokens=_length(first("output_tokens", "")),
    )


def unix_lines(text: str) -> str:
    """Forms send CR LF for each line break, whatever was typed; an SDK would send LF, which are other tokens."""
    return text.replace("\r\n", "\n")


def _length(text: str) -> int:
    return min(int(text[:9]), OUTPUT_TOKENS_MAX) if text.isascii() and text.isdecimal() else BLANK.output_tokens
