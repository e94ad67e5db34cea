"""What a load balancer, an operator and a reader of the documentation see."""

import re

import httpx
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo

from billing.app import create_app
from billing.docs_page import ASSETS

STRAY = """
INSERT INTO events (account_id, time, source, id, received_at, body) VALUES ('a', now(), 's', 'i', '1999-01-01', '{}')
"""


async def test_ready_with_a_migrated_database(client):
    assert (await client.get("/readyz")).json() == {"status": "ready", "warnings": []}
    assert (await client.get("/healthz")).json() == {"status": "alive"}


def test_the_head_alone_may_be_asked_for(server):
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = httpx.head(server.url + path)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_not_ready_before_migrations(settings, fresh_database):
    app = create_app(replace(settings, database_url=fresh_database))
    transport = httpx.ASGITransport(app)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        async with app.state.pool.connection() as conn:
            await conn.execute("DELETE FROM alembic_version")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (503, "migrations")
        async with app.state.pool.connection() as conn:
            await conn.execute("INSERT INTO alembic_version VALUES ('9999_newer_release')")
        assert (await client.get("/readyz")).status_code == 200


async def test_a_stray_event_is_a_warning(settings, fresh_database):
    app = create_app(replace(settings, database_url=fresh_database))
    transport = httpx.ASGITransport(app)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        async with app.state.pool.connection() as conn:
            await conn.execute(STRAY)
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert "events_default" in answer.json()["warnings"][0]


async def test_a_database_that_may_lose_what_was_acknowledged_is_a_warning(settings, fresh_database):
    lax = make_conninfo(fresh_database, options="-c synchronous_commit=off")
    app = create_app(replace(settings, database_url=lax))
    transport = httpx.ASGITransport(app)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    [warning] = answer.json()["warnings"]
    assert "without synchronous_commit:" in warning


async def test_the_documentation_loads_nothing_from_elsewhere(client):
    answer = await client.get("/", follow_redirects=True)
    assert answer.url.path == "/schema"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"https?://", answer.text)
    for path in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert (await client.get(path)).status_code == 200, path
    for name, kind in ASSETS.items():
        assert (await client.get(f"/schema/static/{name}")).headers["Content-Type"].startswith(kind)


async def test_the_description_says_how_to_get_in_and_how_it_refuses(client):
    answer = await client.get("/schema/openapi.json")
    assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi+json")
    schema = answer.json()
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    assert schema["security"] == [{"key": []}]
    assert schema["paths"]["/healthz"]["get"]["security"] == [{}]
    assert schema["paths"]["/v1/events"]["post"].get("security", [{"key": []}]) == [{"key": []}]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation["description"]
    assert schema["components"]["schemas"]["Details"]["required"][:2] == ["type", "title"]
