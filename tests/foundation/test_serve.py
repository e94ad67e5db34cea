"""`billing serve` as an operator meets it: what it prints, how it refuses, how it stops, what a kill leaves behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psycopg
import pytest

from tests.serving import ADMIN_KEY, billing, environment, serving


def run(*arguments, **settings) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "billing.cli", *arguments]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, timeout=60)


def test_it_greets_and_serves_and_stops(server):
    assert f"{server.url}/schema" in server.greeting
    assert ADMIN_KEY not in server.greeting
    assert httpx.get(f"{server.url}/readyz").json()["status"] == "ready"
    assert httpx.get(f"{server.url}/v1/accounts", headers=server.headers).status_code == 200
    assert server.stop() == 0
    for line in server.log.read_text().splitlines():
        assert json.loads(line)["level"] in ("INFO", "WARNING"), line
    assert ADMIN_KEY not in server.log.read_text()


def test_it_finds_its_embedded_data_again_and_shows_the_key_once(folder, tmp_path):
    """The whole of `make run`: embedded PostgreSQL, a key made and shown once, the same data after kill -9."""
    settings = {"BILLING_DATA_DIR": str(folder / "run"), "BILLING_ADMIN_KEY": ""}
    with serving(settings, tmp_path) as server:
        [key] = re.findall(r"idr_\w{49}", server.greeting)
        headers = {"Authorization": f"Bearer {key}"}
        made = httpx.post(f"{server.url}/v1/accounts", json={"name": "Ada"}, headers=headers).json()
        server.process.kill()
        server.process.wait()
    with serving(settings, tmp_path) as server:
        assert "idr_" not in server.greeting
        found = httpx.get(f"{server.url}/v1/accounts/{made['id']}", headers=headers)
        assert found.json()["name"] == "Ada"
    assert key not in server.log.read_text()


def test_a_port_in_use(url):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", BILLING_DATABASE_URL=url, BILLING_PORT=port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: Cannot listen at 127.0.0.1:{port}: Address already in use.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"BILLING_PROT": "1"}, 2, "There is no setting BILLING_PROT. Did you mean BILLING_PORT?"),
        ({"BILLING_PORT": "http"}, 2, "BILLING_PORT is 'http'"),
        ({"BILLING_HOST": "192.0.2.1"}, 1, "Cannot listen at 192.0.2.1"),
        ({"BILLING_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/x"}, 1, "The database cannot be used"),
        ({"BILLING_DATABASE_URL": "mysql://hunter2"}, 2, "BILLING_DATABASE_URL is no PostgreSQL URL"),
        ({"BILLING_PRICE_FILE": "/nowhere.csv"}, 1, "/nowhere.csv"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(url, settings, code, sentence):
    done = run("serve", **{"BILLING_DATABASE_URL": url, "BILLING_PORT": "0", **settings})
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def waiting_on_a_lock(conn) -> bool:
    found = conn.execute("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    return found.fetchone() is not None


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_finished(server, fresh_database, stop):
    """A request waits for a lock while the service is told to stop; it is answered, and nothing new is accepted."""
    with psycopg.connect(fresh_database, autocommit=True) as conn, ThreadPoolExecutor() as threads:
        with psycopg.connect(fresh_database) as locker:
            locker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
            new = {"name": "Grace"}
            answer = threads.submit(
                httpx.post, f"{server.url}/v1/accounts", json=new, headers=server.headers, timeout=20
            )
            wait_for(lambda: waiting_on_a_lock(conn))
            server.process.send_signal(stop)
            wait_for(lambda: not accepts(server.url))
            assert server.process.poll() is None
        assert answer.result().status_code == 201
        assert server.process.wait(10) == 0
        assert conn.execute("SELECT count(*) FROM accounts WHERE name = 'Grace'").fetchone() == (1,)


def accepts(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=1)
    except httpx.TransportError:
        return False
    return True


def test_a_stop_takes_no_longer_than_it_may(fresh_database, tmp_path):
    settings = {"BILLING_DATABASE_URL": fresh_database, "BILLING_SHUTDOWN_SECONDS_MAX": "1"}
    with (
        serving(settings, tmp_path) as server,
        psycopg.connect(fresh_database, autocommit=True) as conn,
        psycopg.connect(fresh_database) as locker,
        ThreadPoolExecutor() as threads,
    ):
        locker.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        new = {"name": "Grace"}
        answer = threads.submit(httpx.post, f"{server.url}/v1/accounts", json=new, headers=server.headers, timeout=20)
        wait_for(lambda: waiting_on_a_lock(conn))
        server.process.terminate()
        assert server.process.wait(5) == 0
        assert answer.exception() is not None or answer.result().status_code >= 500


def test_more_connections_than_a_worker_may_have_are_turned_away(fresh_database, tmp_path):
    settings = {"BILLING_DATABASE_URL": fresh_database, "BILLING_CONNECTIONS_MAX": "10"}
    with serving(settings, tmp_path) as server, ExitStack() as idle:
        url = httpx.URL(server.url)
        for _ in range(10):
            idle.enter_context(socket.create_connection((url.host, url.port)))
        wait_for(lambda: httpx.get(f"{server.url}/healthz").status_code == 503)
        assert httpx.get(f"{server.url}/healthz").text == "Service Unavailable"
        idle.close()
        wait_for(lambda: httpx.get(f"{server.url}/healthz").status_code == 200)


def test_workers_share_the_work_and_their_numbers(fresh_database, tmp_path):
    with serving({"BILLING_DATABASE_URL": fresh_database, "BILLING_WORKERS": "2"}, tmp_path) as server:
        for _ in range(20):
            assert httpx.get(f"{server.url}/healthz").status_code == 200
        counted = 'billing_http_request_seconds_count{method="GET",route="/healthz",status="2xx"} 20.0'
        assert counted in httpx.get(f"{server.url}/metrics").text
        assert server.stop() == 0


def test_workers_end_with_a_killed_parent(fresh_database, tmp_path):
    with serving({"BILLING_DATABASE_URL": fresh_database, "BILLING_WORKERS": "2"}, tmp_path) as server:
        wait_for(lambda: accepts(server.url))
        server.process.kill()
        wait_for(lambda: not accepts(server.url))


def test_a_killed_database_is_a_503_until_it_is_back(folder, tmp_path):
    """The embedded server is killed with -9 under load; its keeper starts it again, and the service recovers."""
    settings = {"BILLING_DATA_DIR": str(folder / "killed")}
    with serving(settings, tmp_path) as server, httpx.Client(base_url=server.url, headers=server.headers) as client:
        assert client.get("/v1/accounts").status_code == 200
        pid = next((folder / "killed").rglob("postmaster.pid")).read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        statuses = []
        wait_for(lambda: statuses.append(client.get("/v1/accounts").status_code) or statuses[-3:] == [200] * 3, 20)
        assert set(statuses) <= {200, 503}
        assert client.get("/readyz").status_code == 200


def test_migrate(clone, postgres):
    name = psycopg.conninfo.conninfo_to_dict(clone())["dbname"]
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name}")
        conn.execute(f"CREATE DATABASE {name}")
    url = psycopg.conninfo.make_conninfo(postgres, dbname=name)
    for _ in range(2):
        done = run("migrate", BILLING_DATABASE_URL=url)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("The schema is at ")


def test_help_lists_every_command():
    text = run("--help").stdout
    for name in ("serve", "migrate"):
        assert f"  {name}" in text
    with billing("nonsense", settings={}, stderr=subprocess.PIPE) as process:
        assert process.wait() == 2
        assert "No such command" in process.stderr.read()
