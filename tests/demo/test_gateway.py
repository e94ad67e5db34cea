"""The client's patience, against a server that misbehaves as it is told to."""

import asyncio
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from billing.demo import gateway as client
from billing.demo.gateway import Gateway, GatewayError, Refused, Tally

pytestmark = pytest.mark.anyio
ANSWER = {"accepted": 1, "duplicates": 0, "rejected": 0, "unpriced": 0, "conflicts": 0, "results": []}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to wait is all that is changed."""
    monkeypatch.setattr(client, "PAUSE_SECONDS_MAX", 0)


def problem(status: int, code: str, **more: object) -> httpx.Response:
    body = {"type": "", "title": "", "status": status, "detail": "A sentence.", "instance": "", "code": code, **more}
    return httpx.Response(status, json=body)


def gateway(*answers: httpx.Response | Exception) -> Gateway:
    """Of a server that gives these answers, one after the other."""
    left: Iterator[httpx.Response | Exception] = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Gateway("http://service", "key", attempts_max=4, transport=httpx.MockTransport(handle))


async def test_what_got_no_answer_or_503_is_sent_again() -> None:
    async with gateway(
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        problem(503, "database_unavailable"),
        httpx.Response(200, json=ANSWER),
    ) as service:
        assert (await service.post_events([{}])).accepted == 1
        assert service.retries == 3


async def test_it_gives_up_with_a_sentence() -> None:
    async with gateway(*[httpx.ConnectError("Connection refused")] * 4) as service:
        with pytest.raises(GatewayError, match=r"^http://service cannot be used .*refused.*, tried 4 times"):
            await service.get("/v1/accounts")


async def test_a_refusal_is_not_repeated() -> None:
    async with gateway(problem(403, "wrong_scope")) as service:
        with pytest.raises(Refused, match="A sentence") as refused:
            await service.get("/v1/accounts")
        assert (refused.value.status, refused.value.code, service.retries) == (403, "wrong_scope", 0)


async def test_what_does_not_speak_our_language_is_named() -> None:
    async with gateway(httpx.Response(404, text="<html>nginx</html>")) as service:
        with pytest.raises(Refused, match="http://service/v1/accounts answers 404"):
            await service.get("/v1/accounts")


async def test_a_batch_of_which_nothing_is_taken_is_answered_event_by_event() -> None:
    faults = [
        {"code": "missing_field", "detail": "This field is required.", "path": "$.model", "index": 0},
        {"code": "invalid_value", "detail": "Expected `int`.", "path": "$.status", "index": 1},
        {"code": "missing_field", "detail": "This field is required.", "path": "$.model", "index": 2},
    ]
    tally = Tally()
    async with gateway(problem(400, "nothing_accepted", errors=faults)) as service:
        tally.add(await service.post_events([{}, {}, {}]))
    assert (tally.posted, tally.accepted, tally.rejected) == (3, 0, 3)
    assert {reason.sentence: reason.count for reason in tally.reasons.values()} == {
        "$.model: This field is required.": 2,
        "$.status: Expected `int`.": 1,
    }


async def test_the_first_failure_stops_the_work_on_all_connections() -> None:
    done = []

    async def work(item: int) -> None:
        if item == 3:
            raise GatewayError("enough")
        await asyncio.sleep(0)
        done.append(item)

    async with gateway() as service:
        with pytest.raises(GatewayError, match="enough"):
            await service.each(range(100), work)
    assert set(done) < {0, 1, 2, 4, 5, 6, 7}


async def test_bodies_are_json_and_money_has_its_key() -> None:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async with Gateway("http://service", "secret", transport=httpx.MockTransport(handle)) as service:
        await service.post("/v1/top-ups", {"amount": "1"}, idempotency_key="once")
        async with service.with_key("other") as other:
            await other.post("/v1/close")
    first, second = seen
    assert msgspec.json.decode(first.content) == {"amount": "1"}
    assert first.headers["Idempotency-Key"] == "once"
    assert [request.headers["Authorization"] for request in seen] == ["Bearer secret", "Bearer other"]
    assert second.content == b""
