"""HTML and PDF: every number of the view, in both languages, whatever the names are made of."""

import os
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import msgspec
import pytest
from pypdf import PdfReader

from billing.errors import Unprocessable
from billing.invoices.formats import en16931, html, pdf
from billing.invoices.formats.amounts import amount, grouped, negated
from billing.invoices.formats.printable import UNSEEN
from billing.invoices.formats.sheet import dimension, sheet
from billing.invoices.formats.words import WORDS
from billing.invoices.invoice import Customer
from billing.invoices.view import InvoiceView, StatementView, view
from billing.prices.words import Language
from pricing import units
from tests.invoices.formats.samples import INVOICES, NOTES, VIEWS, invoice, lines

LANGUAGES: tuple[Language, ...] = ("en", "zh")
in_both = pytest.mark.parametrize("language", LANGUAGES)
every_sort = pytest.mark.parametrize("name", VIEWS)


class Texts(HTMLParser):
    """The texts of a page, and the tags it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "style", "onload"}

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def numbers(shown: InvoiceView) -> set[str]:
    """Every number an invoice on paper has to show."""
    of_lines = {grouped(line.amount_exact) for line in shown.lines} | {amount(line.amount) for line in shown.lines}
    of_lines |= {grouped(str(line.quantity)) for line in shown.lines} | {line.multiplier for line in shown.lines}
    of_lines |= {grouped(line.official_unit_price) for line in shown.lines}
    sums = {amount(each) for each in (shown.subtotal, shown.total, shown.amount_due)}
    of_taxes = {amount(tax.amount) for tax in shown.taxes}
    statement = {
        amount(shown.statement.opening),
        amount(shown.statement.closing),
        amount(negated(shown.statement.usage)),
    }
    return of_lines | sums | of_taxes | statement


def test_both_languages_say_everything() -> None:
    english, chinese = (WORDS[language] for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    places = {name: set(re.findall(r"{\w+}", said)) for name, said in english.items()}
    assert places == {name: set(re.findall(r"{\w+}", said)) for name, said in chinese.items()}
    counted = {f"{unit.thing}_count" for unit in units.UNITS.values()}
    assert set(units.UNITS) | counted | set(StatementView.__struct_fields__) <= english.keys()
    dimensions = (*units.TOKEN_DIMENSIONS, *units.TIME_DIMENSIONS, units.DURATION, units.REQUEST, "input_characters")
    assert {f"dim:{name}" for name in (*dimensions, "image", "tool")} <= english.keys()


def test_the_fonts_have_every_character_we_say() -> None:
    said = set("".join(text for words in WORDS.values() for text in words.values()))
    shown = {"−", "–", "·", *"0123456789.,%/ "}
    assert said | shown <= pdf.characters("bold") <= pdf.characters("regular")


@pytest.mark.parametrize(
    ("number", "text"),
    [("0", "0.00"), ("-1234567.5", "−1,234,567.50"), ("0.000000000001", "0.000000000001"), ("999.99", "999.99")],
)
def test_amounts_keep_every_digit(number: str, text: str) -> None:
    assert amount(number) == text


@pytest.mark.parametrize(
    ("address", "printed"),
    [(None, ["IE"]), ("Quay 1\nDublin", ["Quay 1", "Dublin", "IE"]), ("Dublin\nIE", ["Dublin", "IE"])],
)
def test_a_party_has_its_country(address: str | None, printed: list[str]) -> None:
    customer = Customer(name="Ada", email="ada@example.com", address=address, tax_id="IE1", country="IE")
    shown = msgspec.structs.replace(VIEWS["mixed"], customer=customer)
    assert sheet(shown, "en").parties[1].lines == [*printed, "Tax ID IE1", "ada@example.com"]


def test_dimensions_in_words() -> None:
    assert dimension("image:hd:1024x1792", "en") == "Image hd 1024x1792"
    assert dimension("cached_input", "zh") == "缓存输入"
    assert dimension("something_new", "en") == "something_new"


@in_both
@every_sort
def test_the_page_shows_every_number(name: str, language: Language) -> None:
    page = html.document(VIEWS[name], language).decode()
    found = Texts(page)
    assert numbers(VIEWS[name]) <= set(found.texts)
    assert not found.tags & {"script", "img", "link", "iframe", "object"}


def test_what_customers_are_called_is_text() -> None:
    named = Customer(name="<script>alert(1)</script>", email=None, address="<b>&amp;")
    page = html.document(view(msgspec.structs.replace(INVOICES["postpaid"], customer=named)), "en").decode()
    assert {"<script>alert(1)</script>", "<b>&amp;"} <= set(Texts(page).texts)


HIDDEN = "Ada\u202eLtd\u2066\u200b\u200fX\x07"
SHOWN = "Ada[U+202E]Ltd[U+2066][U+200B][U+200F]X[U+0007]"


@in_both
def test_what_is_not_seen_cannot_turn_an_invoice_around(language: Language) -> None:
    named = Customer(name=HIDDEN, email=HIDDEN, address=HIDDEN, tax_id=HIDDEN)
    shown = view(msgspec.structs.replace(INVOICES["postpaid"], customer=named))
    page = html.document(shown, language).decode()
    assert (page.count(SHOWN), UNSEEN.search(page.replace("\n", ""))) == (4, None)
    assert WORDS[language]["unprintable"] in page
    paper = re.sub(r"\s", "", texts(pdf.document(shown, language)))
    assert (paper.count(SHOWN), UNSEEN.search(paper)) == (4, None)
    plain = html.document(VIEWS["postpaid"], language).decode()
    assert WORDS[language]["unprintable"] not in plain


def test_a_long_word_is_copied_as_it_is() -> None:
    word = "ft:gpt-4o:" + "abcdefghij" * 9
    named = Customer(name=word, email=None, address=None)
    paper = texts(pdf.document(view(msgspec.structs.replace(INVOICES["postpaid"], customer=named)), "en"))
    assert "\u200b" not in paper
    assert word in paper.replace("\n", "")
    assert word not in paper


def read(document: bytes) -> PdfReader:
    return PdfReader(BytesIO(document))


def texts(document: bytes) -> str:
    return "\n".join(page.extract_text() for page in read(document).pages)


@in_both
@pytest.mark.parametrize("name", ["mixed", "tax inside", "gives back", "prepaid", "empty"])
def test_the_pdf_shows_every_number(name: str, language: Language) -> None:
    shown = texts(pdf.document(VIEWS[name], language))
    assert [number for number in numbers(VIEWS[name]) if number not in shown] == []


def test_heads_are_repeated_on_each_page() -> None:
    long = view(invoice(lines(200)))
    document = pdf.document(long, "en")
    pages = [page.extract_text() for page in read(document).pages]
    assert len(pages) > 8
    assert all("Official price" in page or "Price entry" in page or "Total" in page for page in pages)
    assert f"Page 2 of {len(pages)}" in pages[1]
    assert numbers(long) <= set(re.split(r"[ \n]", "\n".join(pages)))


def test_the_structured_invoice_is_attached() -> None:
    found = read(pdf.document(VIEWS["mixed"], "zh"))
    assert found.attachments["factur-x.xml"] == [en16931.document(VIEWS["mixed"])]
    assert found.xmp_metadata is not None
    assert (b"<pdfaid:part>3</pdfaid:part>" in found.xmp_metadata.stream.get_data()) is True


def test_a_draft_says_so_and_has_nothing_attached() -> None:
    draft = msgspec.structs.replace(VIEWS["postpaid"], id=None, number=None, status="draft", finalized_at=None)
    document = pdf.document(draft, "en")
    assert "This is a draft" in texts(document)
    assert not read(document).attachments
    assert "本文件为草稿" in html.document(draft, "zh").decode()


def test_it_is_the_same_to_the_byte_whenever_it_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = pdf.document(VIEWS["mixed"], "en")
    monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", "1")
    monkeypatch.setitem(os.environ, "LANG", "zh_CN.UTF-8")
    with pdf.Press() as press:
        press.document(VIEWS["prepaid"], "zh")
        assert press.document(VIEWS["mixed"], "en") == first
    assert html.document(VIEWS["mixed"], "en") == html.document(VIEWS["mixed"], "en")


def test_characters_that_no_font_has_are_named() -> None:
    names = "Müller & Söhne 😀 שלום สวัสดี 주식회사 株式会社 深圳市堃喆 " + "x" * 150
    named = Customer(name=names, email=None, address="𠮷")
    made = view(msgspec.structs.replace(INVOICES["postpaid"], customer=named))
    shown = pdf.parts(sheet(made, "en"))
    party = shown["parties"][1]
    assert party["name"].startswith("Müller & Söhne [U+1F600] [U+05E9][U+05DC]")
    assert "주식회사 株式会社 深圳市堃喆" in party["name"]
    assert shown["how"][-1] == WORDS["en"]["unprintable"]
    assert "[U+1F600]" in texts(pdf.document(made, "en"))
    untouched = sheet(VIEWS["prepaid"], "zh")
    assert pdf.parts(untouched) == msgspec.to_builtins(untouched)


def test_one_that_is_too_long_is_refused() -> None:
    long = msgspec.structs.replace(VIEWS["postpaid"], lines=VIEWS["postpaid"].lines[:1] * (pdf.LINES_MAX + 1))
    with pytest.raises(Unprocessable) as refused:
        pdf.document(long, "en")
    assert refused.value.code == "invoice_too_long"


def test_a_long_one_takes_bounded_time_and_memory() -> None:
    long = msgspec.structs.replace(VIEWS["postpaid"], lines=VIEWS["postpaid"].lines[:5] * 200)
    with pdf.Press() as press:  # it has pdf.SECONDS_MAX
        assert press.document(long, "en").startswith(b"%PDF")
        assert press._process is not None
        status = Path(f"/proc/{press._process.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 600_000  # kB
    assert len(html.document(long, "en")) < 1_000_000


def test_a_press_that_breaks_says_so_and_the_next_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    with pdf.Press() as press:
        monkeypatch.setattr(pdf, "SECONDS_MAX", 0)
        with pytest.raises(pdf.PressError):
            press.document(VIEWS["mixed"], "en")
        monkeypatch.undo()
        assert press.document(VIEWS["mixed"], "en").startswith(b"%PDF")


def test_a_press_is_replaced_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "DOCUMENTS_MAX", 2)
    with pdf.Press() as press:
        assert len({press.document(VIEWS["empty"], "en") for _ in range(5)}) == 1


@in_both
@pytest.mark.parametrize("name", NOTES)
def test_a_credit_note_shows_every_number(name: str, language: Language) -> None:
    note = NOTES[name]
    sums = {amount(each) for each in (note.subtotal, note.total, *(tax.amount for tax in note.taxes))}
    expected = {amount(line.amount) for line in note.lines} | {note.number, note.invoice.number} | sums
    document = pdf.note(note, language)
    on_paper = texts(document)
    assert [each for each in expected if each not in on_paper] == []
    assert expected <= set(Texts(html.note(note, language).decode()).texts)
    assert read(document).attachments["factur-x.xml"] == [en16931.note(note)]
    assert WORDS[language]["credit_note"] in on_paper
