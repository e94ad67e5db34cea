"""What cannot work is refused with a sentence that says what happened, where the log is and what to do."""

import os
import re
import subprocess

import pytest

from billing.embedded import SYSTEM_HOME, EmbeddedError, account, binaries, default_home, embedded, keeper

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another account")


@root_only
def test_root_below_a_closed_folder(empty):
    closed = empty.home.parent / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(EmbeddedError, match=f"may not enter {closed}. Choose a data folder outside"):
        embedded(closed / "deep" / "home").__enter__()

    assert closed.stat().st_mode & 0o777 == 0o700  # it is not ours to open


@root_only
def test_the_default_home_avoids_what_is_closed(empty):
    closed = empty.home.parent / "closed"
    closed.mkdir(mode=0o700)

    assert default_home(closed / "clone" / "data") == SYSTEM_HOME
    assert default_home(empty.home / "data") == empty.home / "data"
    assert default_home(closed) == closed  # our own folder, which a start makes enterable


@root_only
def test_data_of_another_account(empty):
    empty.home.mkdir()
    (empty.home / "pgdata").mkdir()
    os.seteuid(65534)
    try:
        with pytest.raises(EmbeddedError, match=r"belongs to root, but this command runs as \w+. Run it as root"):
            embedded(empty.home).__enter__()
    finally:
        os.seteuid(0)


@root_only
def test_root_keeps_the_owner_of_existing_data(empty):
    data = empty.home / "pgdata"
    data.mkdir(parents=True)
    os.chown(data, 12345, 12345)

    assert account.account_for(data) == account.Account(12345, 12345, "uid 12345", lent=True)


def test_data_of_a_major_version_that_is_not_installed(place):
    version = place.home / "pgdata" / "PG_VERSION"
    written = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(EmbeddedError, match=r"written by PostgreSQL 14, which the installed PostgreSQL \(\d+\.\d+"):
            embedded(place.home).__enter__()
    finally:
        version.write_text(written)


def test_a_folder_that_is_somebody_elses_database(place):
    with pytest.raises(EmbeddedError, match=r"pgdata is itself a PostgreSQL data folder"):
        embedded(place.home / "pgdata").__enter__()


def test_no_postgresql_at_all(empty, monkeypatch, tmp_path):
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    monkeypatch.setattr(binaries, "SYSTEM", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmbeddedError, match="No PostgreSQL ≥ 15 was found"):
        embedded(empty.home).__enter__()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "listen_addresses", "unix_socket_directories"])
def test_what_the_promises_rest_on_cannot_be_set(empty, name):
    with pytest.raises(EmbeddedError, match=f"does not let these be set: {name}"):
        embedded(empty.home, settings={name: "off"}).__enter__()


def test_a_setting_that_postgresql_refuses_is_shown_from_the_log(place):
    with pytest.raises(
        EmbeddedError, match=r"did not start. The log is .*postgresql.log; it ends with:\n(.*\n)*.*shared"
    ):
        embedded(place.home, settings={"shared_buffers": "plenty"}).__enter__()
    assert place.gone()

    with embedded(place.home):
        assert place.postmaster()


def test_an_initdb_that_fails_as_on_a_full_disk(empty):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    failing = empty.user(before=limit)

    # Where PostgreSQL's account cannot reach its programs, copying them fails before initdb does.
    assert re.search("could not be (created: initdb failed. The log is|copied to .*File too large)", failing.answer())
    assert not (empty.home / "pgdata").exists()
    with embedded(empty.home):
        assert empty.postmaster()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(empty):
    empty.home.mkdir(mode=0o500)

    with pytest.raises(EmbeddedError, match=r"cannot be started: .*Permission denied"):
        embedded(empty.home).__enter__()
    empty.home.chmod(0o700)


def test_a_server_that_somebody_else_started_on_the_data(place):
    with embedded(place.home):
        command = keeper.process(place.postmaster())[1].split()[0]
    owner = account.account_for(place.home / "pgdata")
    by_hand = subprocess.Popen(
        [command, "-D", str(place.home / "pgdata"), "-k", str(place.home / "run"), "-c", "listen_addresses="],
        stderr=subprocess.DEVNULL,
        **keeper.identity(owner.uid, owner.gid, lent=owner.lent),
    )
    try:
        place.until(lambda: place.postmaster() == by_hand.pid)
        with pytest.raises(
            EmbeddedError, match=rf"process {by_hand.pid} runs on .* not started by this service. Stop it"
        ):
            embedded(place.home).__enter__()
        assert by_hand.poll() is None
    finally:
        by_hand.terminate()
        by_hand.wait(30)
