"""GET /prices: the public price page, in English and Chinese, with the official price beside ours.

A day's page is drawn once for each language, model by model; a search picks from what is drawn. The page needs no
script, loads nothing from elsewhere and says so in its Content-Security-Policy.
"""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal, NamedTuple

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from billing.http import StrictRequest
from billing.prices.board import COLUMNS, Board, Flat, Item, board
from billing.prices.documents import Document, document, respond
from billing.prices.kept import kept
from billing.prices.kinds import KINDS
from billing.prices.words import QUESTIONS_ZH, WORDS, Language, preferred
from billing.settings import Settings
from billing.site import HEADERS, HTML, Assets, templates_in
from pricing.book import Book

HERE = Path(__file__).parent
ASSETS = Assets(HERE / "static", {"prices.css": "text/css", "prices.js": "text/javascript"})
SEARCH_CHARACTERS_MAX = 100

templates = templates_in(HERE / "templates")
templates.filters["word"] = lambda name, words: words.get(name, name)


class Drawn(NamedTuple):
    """Some models of a section as HTML, and the names by which a search finds them."""

    names: str
    html: str


class Section(NamedTuple):
    id: str
    title: str
    columns: tuple[str, ...]
    grid: list[Drawn]
    flats: list[Drawn]


@get("/prices", include_in_schema=False)
async def page(
    request: StrictRequest,
    book: NamedDependency[Book],
    settings: NamedDependency[Settings],
    q: FromQuery[str] = "",
    lang: FromQuery[Language | None] = None,
    unit: FromQuery[Literal["m", "k"]] = "m",
    tiers: FromQuery[bool] = False,
) -> Response[bytes]:
    """The price page; `q` shows only models whose names have each of its words."""
    language = lang or preferred(request.headers.get("Accept-Language", ""))
    today = datetime.now(UTC).date()
    look = Look(settings.multiplier, today, language, settings.issuer_name)
    search = q.strip()[:SEARCH_CHARACTERS_MAX]
    plain = not search and unit == "m" and not tiers
    found = whole(book, look) if plain else document(html(book, look, search, unit, tiers), HTML)
    headers = {"Vary": "Accept-Encoding, Accept-Language", "Content-Language": "zh-CN" if language == "zh" else "en"}
    return respond(request, found, {**HEADERS, **headers})


class Look(NamedTuple):
    """What decides what a page says of a book, but for the search."""

    multiplier: str
    day: date
    language: Language
    issuer: str


@kept
def whole(book: Book, look: Look) -> Document:
    return document(html(book, look), HTML)


def html(book: Book, look: Look, q: str = "", unit: str = "m", tiers: bool = False) -> bytes:
    sections, notes = draw(book, look.day, look.multiplier, look.language)
    words = WORDS[look.language]
    rule = words["half"] if look.multiplier == "0.5" else words["times"].format(multiplier=look.multiplier)
    return (
        templates.get_template("prices.html")
        .render(
            w={**words, "rule": rule},
            language=look.language,
            issuer=look.issuer,
            day=look.day,
            sections=searched(book, sections, q) if q else sections,
            questions=notes,
            book=book.digest,
            version=ASSETS.version,
            q=q,
            unit=unit,
            tiers=tiers,
        )
        .encode()
    )


def searched(book: Book, sections: list[Section], q: str) -> list[Section]:
    """The sections with only what a search finds: every word of it in a name; or any known spelling of one name."""
    picked = _picked(sections, q.lower().split())
    known = None if picked else book.card(q)
    return _picked(sections, [known.name]) if known else picked


def _picked(sections: list[Section], words: list[str]) -> list[Section]:
    def matching(drawn: list[Drawn]) -> list[Drawn]:
        return [each for each in drawn if all(word in each.names for word in words)]

    found = (each._replace(grid=matching(each.grid), flats=matching(each.flats)) for each in sections)
    return [section for section in found if section.grid or section.flats]


@kept
def draw(book: Book, day: date, multiplier: str, language: Language) -> tuple[list[Section], list[dict[str, Any]]]:
    """Every section of a day's page, and its notes."""
    shown = board(book, datetime.combine(day, time.min, UTC), multiplier)
    words = WORDS[language]
    macros: Any = templates.get_template("item.html").make_module({"w": words})
    sections = [_section(kind, words[kind], items, macros) for kind in KINDS if (items := shown.sections[kind])]
    tools = [Drawn(_tool_names(flat, words), macros.tool(flat)) for flat in shown.tools]
    return [*sections, Section("tools", words["tools"], (), [], tools)], _notes(shown, language)


def _section(kind: str, title: str, items: list[Item], macros: Any) -> Section:
    columns = tuple(column for column in COLUMNS if any(column in row.costs for item in items for row in item.rows))
    grid = [Drawn(_names(item), macros.grid(item, columns)) for item in items if item.rows]
    flats = [Drawn(_names(item), macros.flats(item)) for item in items if item.flats]
    return Section(kind, title, columns, grid, flats)


def _names(item: Item) -> str:
    return " ".join((item.name, *item.others)).lower()


def _tool_names(flat: Flat, words: dict[str, str]) -> str:
    return " ".join((words.get(flat.what, flat.what), *flat.models)).lower()


def _notes(shown: Board, language: Language) -> list[dict[str, Any]]:
    """The open questions; in English where nobody has translated one."""
    notes = []
    for each in shown.questions:
        note = {**each._asdict(), "language": "en" if language != "en" else ""}
        if language == "zh" and (told := QUESTIONS_ZH.get((each.model, each.dimension))):
            note |= {"question": told[0], "meanwhile": told[1], "language": ""}
        notes.append(note)
    return notes


@get("/prices/static/{name:str}", include_in_schema=False, sync_to_thread=False)
def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the page."""
    return ASSETS.answer(name)


router = Router("/", route_handlers=[page, asset])
