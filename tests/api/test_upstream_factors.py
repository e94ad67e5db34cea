"""What upstreams take of the official price: dated, part of the terms, an operator's business."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from billing.db.pool import Connection
from billing.prices.keeper import TermsKeeper
from pricing import book
from tests.api.test_accounts import issued, made

pytestmark = pytest.mark.anyio

PATH = "/v1/upstream-factors"


@pytest.fixture
def url(clone: Callable[[], str]) -> str:
    """A database of each test's own: terms are everybody's."""
    return clone()


async def added(client: httpx.AsyncClient, upstream: str, factor: str | None, since: str) -> dict[str, Any]:
    given = {"upstream": upstream, "factor": factor, "reason": "their list", "effective_from": since}
    answer = await client.post(PATH, json=given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_factor_holds_from_its_date_until_it_is_ended(client: httpx.AsyncClient, conn: Connection) -> None:
    row = await added(client, "cheap", "0.30", "2026-10-05T08:00:00Z")
    assert (row["upstream"], row["factor"], row["reason"]) == ("cheap", "0.3", "their list")
    assert (row["effective_from"], row["actor"]) == ("2026-10-05T08:00:00Z", "key_bootstrap")
    await added(client, "cheap", None, "2026-11-01T00:00:00Z")
    await added(client, "*", "1", "2026-10-20T00:00:00Z")

    terms = await TermsKeeper(book.load(), "0.5").fresh(conn)
    expected = {
        ("cheap", "2026-10-05T07:59:59Z"): None,
        ("cheap", "2026-10-05T08:00:00Z"): "0.3",
        ("cheap", "2026-10-31T23:59:59Z"): "0.3",
        ("cheap", "2026-11-01T00:00:00Z"): "1",
        ("another", "2026-10-05T08:00:00Z"): None,
        ("another", "2026-10-20T00:00:00Z"): "1",
        (None, "2026-10-20T00:00:00Z"): "1",
    }
    found = {(upstream, at): terms.factor(upstream, datetime.fromisoformat(at)) for upstream, at in expected}
    assert found == expected


@pytest.mark.parametrize("upstream", ["*", "azure/eu west", "a//b", "..", "优", "?&#%2F"])
async def test_every_name_of_an_upstream_can_have_a_factor(client: httpx.AsyncClient, upstream: str) -> None:
    await added(client, "another", "0.7", "2026-10-01T00:00:00Z")
    await added(client, upstream, "0.000000000001", "2026-10-01T00:00:00Z")
    await added(client, upstream, "10", "2026-10-01T00:00:00Z")
    listed = (await client.get(PATH, params={"upstream": upstream})).json()["data"]
    assert [(row["upstream"], row["factor"]) for row in listed] == [(upstream, "10"), (upstream, "0.000000000001")]
    assert len((await client.get(PATH)).json()["data"]) == 3


async def test_a_factor_that_is_given_no_date_holds_from_now_on(client: httpx.AsyncClient) -> None:
    before = datetime.fromisoformat((await made_now(client))["created_at"])
    row = (await client.post(PATH, json={"upstream": "cheap", "factor": "0", "reason": "a trial"})).json()
    assert before <= datetime.fromisoformat(row["effective_from"]) <= datetime.fromisoformat(row["created_at"])


async def made_now(client: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await client.get(f"/v1/accounts/{await made(client)}")).json())


@pytest.mark.parametrize(
    "changes",
    [
        {"factor": "10.1"},
        {"factor": "-0.1"},
        {"factor": "0.0000000000001"},
        {"factor": "NaN"},
        {"factor": 0.5},
        {"upstream": ""},
        {"upstream": "u" * 201},
        {"reason": ""},
        {"account": "acct_a"},
    ],
)
async def test_what_is_no_factor_is_refused(client: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    answer = await client.post(PATH, json={"upstream": "u", "factor": "0.5", "reason": "r"} | changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")
    assert (await client.get(PATH)).json()["data"] == []


async def test_factors_are_an_operators_business(client: httpx.AsyncClient) -> None:
    _, customer = await issued(client, await made(client))
    answers = [
        await client.post(PATH, json={"upstream": "u", "factor": "0.5", "reason": "r"}, headers=customer),
        await client.get(PATH, headers=customer),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "wrong_scope")] * 2
