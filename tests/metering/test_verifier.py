"""Counting in real processes: every kind of exchange, hostile texts, full queues, late counts, killed processes."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from billing.metering.verifier import JOB_BYTES, Exchange, Verified, Verifier, _divided, _Manners
from billing.settings import Settings
from pricing.tokens import Reported
from tests.metering.contents import CHUNKS, HELLO, SSE, exchange, said

SECRET = "the secret text"
SLOW = " " * 3_000_000  # some seconds of work
T = TypeVar("T")


@pytest.fixture
async def started() -> AsyncIterator[Callable[..., Verifier]]:
    """Makes verifiers with other settings, of one process unless they say otherwise."""
    made: list[Verifier] = []

    def start(**settings: Any) -> Verifier:
        made.append(Verifier(Settings(**{"verification_processes": 1, **settings})))
        return made[-1]

    yield start
    for verifier in made:
        await verifier.close()


async def until(condition: Callable[[], T]) -> T:
    """The first answer of a condition that is true."""
    async with asyncio.timeout(20):
        while not (found := condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


def verdicts(found: list[Verified]) -> list[str]:
    return [one.verification.verdict for one in found]


def reasons(found: list[Verified]) -> list[str]:
    return [one.verification.reason for one in found]


def children() -> list[int]:
    """The processes that this one has started and that still run."""
    return [pid for pid in _pids() if _stat(pid)[1] == os.getpid() and _is_counter(pid)]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _stat(pid: int) -> tuple[str, int]:
    """(state, parent)"""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone", 0
    return fields[0], int(fields[1])


def _is_counter(pid: int) -> bool:
    try:
        return b"anyio.to_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_every_kind_of_exchange_in_its_place(started):
    speech = {"endpoint": "/v1/audio/speech", "model": "tts-1", "reported": Reported(input=5)}
    images = {"endpoint": "/v1/images/generations", "model": "dall-e-3", "reported": Reported(input=0, output=3)}
    embeddings = {"endpoint": "/v1/embeddings", "model": "text-embedding-ada-002", "reported": Reported(input=1)}
    completions = {"endpoint": "/v1/completions", "model": "gpt-3.5-turbo-instruct", "reported": Reported(input=1)}
    found = await started(verification_processes=2).verify(
        [
            exchange(),
            exchange(HELLO, CHUNKS, reported=Reported(input=40, output=7)),
            exchange(HELLO, SSE, reported=None),
            exchange({"input": "Hello"}, ..., **embeddings),
            exchange({"prompt": "Hello"}, {"choices": [{"text": " world", "finish_reason": "stop"}]}, **completions),
            exchange({"input": "Hello"}, ..., **speech),
            exchange({"prompt": "A cat"}, {"data": [{}, {}]}, **images),
            exchange(content=b"7"),
        ]
    )
    assert verdicts(found) == [
        "exact",
        "over_reported",
        "counted",
        "exact",
        "counted",
        "exact",
        "over_reported",
        "unverifiable",
    ]


async def test_nothing_asked_nothing_started(started):
    before = children()
    assert await started().verify([]) == []
    assert children() == before


async def test_a_large_batch_comes_back_in_its_order(started):
    texts = [f"{n} " + "word " * (n * 37 % 2_000) for n in range(300)]
    found = await started(verification_processes=2).verify([said(text, reported=None) for text in texts])
    here = [one.counted.input_tokens for one in found]
    alone = await started().verify([said(texts[n], reported=None) for n in (0, 150, 299)])
    assert [here[n] for n in (0, 150, 299)] == [one.counted.input_tokens for one in alone]


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(said("<|endoftext|><|im_start|>" * 1_000), id="special tokens"),
        pytest.param(said("\ud800 \udfff" * 1_000), id="lone surrogates"),
        pytest.param(said("a" * 1_000_000), id="a megabyte of one letter"),
        pytest.param(said(" " * 1_100_000), id="blanks on which tiktoken panics"),
        pytest.param(said("\U0001f469" * 100_000), id="emoji"),
        pytest.param(exchange(content=b'{"request":' + b"[" * 1_000_000), id="deep"),
        pytest.param(exchange({"messages": json.loads("[" * 150 + "]" * 150)}), id="deeper than is counted"),
        pytest.param(said([{"type": "image_url", "image_url": {"url": "x"}}] * 1_000), id="a thousand images"),
        pytest.param(exchange([1] * 100_000, 1e308), id="numbers"),
        pytest.param(exchange({"messages": {"0": 1}, "tools": "x", "n": -1}, {"choices": [None, {}, []]}), id="shapes"),
        pytest.param(exchange(model="gpt-4" * 1_000), id="model"),
    ],
)
async def test_hostile_texts_cost_bounded_time_and_nothing_beside_them(started, hostile):
    async with asyncio.timeout(20):
        found = await started(verification_seconds_max=15).verify([exchange(), hostile, exchange()])
    assert verdicts(found)[::2] == ["exact", "exact"]
    assert not any(reason.startswith("busy") for reason in reasons(found))


async def test_more_text_than_is_counted_is_said(started):
    found = await started(verification_text_bytes_max=1024).verify([said("word " * 1_000, reported=None)])
    assert "more than 1024 bytes of text" in found[0].verification.reason


# ── busy ──
async def test_what_the_queue_has_no_room_for_is_busy_at_once(started):
    one = exchange()
    verifier = started(verification_waiting_bytes_max=2 * len(one.content))
    found = await verifier.verify([one] * 3)
    assert verdicts(found) == ["exact", "exact", "unverifiable"]
    assert reasons(found)[2] == "busy: too much text was waiting to be counted"
    assert verdicts(await verifier.verify([one])) == ["exact"]  # the room is there again


async def test_what_nobody_can_bill_uncounted_has_twice_the_queue(started):
    reported, unreported = exchange(), exchange(reported=None)
    verifier = started(verification_waiting_bytes_max=len(reported.content))
    found = await verifier.verify([reported, reported, unreported, unreported])
    assert verdicts(found) == ["exact", "unverifiable", "counted", "unverifiable"]


async def test_what_is_not_counted_in_time_is_busy_and_the_next_is_counted(started):
    verifier = started(verification_seconds_max=0.5)
    assert verdicts(await _warm(verifier)) == ["exact"]
    slow, waiting = await asyncio.gather(verifier.verify([said(SLOW)]), verifier.verify([exchange()]))
    assert reasons(slow + waiting) == ["busy: it was not counted within 0.5 s"] * 2
    assert verdicts(await _warm(verifier)) == ["exact"]


async def _warm(verifier: Verifier) -> list[Verified]:
    """The first verdict that is there in time: a process takes a while to start."""
    while (found := await verifier.verify([exchange()]))[0].verification.reason.startswith("busy"):
        pass
    return found


async def test_who_stops_waiting_leaves_no_trace_in_the_queue(started):
    verifier = started(verification_waiting_bytes_max=2 * len(said(SLOW).content))
    asked = [asyncio.create_task(verifier.verify([said(SLOW)])) for _ in range(2)]
    await until(lambda: any(job.begun for job in verifier._jobs))
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await asyncio.wait([job.task for job in verifier._jobs])
    assert verdicts(await verifier.verify([exchange()])) == ["exact"]
    assert (verifier._waiting, verifier._jobs) == (0, set())


# ── processes ──
async def test_a_killed_process_costs_only_its_own_exchanges(started, caplog):
    verifier = started(verification_seconds_max=30)
    slow = asyncio.create_task(verifier.verify([said(SLOW + SECRET)]))
    os.kill((await until(counting))[0], signal.SIGKILL)
    after = await verifier.verify([exchange()])
    assert reasons(await slow) == ["the process that counted the text ended"]
    assert verdicts(after) == ["exact"]
    assert [record.levelno for record in caplog.records if record.name == "billing.metering.verifier"] == [
        logging.WARNING
    ]
    assert SECRET not in caplog.text


def counting() -> list[int]:
    """Those that have settled, and are at work."""
    return [pid for pid in children() if _stat(pid)[0] == "R" and _nice(pid) == 19]


def _nice(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])


async def test_an_interrupt_at_the_terminal_is_not_for_the_processes(started):
    verifier = started()
    assert verdicts(await verifier.verify([exchange()])) == ["exact"]
    before = children()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert verdicts(await verifier.verify([exchange()])) == ["exact"]
    assert children() == before


async def test_no_text_is_logged(started, caplog):
    caplog.set_level(logging.DEBUG)
    found = await started().verify([said(SECRET), exchange({"messages": SECRET}), exchange(content=SECRET.encode())])
    assert SECRET not in caplog.text
    assert SECRET not in repr(found)


def test_an_exchange_that_is_larger_than_a_job_is_alone():
    small, large = exchange(), said("x" * JOB_BYTES)
    given: list[Exchange] = [small, small, large, small]
    assert list(_divided(iter(range(4)), given)) == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    ("wanting", "slept"),
    [
        ([2] * 100, 0),  # as many as can run
        ([3] * 7, 0),  # for a moment
        ([3] * 8, 1),
        ([3] * 30, 23),
        ([3, 2, 2, 2, 2, 2] * 100, 0),  # now and then
        ([3] * 8 + [2] * 100 + [3], 1),  # long ago
    ],
    ids=["never", "a moment", "often", "always", "now and then", "long ago"],
)
def test_who_counts_sleeps_when_more_want_to_run_than_can(tmp_path, wanting, slept):
    """As the system says; looks are at least as long apart as they are said to be."""
    load = tmp_path / "loadavg"
    load.touch()
    with load.open("rb") as file:
        manners = _Manners(2, file.fileno())
        manners.WORKS = 0  # type: ignore[misc]
        found = []
        for number in wanting:
            load.write_text(f"0.20 0.18 0.12 {number}/80 11206\n")
            found.append(manners.give_way())
    assert sum(found) == slept


def test_between_two_looks_there_is_work(tmp_path):
    load = tmp_path / "loadavg"
    load.write_text("0.20 0.18 0.12 9/80 11206\n")
    with load.open("rb") as file:
        manners = _Manners(2, file.fileno())
        manners.WORKS = 3_600  # type: ignore[misc]
        assert [manners.give_way() for _ in range(50)] == [False] * 50


def test_where_the_system_does_not_say_nobody_gives_way():
    assert not _Manners(2, None).give_way()
