"""kill -9 of everything, one after the other and together: nothing committed is lost, nothing leaks."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from billing.embedded import account, embedded, keeper

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def test_a_killed_initdb_leaves_nothing_half_made(empty, write, rows):
    starter = empty.user()
    empty.until((empty.home / "pgdata.new" / "base").exists)
    starter.kill()
    assert not (empty.home / "pgdata").exists()

    with embedded(empty.home) as url:
        write(url, 1)
        assert rows(url) == 1
    assert not (empty.home / "pgdata.new").exists()


@linux
def test_a_killed_postmaster_is_started_again_for_its_users(place, kill, write, rows):
    with embedded(place.home) as url:
        write(url, 200)
        killed = place.postmaster()
        kill(killed)
        with embedded(place.home) as again:  # waits until it is ready
            assert again == url
            assert rows(url) == 200
            assert place.postmaster() not in (None, killed)
    assert place.gone()


def test_a_killed_owner_does_not_leak_the_server(place, write, rows):
    owner = place.user()
    write(owner.answer(), 5)
    owner.kill()
    place.until(place.gone, seconds=10)

    with embedded(place.home) as url:
        assert rows(url) == 5


def test_a_killed_owner_does_not_end_the_server_for_others(place, write, rows):
    owner, other = place.user(), place.user()
    url = owner.answer()
    assert other.answer() == url
    postmaster = place.postmaster()
    owner.kill()
    write(url, 1)

    with embedded(place.home):
        assert place.postmaster() == postmaster
    other.leave()
    assert place.gone()


@linux
def test_a_killed_keeper_takes_the_server_along_in_order(place, kill, write, rows):
    owner = place.user()
    write(owner.answer(), 5)
    kill(place.keeper())
    owner.kill()
    place.until(place.gone, seconds=10)

    assert not (place.home / "pgdata" / "postmaster.pid").exists()  # it was a shutdown, not a crash
    with embedded(place.home) as url:
        assert rows(url) == 5


@linux
def test_the_next_starter_brings_back_what_a_killed_keeper_took(place, kill, write, rows):
    owner = place.user()
    url = owner.answer()
    write(url, 5)
    kill(place.keeper())

    with embedded(place.home):
        assert rows(url) == 5
        owner.leave()
        assert rows(url) == 5
    assert place.gone()


@linux
def test_everything_killed_at_once(place, kill, write, rows):
    for round in range(1, 4):
        owner = place.user()
        url = owner.answer()
        write(url, 50)
        postmaster, its_keeper = place.postmaster(), place.keeper()
        owner.kill()
        kill(its_keeper)
        kill(postmaster)
        with embedded(place.home) as url:
            assert rows(url) == 50 * round


@linux
@pytest.mark.parametrize("what", ["zombie", "stranger", "empty"])
def test_a_stale_lock_file(place, write, rows, what):
    """PostgreSQL itself refuses to start beside a zombie, or a stranger of its own account with the same number."""
    with embedded(place.home) as url:
        write(url, 2)
        postmaster_pid = (place.home / "pgdata" / "postmaster.pid").read_text().splitlines()
    owner = account.account_for(place.home / "pgdata")
    sleeper = subprocess.Popen(
        ["sleep", "0" if what == "zombie" else "60"], **keeper.identity(owner.uid, owner.gid, lent=owner.lent)
    )
    try:
        if what == "zombie":
            place.until(lambda: keeper.process(sleeper.pid)[0] == "Z")
        lines = [] if what == "empty" else [str(sleeper.pid), *postmaster_pid[1:], ""]
        stale = place.home / "pgdata" / "postmaster.pid"
        stale.write_text("\n".join(lines))
        os.chown(stale, owner.uid, owner.gid)
        socket_lock = place.home / "run" / f"{keeper.SOCKET_NAME}.lock"
        socket_lock.write_text("\n".join(lines))
        os.chown(socket_lock, owner.uid, owner.gid)

        assert place.postmaster() is None
        with embedded(place.home) as url:
            assert rows(url) == 2
        if what == "stranger":
            assert sleeper.poll() is None  # nobody took it for the server
    finally:
        sleeper.kill()
        sleeper.wait(10)


@linux
def test_a_number_used_again_by_another_home_is_a_stranger_too(place, tmp_path):
    with embedded(place.home):
        (tmp_path / "postmaster.pid").write_text(f"{place.postmaster()}\n")
        assert keeper.server_pid(tmp_path) is None


@linux
def test_a_terminal_and_a_service_manager_do_not_end_the_server_under_its_users(place, write, rows):
    with embedded(place.home) as url:
        write(url, 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(place.keeper(), number)
        write(url, 1)
        assert rows(url) == 2
