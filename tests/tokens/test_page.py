"""The calculator page: in both languages, with and without a script."""

import re
from html import unescape

import httpx
import pytest

from billing.tokens import pages
from billing.tokens.forms import BLANK, read_form
from billing.tokens.views import money_span, span, visible
from billing.tokens.words import WORDS
from pricing.tokens import Count, count
from tests.prices.test_page import Read


async def post(
    client: httpx.AsyncClient, status: int = 200, lang: str = "en", part: str = "page", **form: object
) -> str:
    answer = await client.post("/tokens", params={"lang": lang, "part": part}, data={"model": "gpt-4", **form})
    assert answer.status_code == status, answer.text
    return answer.text


def figure(text: str) -> str:
    found = re.search(r'class="figure"><b>(.*?)</b>', text)
    assert found
    return found[1]


def runs(text: str) -> list[str]:
    """The texts whose pieces are shown."""
    return [unescape(re.sub("<.*?>", "", run)) for run in re.findall(r'<p class="run">(.*?)</p>', text, re.DOTALL)]


async def test_both_languages(anybody: httpx.AsyncClient) -> None:
    english = (await anybody.get("/tokens?lang=en")).text
    chinese = (await anybody.get("/tokens", headers={"Accept-Language": "zh-CN"})).text
    assert '<html lang="en">' in english
    assert "<h1>Token calculator</h1>" in english
    assert "a character is usually 1–2 tokens" in english
    assert '<html lang="zh-CN">' in chinese
    assert "<h1>Token 计算器</h1>" in chinese
    assert "一个汉字通常为 1–2 个 tokens" in chinese
    assert '<option value="gpt-4o">' in english


async def test_counts_pieces_and_prices_without_a_script(anybody: httpx.AsyncClient) -> None:
    text = await post(anybody, text="你好，世界！", output_tokens="1000")
    assert figure(text) == "7"
    assert runs(text) == ["你好，世界！"]
    assert 'data-n="2"' in text
    assert "<b>$0.000105</b> <s>$0.00021</s>" in text
    assert "<b>$0.03</b> <s>$0.06</s>" in text
    assert "<b>$0.030105</b> <s>$0.06021</s>" in text
    assert "你好，世界！</textarea>" in text
    assert text.count("<html") == 1


async def test_the_script_gets_only_the_result(anybody: httpx.AsyncClient) -> None:
    text = await post(anybody, lang="zh", part="result", text="hello")
    assert text.startswith('<section class="figures"')
    assert figure(text) == "1"
    assert "我们的价格" in text


async def test_a_whole_chat(anybody: httpx.AsyncClient) -> None:
    chat = {"mode": "chat", "role": ["system", "user"], "content": ["Be brief.", "hi"]}
    text = await post(anybody, **chat)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    verified = count("/v1/chat/completions", "gpt-4", {"messages": messages}).input
    assert isinstance(verified, Count)
    assert figure(text) == str(verified.likely)
    assert runs(text) == ["Be brief.", "hi"]
    assert "System · 3" in text


async def test_messages_are_added_and_removed_without_a_script(anybody: httpx.AsyncClient) -> None:
    chat = {"mode": "chat", "role": ["system", "user"], "content": ["a", "b"]}
    assert (await post(anybody, **chat, add="1")).count('name="content"') == 3
    fewer = await post(anybody, **chat, remove="0")
    assert fewer.count('name="content"') == 1
    assert "\nb</textarea>" in fewer


async def test_line_breaks_of_forms_are_those_of_sdks(anybody: httpx.AsyncClient) -> None:
    assert figure(await post(anybody, text="a\r\n\r\nb")) == "3"


async def test_a_text_is_text(anybody: httpx.AsyncClient) -> None:
    hostile = '</textarea><script>alert(1)</script> <|endoftext|> "&amp;'
    text = await post(anybody, status=404, text=hostile, model='gpt-4"><script>')
    assert "<script>alert" not in text
    text = await post(anybody, text=hostile)
    assert "<script>alert" not in text
    assert runs(text) == [hostile]
    Read(text)


async def test_sentences_for_what_cannot_be_counted(anybody: httpx.AsyncClient) -> None:
    assert "There is no model of this name." in await post(anybody, 404, model="zzz", text="a")
    assert "没有这个名称的模型。" in await post(anybody, 404, lang="zh", model="\x01", text="a")
    assert "This model has no price here." in await post(anybody, model="gpt-9", text="a")
    assert "This cannot be counted" in await post(anybody, model="tts-1", mode="chat", role="user", content="a")
    assert "The length of the audio was not given." in await post(anybody, model="whisper-1", text="a")
    assert "该模型可能在每个提示中加入隐藏的 tokens。" in await post(
        anybody, lang="zh", model="o1", mode="chat", role="user", content="a"
    )
    assert "longer than 262,144 bytes" in await post(anybody, 413, text="a" * 270_000)
    assert "longer than 262,144 bytes" in await post(anybody, 413, text="你" * 90_000)
    assert "longer than 262,144 bytes" in await post(anybody, 413, text="你" * 300_000)
    assert (await anybody.post("/tokens", json={})).status_code == 415
    assert (await anybody.post("/tokens", data={f"f{n}": "" for n in range(600)})).status_code == 400


async def test_a_short_text_can_be_linked_to_and_is_kept_by_nobody(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/tokens", params={"text": "hello world", "model": "gpt-4", "lang": "en"})
    assert figure(answer.text) == "2"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "max-age" in (await anybody.get("/tokens")).headers["Cache-Control"]


async def test_nothing_is_loaded_from_elsewhere(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/tokens")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    loads = Read(answer.text).loads
    assert len(loads) == 3
    for address in loads:
        asset = await anybody.get(address)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["Cache-Control"]
    assert (await anybody.get("/tokens/static/tokens.html")).status_code == 404
    assert len(answer.content) < 20_000


async def test_the_two_pages_link_to_each_other(anybody: httpx.AsyncClient) -> None:
    for lang in WORDS:
        assert f'href="/prices?lang={lang}"' in (await anybody.get(f"/tokens?lang={lang}")).text
        assert f'href="/tokens?lang={lang}"' in (await anybody.get(f"/prices?lang={lang}")).text


def test_both_languages_have_every_word() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for name, text in WORDS["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", WORDS["zh"][name])), name


def test_blanks_are_marked_and_copied_as_they_are() -> None:
    assert visible("a b\n\t<") == 'a<i> </i>b<i class="n">\n</i><i class="t">\t</i>&lt;'


@pytest.mark.parametrize(("found", "shown"), [((19, 19), "19"), ((1000, 1027), "1,000–1,027"), ((19, None), "≥ 19")])
def test_intervals(found: tuple[int, int | None], shown: str) -> None:
    assert span(found) == shown


def test_intervals_of_money() -> None:
    assert money_span(("0.1", "0.1")) == "$0.10"
    assert money_span(("0.0000125", "0.3")) == "$0.0000125–$0.30"
    assert money_span(("0.1", None)) == "≥ $0.10"


def test_any_body_is_some_form() -> None:
    assert read_form(b"").question() is None
    assert read_form(b"%ff=&&;=%&remove=99999999999&output_tokens=9999999999").model == BLANK.model
    assert read_form(b"role=root&content=a&mode=chat").messages[0].role == "user"
    assert read_form(b"output_tokens=%D9%A1").output_tokens == BLANK.output_tokens


def test_models_that_are_offered_can_be_counted(book: pages.Book) -> None:
    names = pages.models(book, pages.datetime.now(pages.UTC).date())
    assert {"gpt-4", "gpt-4o", "gpt-3.5-turbo", "text-embedding-ada-002", "tts-1", "gpt-3.5-turbo-instruct"} <= set(
        names
    )
    assert not {"dall-e-3", "whisper-1"} & set(names)
