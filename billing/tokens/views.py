"""What the page shows of an answer, made ready for its template. Pure."""

from typing import NamedTuple

from markupsafe import Markup, escape

from billing.prices.board import dollars
from billing.prices.words import Language
from billing.tokens import costs
from billing.tokens.calculator import Answer, Span
from billing.tokens.forms import Form
from billing.tokens.questions import PIECES_CHARACTERS_MAX
from billing.tokens.words import REASONS_ZH, WORDS
from pricing import money, tokens
from pricing.tokens import Piece


class Text(NamedTuple):
    """One text in pieces, as HTML; `role` in a chat."""

    role: str
    size: str
    html: Markup


class View(NamedTuple):
    counted: str
    unit: str
    characters: str
    encoding: str
    price: costs.Price | None
    assumed: str
    unpriced: bool
    chat: bool
    reasons: list[tuple[str, str]]
    texts: list[Text]
    complete: bool
    shown_max: str
    blank: bool


NOTHING = View("0", "tokens", "0", "", None, "", False, False, [], [], True, f"{PIECES_CHARACTERS_MAX:,}", True)


def view(form: Form, answer: Answer, language: Language) -> View:
    """The answer to a form's question, in a language."""
    words = WORDS[language]
    if form.mode == "chat" and not takes_chats(form.model):
        return NOTHING._replace(reasons=[(words["uncounted"], "")], chat=True, blank=False)
    texts = [message.content for message in form.written] if form.mode == "chat" else [form.text]
    roles = [message.role for message in form.written] if form.mode == "chat" else [""]
    shown = answer.pieces.texts if answer.pieces else []
    return NOTHING._replace(
        blank=False,
        counted=span(answer.input) if answer.input else "–",
        unit=answer.unit,
        characters=f"{sum(map(len, texts)):,}",
        encoding=answer.encoding or "",
        price=answer.price,
        assumed=_assumed(form, answer),
        unpriced=answer.unpriced is not None,
        chat=form.mode == "chat",
        reasons=[reason(each, language) for each in answer.reason.split("; ") if each],
        texts=[Text(role, f"{size(found):,}", run(found)) for role, found in zip(roles, shown, strict=False)],
        complete=answer.pieces is None or answer.pieces.complete,
    )


def _assumed(form: Form, answer: Answer) -> str:
    """The length of the answer that the price supposes; nothing for models that answer with none."""
    if answer.output is not None or answer.price is None or answer.price.output is None:
        return ""
    return "1" if answer.unit == "images" else f"{form.output_tokens:,}"


def takes_chats(model: str) -> bool:
    known = tokens.model(model)
    return known is None or known.kind == "chat"


def size(pieces: list[Piece]) -> int:
    return sum(len(piece.ids) for piece in pieces)


def span(found: Span) -> str:
    """`19`, `19–27`, `≥ 19`."""
    low, high = found
    return _between(f"{low:,}", None if high is None else f"{high:,}")


def money_span(found: costs.Span) -> str:
    """`$0.0001`, `$0.0001–$0.0002`, `≥ $0.0001`."""
    low, high = found
    return _between(dollars(money.parse(low)), None if high is None else dollars(money.parse(high)))


def _between(low: str, high: str | None) -> str:
    if high is None:
        return f"≥ {low}"
    return low if low == high else f"{low}–{high}"


def reason(text: str, language: Language) -> tuple[str, str]:
    """A sentence, and its language where that is not the page's."""
    if language == "zh":
        return (f"{REASONS_ZH[text]}。", "") if text in REASONS_ZH else (_sentence(text), "en")
    return _sentence(text), ""


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def run(pieces: list[Piece]) -> Markup:
    """The pieces as spans; one that several tokens make says how many."""
    return Markup("".join(map(_span, pieces)))  # noqa: S704 each piece is escaped


def _span(piece: Piece) -> str:
    several = f' data-n="{len(piece.ids)}"' if len(piece.ids) > 1 else ""
    return f'<span title="{" ".join(map(str, piece.ids))}"{several}>{visible(piece.text)}</span>'


def visible(text: str) -> str:
    """Escaped, with every blank marked; the style sheet draws the mark, so that copying gives the text."""
    marked = str(escape(text)).replace(" ", "<i>\0</i>").replace("\n", '<i class="n">\n</i>')
    return marked.replace("\t", '<i class="t">\t</i>').replace("\0", " ")
