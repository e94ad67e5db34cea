"""Every refusal is a problem of RFC 9457 with a stable code, and none shows our insides."""

import json
import logging
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from litestar import get, post
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery, JSONBody
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from billing.app import create_app
from billing.errors import Conflict, Fault, Problem
from billing.problems import MEDIA_TYPE
from tests.serving import ADMIN_KEY

ERRORS = {
    "conflict": Conflict("under_way", "It is under way.", (Fault("x", "y", "$.z", 3),), retry_after=7),
    "unexpected": RuntimeError("password=hunter2 at /srv/billing/secret.py"),
    "busy": psycopg.errors.QueryCanceled("canceling statement due to statement timeout"),
    "locked": psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
    "lost": psycopg.OperationalError("connection to 10.0.0.1 failed"),
    "client": ClientException("There is something else about it."),
    "data": psycopg.errors.NumericValueOutOfRange("numeric field overflow"),
}


@get("/probe/fail/{name:str}", sync_to_thread=False)
def fail(name: FromPath[str]) -> None:
    raise ERRORS[name]


@get("/probe/page", sync_to_thread=False)
def page(limit: FromQuery[int], after: FromQuery[str | None] = None) -> int:
    return limit


@post("/probe/take", sync_to_thread=False)
def take(data: JSONBody[dict[str, int]]) -> None: ...


@pytest.fixture
async def probe(settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    app.register(fail)
    app.register(page)
    app.register(take)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


def is_problem(answer: httpx.Response, status: int, code: str) -> dict:
    problem = answer.json()
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:billing:problem:{code}"
    assert problem["instance"] == f"urn:billing:request:{answer.headers['X-Request-Id']}"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    return problem


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v1/accounts/x/y/z",
        "/schema/nope",
        "/schema/nope.json",
        "/schema/no/pe",
        "/schema/static/page.html",
        "/%00",
    ],
)
async def test_nothing_there(probe, path):
    is_problem(await probe.get(path), 404, "no_such_resource")


async def test_another_method(probe):
    answer = await probe.delete("/healthz")
    is_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


async def test_a_problem_says_all_it_knows(probe):
    answer = await probe.get("/probe/fail/conflict")
    problem = is_problem(answer, 409, "under_way")
    assert problem["errors"] == [{"code": "x", "detail": "y", "path": "$.z", "index": 3}]
    assert answer.headers["Retry-After"] == "7"


async def test_the_unexpected_is_logged_and_not_shown(probe, caplog):
    with caplog.at_level(logging.ERROR):
        answer = await probe.get("/probe/fail/unexpected")
    problem = is_problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert answer.headers["X-Request-Id"] in problem["detail"]
    assert "hunter2" in caplog.text  # the operator may see it


@pytest.mark.parametrize(
    ("name", "code"),
    [("busy", "database_busy"), ("locked", "database_busy"), ("lost", "database_unavailable")],
)
async def test_a_slow_or_lost_database_is_unavailable(probe, name, code):
    answer = await probe.get(f"/probe/fail/{name}")
    is_problem(answer, 503, code)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "10.0.0.1" not in answer.text


async def test_data_the_database_cannot_keep_is_the_callers_fault(probe):
    is_problem(await probe.get("/probe/fail/data"), 400, "not_storable")


async def test_what_the_framework_refuses_is_a_problem_too(probe):
    problem = is_problem(await probe.get("/probe/fail/client"), 400, "bad_request")
    assert problem["detail"] == "There is something else about it."


async def test_a_client_that_goes_away_is_no_fault_of_ours(probe, caplog):
    """What it would be answered; nobody is there to read it."""
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    request = probe.build_request("POST", "/probe/take", content=b"{}", headers={"Content-Type": "application/json"})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/probe/take",
        "raw_path": b"/probe/take",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    with caplog.at_level(logging.WARNING):
        await probe._transport.app(scope, receive, send)
    assert [sent[0]["status"], json.loads(sent[1]["body"])["code"]] == [400, "client_disconnected"]
    assert caplog.records == []


@pytest.mark.parametrize(("query", "code"), [("", "missing_parameter"), ("?limit=ten", "invalid_parameter")])
async def test_a_parameter_is_named(probe, query, code):
    problem = is_problem(await probe.get(f"/probe/page{query}"), 400, code)
    assert "limit" in problem["detail"]
    assert [fault["path"] for fault in problem["errors"]] == ["limit"]


async def test_a_missing_parameter_does_not_echo_the_query(probe):
    assert "secret" not in (await probe.get("/probe/page?after=secret")).text


async def test_the_database_goes_away_and_comes_back(settings, fresh_database, postgres):
    """A 503 while it is away; afterwards the service works again by itself."""
    from msgspec.structs import replace

    name = sql.Identifier(str(conninfo_to_dict(fresh_database)["dbname"]))
    app = create_app(replace(settings, database_url=fresh_database, pool_wait_seconds_max=1))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        assert (await client.get("/readyz")).status_code == 200
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name._obj[0]])
            is_problem(await client.get("/v1/balance"), 503, "database_unavailable")
            is_problem(await client.get("/readyz"), 503, "not_ready")
            assert (await client.get("/healthz")).status_code == 200
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        statuses = [(await client.get("/readyz")).status_code for _ in range(8)]
        assert statuses[-1] == 200, statuses


def test_titles_and_codes_are_plain():
    for kind in Problem.__subclasses__():
        assert 400 <= kind.status < 600
        assert json.dumps(kind.title) == f'"{kind.title}"'
