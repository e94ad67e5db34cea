"""Request bodies are decoded once and strictly, and every refusal names its place (stack.md, Litestar 1)."""

from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import msgspec
import pytest
from litestar import post
from litestar.params import JSONBody

from billing.app import create_app
from billing.settings import Settings

LIMIT = 1024


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    count: int = 0
    amount: Decimal = Decimal(0)
    parts: list["Thing"] = []


@post("/probe/thing", sync_to_thread=False)
def take(data: JSONBody[Thing]) -> dict[str, str]:
    return {"amount": str(data.amount), "name": data.name}


@pytest.fixture
async def probe(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(msgspec.structs.replace(settings, body_bytes_max=LIMIT))
    app.register(take)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def send(probe: httpx.AsyncClient, body: bytes, kind: str = "application/json") -> httpx.Response:
    return await probe.post("/probe/thing", content=body, headers={"Content-Type": kind})


async def test_a_number_keeps_all_its_digits(probe):
    answer = await send(probe, b'{"amount": 0.12345678901234567891}')
    assert answer.json()["amount"] == "0.12345678901234567891"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"count": "7"}', "$.count"),
        (b'{"count": true}', "$.count"),
        (b'{"count": 1.0}', "$.count"),
        (b'{"name": 7}', "$.name"),
        (b'{"name": null}', "$.name"),
        (b'{"amout": "1"}', "$.amout"),
        (b'{"parts": [{}, {"count": "7"}]}', "$.parts[1].count"),
        (b"[]", "$"),
        (b"7", "$"),
    ],
)
async def test_what_does_not_fit_is_named_by_its_path(probe, body, path):
    answer = await send(probe, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "invalid_body")
    assert [fault["path"] for fault in problem["errors"]] == [path]


async def test_all_faults_are_named_at_once(probe):
    answer = await send(probe, b'{"count": "7", "name": 1, "extra": 0}')
    assert [fault["path"] for fault in answer.json()["errors"]] == ["$.count", "$.name", "$.extra"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"count": }', "byte 10"),
        (b'{"count": 1}}', "byte 13"),
        (b'{"count": 1', "byte 11"),
        (b'{"amount": NaN}', "byte 11"),
        (b'\xef\xbb\xbf{"count": 1}', "byte 0"),
        (b'{"name": "ab\xff"}', "byte 12"),
        (b'{"parts": ' + b'[{"parts": ' * 80, "byte"),
    ],
)
async def test_what_is_no_json_is_named_by_its_byte(probe, body, place):
    answer = await send(probe, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "malformed_json")
    assert place in problem["detail"]


async def test_deep_nesting_is_refused(settings):
    app = create_app(settings)
    app.register(take)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        answer = await send(client, b'{"parts":[' * 100_000)
    assert (answer.status_code, answer.json()["detail"]) == (400, "The JSON is nested too deeply.")


async def test_nul_is_refused_and_its_look_alike_is_not(probe):
    refused = await send(probe, rb'{"name": "a\u0000"}')
    assert (refused.status_code, refused.json()["code"]) == (400, "nul_character")
    assert "byte 11" in refused.json()["detail"]
    taken = await send(probe, rb'{"name": "a\\u0000"}')
    assert taken.json()["name"] == r"a\u0000"


async def test_an_empty_body(probe):
    answer = await send(probe, b"")
    assert (answer.status_code, answer.json()["code"]) == (400, "empty_body")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", ""],
)
async def test_another_content_type(probe, kind):
    answer = await send(probe, b"{}", kind)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type")
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_a_packed_body(probe, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await probe.post("/probe/thing", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_encoding")


async def test_json_is_utf_8(probe):
    assert (await send(probe, b"{}", "application/json; charset=UTF-8")).status_code == 201
    assert (await send(probe, b"{}", "application/json; charset=latin-1")).status_code == 415


async def chunks():
    for _ in range(LIMIT):
        yield b"  "


async def test_a_body_over_the_limit(probe):
    announced = await send(probe, b" " * (LIMIT + 1))
    streamed = await probe.post("/probe/thing", content=chunks(), headers={"Content-Type": "application/json"})
    for answer in (announced, streamed):
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert "1,024" in answer.json()["detail"]
    assert (await send(probe, b'{"name":"' + b"x" * (LIMIT - 11) + b'"}')).status_code == 201
