"""GET /v1/models for OpenAI's own client."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from billing.db.pool import Connection
from tests import factories
from tests.serving import Server

PROMISED = (
    *("gpt-4-vision-preview", "gpt-4-1106-preview", "gpt-4"),
    *("gpt-3.5-turbo", "gpt-3.5-turbo-0125", "gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106"),
    *("gpt-3.5-turbo-16k", "gpt-3.5-turbo-16k-0613", "gpt-3.5-turbo-instruct", "text-embedding-ada-002"),
    *("dall-e-2", "dall-e-3", "tts-1", "tts-1-1106", "tts-1-hd", "tts-1-hd-1106"),
)
"""The models that the platform's page lists."""


@pytest.fixture
def official_client(server: Server) -> Iterator[openai.OpenAI]:
    key = server.headers["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as client:
        yield client


def test_the_official_client(official_client: openai.OpenAI) -> None:
    models = {model.id: model for model in official_client.models.list()}
    assert set(PROMISED) <= models.keys()
    gpt4 = models["gpt-4"]
    assert (gpt4.object, gpt4.owned_by) == ("model", "openai")
    assert official_client.models.retrieve("gpt-4") == gpt4
    assert official_client.models.retrieve("gpt-35-turbo").id == "gpt-3.5-turbo"
    with pytest.raises(openai.NotFoundError) as unknown:
        official_client.models.retrieve("gpt-44")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.AuthenticationError) as refused:
        official_client.with_options(api_key="idr_wrong").models.list()
    assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")


async def test_the_exact_shape(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/models")).json()
    assert answer.keys() == {"object", "data"}
    assert answer["object"] == "list"
    for model in answer["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert type(model["created"]) is int
    names = [model["id"] for model in answer["data"]]
    assert names == sorted(set(names))
    assert not [name for name in names if name.startswith("ft:")]
    assert "davinci:2023-07-21-v2" not in names
    assert "text-davinci-003" not in names  # no price is in force any more


async def test_created_is_the_first_day_known(client: httpx.AsyncClient) -> None:
    created = {model["id"]: model["created"] for model in (await client.get("/v1/models")).json()["data"]}
    assert created["gpt-4"] == 1678752000  # 2023-03-14
    assert created["gpt-5.4-2026-03-05"] == 1772668800
    assert created["chat-latest"] == 0  # not established


@pytest.mark.parametrize("scope", ["customer", "gateway", "admin"])
async def test_every_key_may_ask(client: httpx.AsyncClient, conn: Connection, scope: str) -> None:
    account = await factories.account(conn) if scope == "customer" else None
    secret = await factories.key(conn, scope, account)
    answer = await client.get("/v1/models/gpt-4o", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.json()["id"]) == (200, "gpt-4o")


async def test_no_key_is_refused_in_openais_envelope(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/v1/models")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {
        "error": {
            "message": "Send your API key as `Authorization: Bearer idr_…`.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


async def test_our_own_endpoints_keep_their_problems(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/v1/prices/gpt-44")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "unknown_model"
