"""POST /v1/tokens/count: known counts, exact prices, and bounds."""

import asyncio
import logging
import threading
import time
from fractions import Fraction
from typing import Any

import httpx
import msgspec
import pytest

from billing.app import create_app
from billing.errors import Unavailable
from billing.settings import Settings
from billing.tokens.calculator import Calculator
from billing.tokens.questions import PIECES_CHARACTERS_MAX
from pricing.tokens import Count, count

CHAT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "请问 What is the capital of France?"},
]


async def ask(client: httpx.AsyncClient, status: int = 200, **question: Any) -> Any:
    answer = await client.post("/v1/tokens/count", json=question)
    assert answer.status_code == status, answer.text
    return answer.json()


def dollars(*tokens_and_price: tuple[int, str]) -> Fraction:
    """Σ tokens × price of a million."""
    return sum((tokens * Fraction(price) / 1_000_000 for tokens, price in tokens_and_price), Fraction())


def price_of(cost: dict[str, list[str]]) -> tuple[Fraction, Fraction]:
    """An exact price: officially, and ours."""
    for low, high in cost.values():
        assert low == high
    return Fraction(cost["official"][0]), Fraction(cost["ours"][0])


@pytest.mark.parametrize(
    ("model", "text", "tokens", "encoding"),
    [
        ("gpt-4", "hello world", 2, "cl100k_base"),
        ("gpt-4o", "hello world", 2, "o200k_base"),
        ("gpt-4", "你好，世界！", 7, "cl100k_base"),
        ("gpt-4o", "你好，世界！", 4, "o200k_base"),
        ("gpt-3.5-turbo-instruct", "龘", 2, "cl100k_base"),
        ("text-embedding-ada-002", "tiktoken is great!", 6, "cl100k_base"),
        ("gpt-4o", "<|endoftext|>", 7, "o200k_base"),
    ],
)
async def test_known_texts(anybody: httpx.AsyncClient, model: str, text: str, tokens: int, encoding: str) -> None:
    answer = await ask(anybody, model=model, prompt=text)
    assert (answer["input"], answer["encoding"], answer["reason"]) == ([tokens, tokens], encoding, "")
    assert answer["unit"] == "tokens"


async def test_the_answer_has_the_shape_that_is_promised(anybody: httpx.AsyncClient) -> None:
    answer = await ask(anybody, model="gpt-4", prompt="hello world")
    assert answer == {
        "model": "gpt-4",
        "encoding": "cl100k_base",
        "unit": "tokens",
        "input": [2, 2],
        "output": None,
        "likely": {"input": 2, "output": None},
        "reason": "",
        "price": {
            "currency": "USD",
            "multiplier": "0.5",
            "input": {"official": ["0.00006", "0.00006"], "ours": ["0.00003", "0.00003"]},
            "output": None,
            "total": {"official": ["0.00006", "0.00006"], "ours": ["0.00003", "0.00003"]},
        },
        "unpriced": None,
        "pieces": None,
    }


async def test_a_chat_counts_as_the_verifier_counts_it(anybody: httpx.AsyncClient) -> None:
    for model in ("gpt-4", "gpt-4o", "gpt-3.5-turbo-0301", "gpt-5", "o1"):
        verified = count("/v1/chat/completions", model, {"messages": CHAT}).input
        assert isinstance(verified, Count)
        for way in ({"messages": CHAT}, {"request": {"messages": CHAT}}):
            answer = await ask(anybody, model=model, **way)
            assert answer["input"] == [verified.low, verified.high]
            assert answer["likely"]["input"] == verified.likely
            assert answer["reason"] == verified.reason


async def test_both_sides_of_an_exchange(anybody: httpx.AsyncClient) -> None:
    response = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}]
    }
    answer = await ask(anybody, model="gpt-4", messages=CHAT, response=response)
    low, high = answer["output"]
    assert 2 <= low <= answer["likely"]["output"] <= high <= 20
    assert answer["price"]["output"]["official"] == [
        decimal(dollars((low, "60"))),
        decimal(dollars((high, "60"))),
    ]


def decimal(amount: Fraction) -> str:
    return f"{amount.numerator / amount.denominator:.12f}".rstrip("0")


async def test_prices_are_exact(anybody: httpx.AsyncClient) -> None:
    price = (await ask(anybody, model="gpt-4", messages=CHAT, output_tokens=500))["price"]
    tokens = (await ask(anybody, model="gpt-4", messages=CHAT))["likely"]["input"]
    given, answered = dollars((tokens, "30")), dollars((500, "60"))
    assert price_of(price["input"]) == (given, given / 2)
    assert price_of(price["output"]) == (answered, answered / 2)
    assert price_of(price["total"]) == (given + answered, (given + answered) / 2)


async def test_speech_is_billed_by_the_character_and_pictures_by_the_piece(anybody: httpx.AsyncClient) -> None:
    for way in ("prompt", "input"):
        spoken = await ask(anybody, model="tts-1", **{way: "hello 你好"})
        assert (spoken["unit"], spoken["input"], spoken["encoding"]) == ("characters", [8, 8], None)
        assert price_of(spoken["price"]["total"])[0] == dollars((8, "15"))
    drawn = await ask(
        anybody, model="dall-e-3", request={"prompt": "a cat", "size": "1024x1792", "quality": "hd", "n": 2}
    )
    assert drawn["price"]["total"] == {"official": ["0.24", "0.24"], "ours": ["0.12", "0.12"]}
    odd = await ask(anybody, model="dall-e-3", request={"prompt": "a cat", "size": "huge secret"})
    assert odd["price"] is None
    assert "secret" not in odd["unpriced"]


async def test_embeddings_have_no_answer_to_pay_for(anybody: httpx.AsyncClient) -> None:
    answer = await ask(anybody, model="text-embedding-3-small", input=["hello world", [1, 2, 3]], output_tokens=500)
    assert (answer["input"], answer["output"]) == ([5, 5], [0, 0])
    assert price_of(answer["price"]["total"])[0] == dollars((5, "0.02"))


async def test_an_unbounded_input_has_an_unbounded_price(anybody: httpx.AsyncClient) -> None:
    price = (await ask(anybody, model="o1", messages=CHAT, output_tokens=100))["price"]
    assert price["input"]["official"][1] is None
    assert price["total"]["ours"][1] is None
    assert price_of(price["output"])[0] == dollars((100, "60"))


async def test_models_nobody_knows(anybody: httpx.AsyncClient) -> None:
    unknown = await ask(anybody, 404, model="gtp-4o", prompt="hello")
    assert unknown["code"] == "unknown_model"
    assert "gpt-4o" in {error["detail"] for error in unknown["errors"]}
    tomorrow = await ask(anybody, model="gpt-9", prompt="hello")
    assert tomorrow["input"] == [1, 1]
    assert tomorrow["price"] is None
    assert "No price is known" in tomorrow["unpriced"]


async def test_pieces_join_to_the_text(anybody: httpx.AsyncClient) -> None:
    answer = await ask(anybody, model="gpt-4", messages=CHAT, pieces=True)
    texts = ["".join(piece["text"] for piece in text) for text in answer["pieces"]["texts"]]
    assert texts == [message["content"] for message in CHAT]
    assert answer["pieces"]["complete"]
    one = (await ask(anybody, model="gpt-4", prompt="龘", pieces=True))["pieces"]["texts"]
    assert [len(piece["ids"]) for piece in one[0]] == [2]
    long = (await ask(anybody, model="gpt-4", prompt="word " * 10_000, pieces=True))["pieces"]
    assert not long["complete"]
    assert sum(len(piece["text"]) for piece in long["texts"][0]) <= PIECES_CHARACTERS_MAX


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-4"},
        {"model": "gpt-4", "prompt": "a", "messages": []},
        {"model": "gpt-4", "prompt": 7},
        {"model": "gpt-4", "prompt": "a", "temperature": 1},
        {"model": "gpt-4", "prompt": "a", "output_tokens": -1},
    ],
)
async def test_what_is_no_question_is_refused(anybody: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await ask(anybody, 400, **body))["code"] == "invalid_body"


LETTERS = 260_000


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels else {}


HOSTILE: dict[str, dict[str, Any]] = {
    "one letter": {"prompt": "a" * LETTERS},
    "spaces": {"prompt": " " * LETTERS},
    "line breaks": {"prompt": "\n" * (LETTERS // 2)},
    "special tokens": {"prompt": "<|endoftext|><|im_start|>" * 10_000},
    "many messages": {"messages": [{"role": "user", "content": "😀"}] * 5_000},
    "a chat in pieces": {"messages": [{"role": "user", "content": "a" * 250_000}], "pieces": True},
    "empty tools": {"request": {"messages": [{"role": "x"}], "tools": [{"type": "function"}] * 9_000}},
    "token ids": {"input": [1] * 100_000},
    "no messages": {"request": {"messages": [{}, None, 7, "x", {"role": 1, "content": {"a": 1}}]}, "pieces": True},
    "lists": {"request": {"prompt": [[[[["a"]]]]]}, "pieces": True},
    "deep objects": {"request": {"prompt": "a", "metadata": nested(300)}},
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_texts_take_bounded_time(anybody: httpx.AsyncClient, body: dict[str, Any]) -> None:
    started = time.monotonic()
    content = msgspec.json.encode({"model": "gpt-4o", **body})
    answer = await anybody.post("/v1/tokens/count", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text[:300]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "prompt",
    [rb'"\ud800"', rb'"\u0000"', b"[" * 100_000, b'"\xff"', b'{"a":' * 40_000],
    ids=["surrogate", "nul", "deep", "not utf-8", "deep objects"],
)
async def test_hostile_json_is_refused(anybody: httpx.AsyncClient, prompt: bytes) -> None:
    content = b'{"model":"gpt-4o","request":{"prompt":' + prompt + b"}}"
    answer = await anybody.post("/v1/tokens/count", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


async def test_too_large_a_body_is_refused_however_it_comes(anybody: httpx.AsyncClient) -> None:
    refused = await ask(anybody, 413, model="gpt-4o", prompt="a" * (256 << 10))
    assert "BILLING_TOKENS_TEXT_BYTES_MAX" in refused["detail"]

    async def unannounced() -> Any:
        for _ in range(1_000):
            yield b" " * 1_000

    headers = {"Content-Type": "application/json"}
    assert (await anybody.post("/v1/tokens/count", content=unannounced(), headers=headers)).status_code == 413


async def test_nothing_of_a_text_is_logged_or_in_an_error(
    anybody: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ask(anybody, model="gpt-4o", prompt="xylophone secret", pieces=True)
    refusals = [
        await ask(anybody, 400, model="gpt-4o", messages="xylophone secret"),
        await ask(anybody, 400, model="gpt-4o", prompt={"xylophone secret": 1}),
        await ask(anybody, 413, model="gpt-4o", prompt="xylophone secret" * 20_000),
    ]
    await anybody.post("/tokens?lang=en", data={"model": "gpt-4o", "text": "xylophone secret"})
    assert "xylophone" not in caplog.text
    assert "xylophone" not in str(refusals)


async def test_a_limit_is_a_setting(settings: Settings) -> None:
    app = create_app(msgspec.structs.replace(settings, tokens_text_bytes_max=1024))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        await ask(client, 413, model="gpt-4o", prompt="a" * 1024)
        await ask(client, model="gpt-4o", prompt="a" * 512)
        form = await client.post("/tokens?lang=en", data={"model": "gpt-4o", "text": "a" * 1025})
        assert form.status_code == 413
        assert "longer than 1,024 bytes" in form.text


async def test_when_all_places_are_taken_one_is_told_to_come_again(client: httpx.AsyncClient) -> None:
    calculator = Calculator(threads=1, waiting_max=3, text_bytes_max=1024, multiplier="0.5")
    go = threading.Event()
    at_work = [asyncio.create_task(calculator.run(go.wait)) for _ in range(1 + 3)]
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable) as refused:
        await calculator.run(lambda: None)
    assert (refused.value.code, refused.value.retry_after) == ("calculator_busy", 1)
    client._transport.app.state.calculator = calculator  # type: ignore[attr-defined]
    answer = await client.post("/v1/tokens/count", json={"model": "gpt-4o", "prompt": "a"})
    assert (answer.status_code, answer.json()["code"]) == (503, "calculator_busy")
    assert answer.headers["Retry-After"] == "1"
    page = await client.post("/tokens?lang=en&part=result", data={"model": "gpt-4o", "text": "a"})
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert "Trying again" in page.text
    go.set()
    await asyncio.gather(*at_work)
    assert await calculator.run(lambda: 7) == 7


async def test_the_event_loop_goes_on_while_a_text_is_counted(anybody: httpx.AsyncClient) -> None:
    counting = asyncio.create_task(ask(anybody, model="gpt-4o", prompt="a" * LETTERS))
    beats = 0
    while not counting.done():
        await asyncio.sleep(0.005)
        beats += 1
    await counting
    assert beats >= 5
