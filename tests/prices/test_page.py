"""The public price page: what it says, in both languages, with and without a search, and what it may load."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import httpx
import pytest

from billing.prices import pages
from billing.prices.board import dollars
from billing.prices.words import QUESTIONS_ZH, WORDS, preferred
from pricing import money
from pricing.book import Book
from tests.prices.test_models import PROMISED

VOID = {"meta", "link", "input", "br"}


class Read(HTMLParser):
    """Names of models by their rows of texts; and that what is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bodies: list[list[list[str]]] = []
        self.loads: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [
            given[name] or "" for name in ("src", "href") if name in given and tag in ("link", "script", "img")
        ]
        assert "style" not in given
        assert not [name for name in given if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tbody":
            self.bodies.append([])
        if tag == "tr" and "tbody" in self.open:
            self.bodies[-1].append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "tbody" in self.open and "tr" in self.open:
            self.bodies[-1][-1].append(data.strip())

    def rows(self, model: str) -> list[list[str]]:
        return next(body for body in self.bodies if body[0][0] == model)


async def page(client: httpx.AsyncClient, **params: str) -> str:
    answer = await client.get("/prices", params=params)
    assert answer.status_code == 200
    return answer.text


async def test_the_official_price_beside_ours(anybody: httpx.AsyncClient) -> None:
    read = Read(await page(anybody, lang="en"))
    gpt4 = read.rows("gpt-4")[0]
    each_1m_then_1k = ("$15.00", "$30.00", "$0.015", "$0.03", "–", "–", "$30.00", "$60.00", "$0.03", "$0.06")
    assert gpt4[-10:] == [*each_1m_then_1k]
    assert read.rows("tts-1")[0][-4:] == ["$7.50", "$15.00", "$0.0075", "$0.015"]
    assert ["$0.06", "$0.12"] in [row[-2:] for row in read.rows("dall-e-3")]
    assert read.rows("whisper-1")[0][-2:] == ["$0.003", "$0.006"]
    assert read.rows("Code interpreter")[0][-2:] == ["$0.015", "$0.03"]


async def test_tiers_and_long_prompts_have_rows(anybody: httpx.AsyncClient) -> None:
    read = Read(await page(anybody, lang="en"))
    labels = [row[0] for row in read.rows("gpt-5.4")[1:]]
    assert labels == [
        *("prompt over 272K tokens", "Batch", "Batch · prompt over 272K tokens"),
        *("Flex", "Flex · prompt over 272K tokens", "Priority"),
    ]
    assert [row[0] for row in read.rows("gpt-realtime")[1:]] == ["Audio", "Image"]


async def test_the_published_row_says_so(anybody: httpx.AsyncClient) -> None:
    row = Read(await page(anybody, lang="en")).rows("gpt-4-turbo")[0]
    assert "Output is billed by the price we published; OpenAI's own list says $30.00 per 1M tokens." in row
    assert row[-4:] == ["$10.00", "$20.00", "$0.01", "$0.02"]
    assert {"$5.00", "$0.005"} <= set(row)


async def test_every_promised_model_is_there(anybody: httpx.AsyncClient) -> None:
    for lang in WORDS:
        text = await page(anybody, lang=lang)
        names = set(re.split(r"[\s,]+", " ".join(re.findall(r'class="n">([^<]*)<', text))))
        assert set(PROMISED) <= names


async def test_both_languages(anybody: httpx.AsyncClient) -> None:
    english, chinese = await page(anybody, lang="en"), await page(anybody, lang="zh")
    assert '<html lang="en">' in english
    assert "Every model at half of OpenAI&#39;s official price." in english
    assert "shut down by OpenAI on 2026-10-23" in english
    assert '<html lang="zh-CN">' in chinese
    assert "所有模型均为 OpenAI 官方价格的一半。" in chinese
    assert "OpenAI 已于 2026-10-23 下线" in chinese
    assert "OpenAI 将于 2027-01-14 下线" in chinese
    assert "促销价" in chinese
    assert "promotional" in english
    prices = re.compile(r"\$[0-9.,]+")
    tables = [text[text.index("<section") : text.index('id="notes"')] for text in (english, chinese)]
    assert re.findall(r"<b>(.*?)</b>", tables[0]) == re.findall(r"<b>(.*?)</b>", tables[1])
    assert len(prices.findall(tables[0])) > 2_000


async def test_the_browser_chooses_the_language_until_the_reader_does(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/prices", headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert answer.headers["Content-Language"] == "zh-CN"
    assert "Accept-Language" in answer.headers["Vary"]
    chosen = await anybody.get("/prices?lang=en", headers={"Accept-Language": "zh-CN"})
    assert chosen.headers["Content-Language"] == "en"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-Hant-TW", "zh"),
        ("de, zh;q=0.7", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("zh;q=0.1, en;q=0.2", "en"),
        ("zh;q=0", "en"),
        ("*;q=1, ;;q=nan, zh;q=9", "en"),
        ("de", "en"),
    ],
)
def test_the_preferred_language(header: str, language: str) -> None:
    assert preferred(header) == language


async def test_search_without_a_script(anybody: httpx.AsyncClient) -> None:
    found = Read(await page(anybody, lang="en", q="GPT-4  turbo"))
    assert {body[0][0] for body in found.bodies} == {
        "gpt-4-0125-preview",
        "gpt-4-turbo",
    }  # by its other name, the first
    spelled = Read(await page(anybody, lang="en", q="azure/gpt-35-turbo-16k"))
    assert [body[0][0] for body in spelled.bodies] == ["gpt-3.5-turbo-16k"]
    assert "没有名为“zzz”的模型。" in await page(anybody, lang="zh", q="zzz")


async def test_a_search_is_text(anybody: httpx.AsyncClient) -> None:
    text = await page(anybody, lang="en", q='"><script>alert(1)</script>')
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    Read(text)


async def test_switches_work_without_a_script(anybody: httpx.AsyncClient) -> None:
    text = await page(anybody, lang="en", q="gpt-4o", unit="k", tiers="true")
    assert 'id="k" checked>' in text
    assert 'id="tiers" checked>' in text
    assert (await anybody.get("/prices?unit=x")).status_code == 400


async def test_open_questions_are_marked(anybody: httpx.AsyncClient) -> None:
    text = await page(anybody, lang="en")
    row = Read(text).rows("gpt-5.6")[0]
    mark = next(part for part in row if part.startswith("?"))
    assert f'id="question-{mark[1:]}"><b>gpt-5.6-sol</b>' in text


async def test_nothing_is_loaded_from_elsewhere(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/prices")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    loads = Read(answer.text).loads
    assert len(loads) == 2
    for address in loads:
        asset = await anybody.get(address)
        assert asset.status_code == 200
        assert asset.headers["Content-Type"] in ("text/css; charset=utf-8", "text/javascript; charset=utf-8")
        assert "immutable" in asset.headers["Cache-Control"]
        assert b"http" not in asset.content.replace(b"https://", b"http")
    assert (await anybody.get("/prices/static/prices.html")).status_code == 404
    assert (await anybody.get("/prices/static/%2e%2e/pages.py")).status_code == 404


async def test_it_is_small(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/prices", headers={"Accept-Encoding": "gzip"})
    assert len(answer.content) < 250_000
    assert int(answer.headers["Content-Length"]) < 25_000


def test_both_languages_have_every_word() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for name, text in WORDS["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", WORDS["zh"][name])), name


def test_every_open_question_is_told_in_chinese(book: Book) -> None:
    assert {(each.model, each.dimension) for each in book.questions} == QUESTIONS_ZH.keys()


def test_every_kind_of_price_has_a_word(book: Book) -> None:
    shown = pages.board(book, datetime.now(UTC), "0.5")
    flats = [flat for items in shown.sections.values() for item in items for flat in item.flats] + shown.tools
    for words in WORDS.values():
        assert {flat.what for flat in flats} - {"image"} <= words.keys()
        assert {flat.unit for flat in flats} - {"image"} <= words.keys()


def test_dollars() -> None:
    assert dollars(money.parse("1.25")) == "$1.25"
    assert dollars(money.parse("0.000625")) == "$0.000625"
    assert dollars(money.parse("1200")) == "$1,200.00"
    assert dollars(0) == "$0.00"
