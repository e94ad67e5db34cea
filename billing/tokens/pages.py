"""GET and POST /tokens: the calculator for people, in English and Chinese, which looks like the price page.

One form and one template of the result. The script posts the form as one types and puts the answer's result in place;
without it the form's button does the same. What is written travels in the body, so no log of any proxy has it.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery

from billing import site
from billing.errors import NotFound, Problem, TooLarge, Unavailable
from billing.http import StrictRequest
from billing.prices import pages as price_pages
from billing.prices.catalogue import offered
from billing.prices.documents import Document, document, respond
from billing.prices.kept import kept
from billing.prices.words import Language, preferred
from billing.settings import Settings
from billing.site import HTML, Assets, templates_in
from billing.tokens.api import BoundedRequest, calculator, count_tokens, too_large
from billing.tokens.calculator import Calculator
from billing.tokens.forms import BLANK, FORM_TYPE, ROLES, Form, read_form
from billing.tokens.questions import OUTPUT_TOKENS_MAX
from billing.tokens.views import NOTHING, View, money_span, view
from billing.tokens.words import WORDS
from pricing import tokens
from pricing.book import Book

HERE = Path(__file__).parent
ASSETS = Assets(HERE / "static", {"tokens.css": "text/css", "tokens.js": "text/javascript"})
HEADERS = {**site.HEADERS, "Content-Security-Policy": f"{site.POLICY}; connect-src 'self'"}
COUNTED = ("chat", "completion", "embedding", "speech")
PREFILLED_CHARACTERS_MAX = 4_000
Part = Literal["page", "result"]

templates = templates_in(HERE / "templates")
templates.filters["money"] = money_span


class Look(NamedTuple):
    """What decides how a page looks, but for what is counted."""

    day: date
    language: Language
    issuer: str


@get("/tokens", include_in_schema=False)
async def page(
    request: StrictRequest,
    calculator: NamedDependency[Calculator],
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    lang: FromQuery[Language | None] = None,
    model: FromQuery[str] = BLANK.model,
    text: FromQuery[str] = "",
    mode: FromQuery[Literal["text", "chat"]] = "text",
) -> Response[bytes]:
    """The empty calculator; or one that shows a short text of the address, so that an example can be linked to."""
    look = look_of(request, lang, settings)
    form = BLANK._replace(model=model[:200], mode=mode).with_text(text[:PREFILLED_CHARACTERS_MAX])
    if form == BLANK:
        vary = {"Vary": "Accept-Encoding, Accept-Language"}
        return respond(request, blank(book, look), {**HEADERS, **vary, "Content-Language": content_language(look)})
    return await answer(form, look, calculator, book, "page")


@post("/tokens", include_in_schema=False, status_code=200)
async def count(
    request: BoundedRequest,
    calculator: NamedDependency[Calculator],
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    lang: FromQuery[Language | None] = None,
    part: FromQuery[Part] = "page",
) -> Response[bytes]:
    """The form, counted: the whole page, or only its result."""
    look = look_of(request, lang, settings)
    request.expect_content_type(FORM_TYPE)
    try:
        form = read_form(await request.body())
    except TooLarge as problem:
        return refused(problem, BLANK, look, calculator, book, part)
    return await answer(form, look, calculator, book, part)


async def answer(form: Form, look: Look, calculator: Calculator, book: Book, part: Part) -> Response[bytes]:
    try:
        found = await viewed(form, look, calculator, book)
    except (NotFound, TooLarge, Unavailable) as problem:
        return refused(problem, form, look, calculator, book, part)
    return drawn(html(form, look, book, part, found), 200, look)


async def viewed(form: Form, look: Look, calculator: Calculator, book: Book) -> View:
    """What there is to see of the form's text. Raises NotFound, TooLarge, Unavailable."""
    if form.text_bytes > calculator.text_bytes_max:
        raise too_large(calculator.text_bytes_max)
    question = form.question()
    if question is None:
        return NOTHING._replace(chat=form.mode == "chat")
    found = await calculator.answer(question, book, datetime.now(UTC))
    return view(form, found, look.language)


def refused(
    problem: Problem, form: Form, look: Look, calculator: Calculator, book: Book, part: Part
) -> Response[bytes]:
    """The page with a sentence in its language."""
    words = WORDS[look.language]
    sentence = {
        TooLarge: words["too_large"].format(limit=f"{calculator.text_bytes_max:,}"),
        Unavailable: words["busy"],
        NotFound: words["unknown_model"],
    }[type(problem)]
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    return drawn(html(form, look, book, part, NOTHING, sentence), problem.status, look, headers)


def drawn(content: bytes, status: int, look: Look, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Nobody keeps an answer that has a text in it."""
    kept_by_nobody = {"Cache-Control": "no-store", "Content-Language": content_language(look)}
    return Response(
        content, status_code=status, media_type=HTML, headers={**HEADERS, **kept_by_nobody, **(headers or {})}
    )


def look_of(request: StrictRequest, lang: Language | None, settings: Settings) -> Look:
    language = lang or preferred(request.headers.get("Accept-Language", ""))
    return Look(datetime.now(UTC).date(), language, settings.issuer_name)


def content_language(look: Look) -> str:
    return "zh-CN" if look.language == "zh" else "en"


@kept
def blank(book: Book, look: Look) -> Document:
    return document(html(BLANK, look, book, "page", NOTHING), HTML)


def html(form: Form, look: Look, book: Book, part: Part, shown: View, notice: str = "") -> bytes:
    seen: dict[str, Any] = {"w": WORDS[look.language], "view": shown, "notice": notice}
    if part == "result":
        return templates.get_template("result.html").render(seen).encode("utf-8", "replace")
    drawn_page = templates.get_template("tokens.html").render(
        seen,
        language=look.language,
        issuer=look.issuer,
        form=form,
        roles=ROLES,
        models=models(book, look.day),
        output_max=OUTPUT_TOKENS_MAX,
        version=ASSETS.version,
        prices_version=price_pages.ASSETS.version,
    )
    return drawn_page.encode("utf-8", "replace")


@kept
def models(book: Book, day: date) -> list[str]:
    """The names that are priced and whose text can be counted."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [name for name in offered(book, at) if (known := tokens.model(name)) and known.kind in COUNTED]


@get("/tokens/static/{name:str}", include_in_schema=False, sync_to_thread=False)
def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the page."""
    return ASSETS.answer(name)


# The whole room: the app includes it in one line.
router = Router(
    "/",
    route_handlers=[count_tokens, page, count, asset],
    request_class=BoundedRequest,
    dependencies={"calculator": Provide(calculator, sync_to_thread=False)},
)
