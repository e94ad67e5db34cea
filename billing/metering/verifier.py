"""Counts the text of events beside everything else: in processes of its own, with a queue of a stated size before them.

Counting is mostly Rust, but what is Python in it would hold up every other request; so it runs in processes, at the
lowest priority, which give way where that is not enough. A job is a few exchanges, at most `JOB_BYTES` of content, or
one that is larger.

The rule of back-pressure: what does not fit into the queue (`verification_waiting_bytes_max`; twice that for an event
without usage, which nobody can bill until it is counted) and what is not counted within `verification_seconds_max` is
`unverifiable`, with a reason that begins with `busy: `. No event is lost and none is delayed for longer.
"""

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import msgspec
from anyio import CapacityLimiter, to_process

from billing.metering.content import Exchange, Verified, unverifiable, verified
from billing.observe import metrics
from billing.settings import Settings
from pricing.tokens import DEFAULT_LIMITS, Limits

__all__ = ["Exchange", "Verified", "Verifier"]

JOB_BYTES: Final = 512 << 10
"""Counted in 40 ms, or in a second when it is made to be slow: what one exchange can cost those beside it."""

BUSY: Final = "busy: "
_FULL: Final = f"{BUSY}too much text was waiting to be counted"
_DIED: Final = "the process that counted the text ended"

log = logging.getLogger(__name__)


class Verifier:
    """The processes of one worker. They start when there is text to count, and end when the worker does."""

    def __init__(self, settings: Settings) -> None:
        self._processes = settings.verification_processes or max(1, _cores() // settings.workers)
        self._bytes_max = settings.verification_waiting_bytes_max
        self._seconds_max = settings.verification_seconds_max
        self._limits = replace(DEFAULT_LIMITS, text_bytes=settings.verification_text_bytes_max)
        self._late = f"{BUSY}it was not counted within {self._seconds_max:g} s"
        self._turn = asyncio.Semaphore(self._processes)
        self._places = CapacityLimiter(self._processes)
        self._jobs: set[_Job] = set()
        self._waiting = 0

    async def verify(self, exchanges: Sequence[Exchange]) -> list[Verified]:
        """A verdict for each exchange, in their order. Never raises for any content; returns within `seconds_max`."""
        jobs = [self._start(places, exchanges) for places in _divided(self._admitted(exchanges), exchanges)]
        if jobs:
            try:
                await asyncio.wait([job.task for job in jobs], timeout=self._seconds_max)
            finally:
                for job in jobs:
                    job.give_up()
        counted = {place: one for job in jobs for place, one in zip(job.places, job.result(self._late), strict=True)}
        found = [counted.get(place) or unverifiable(exchange, _FULL) for place, exchange in enumerate(exchanges)]
        metrics.VERIFICATION_BUSY.inc(sum(one.verification.reason.startswith(BUSY) for one in found))
        return found

    async def close(self) -> None:
        """End what is still being counted. Nobody waits for it."""
        tasks = [job.task for job in self._jobs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _admitted(self, exchanges: Sequence[Exchange]) -> Iterator[int]:
        """The places of those that the queue has room for; it is taken as they are."""
        for place, exchange in enumerate(exchanges):
            size = len(exchange.content)
            if self._waiting + size <= self._bytes_max * (2 if exchange.reported is None else 1):
                self._waiting += size
                yield place

    def _start(self, places: list[int], exchanges: Sequence[Exchange]) -> "_Job":
        job = _Job(places, [exchanges[place] for place in places])
        job.task = asyncio.create_task(self._count(job))
        self._jobs.add(job)
        job.task.add_done_callback(lambda _: self._end(job))
        return job

    def _end(self, job: "_Job") -> None:
        self._jobs.discard(job)
        self._waiting -= sum(len(exchange.content) for exchange in job.exchanges)

    async def _count(self, job: "_Job") -> list[Verified]:
        """In a process, when there is one free. One that works for too long ends; the next job starts another."""
        work = partial(count_all, _PACKED.encode(job.exchanges), self._limits, self._seconds_max)
        async with self._turn:
            job.begun = True
            try:
                return _VERIFIED.decode(await to_process.run_sync(work, cancellable=True, limiter=self._places))
            except Exception as fault:  # BrokenWorkerProcess; or no process could be started
                log.warning("%d events are not verified: a process ended (%s)", len(job.places), type(fault).__name__)
                return [unverifiable(exchange, _DIED) for exchange in job.exchanges]


class _Job:
    """Exchanges that are counted together, and their places in the request they came with."""

    task: asyncio.Task[list[Verified]]

    def __init__(self, places: list[int], exchanges: list[Exchange]) -> None:
        self.places = places
        self.exchanges = exchanges
        self.begun = False

    def give_up(self) -> None:
        """Nobody waits any more. What has begun is left to end, since another process is dearer than the rest of it."""
        if not self.begun:
            self.task.cancel()

    def result(self, otherwise: str) -> list[Verified]:
        """What was counted, or that nothing was, for this reason."""
        if self.task.done() and not self.task.cancelled():
            return self.task.result()
        return [unverifiable(exchange, otherwise) for exchange in self.exchanges]


def _divided(places: Iterator[int], exchanges: Sequence[Exchange]) -> Iterator[list[int]]:
    """The places in groups of at most `JOB_BYTES`; a larger exchange is alone, so that its time costs no other."""
    group: list[int] = []
    room = JOB_BYTES
    for place in places:
        size = len(exchanges[place].content)
        if group and size > room:
            yield group
            group, room = [], JOB_BYTES
        group.append(place)
        room -= size
    if group:
        yield group


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Exchanges and verdicts travel in MessagePack: unpickling their structs would cost the service more than all else.
_PACKED = msgspec.msgpack.Encoder()
_EXCHANGES = msgspec.msgpack.Decoder(list[Exchange])
_VERIFIED = msgspec.msgpack.Decoder(list[Verified])


# ── in the process ──
def count_all(exchanges: bytes, limits: Limits, seconds_max: float) -> bytes:
    """Runs in a process of its own, which is killed when this takes more than `seconds_max` of a processor.

    Packed exchanges in, packed verdicts out. No exception leaves it: one may hold text.
    """
    _settle()
    signal.setitimer(signal.ITIMER_PROF, seconds_max)
    manners = _manners()
    found = []
    for exchange in _EXCHANGES.decode(exchanges):
        found.append(_counted(exchange, limits))
        manners.give_way()
    signal.setitimer(signal.ITIMER_PROF, 0)
    return _PACKED.encode(found)


def _counted(exchange: Exchange, limits: Limits) -> Verified:
    try:
        return verified(exchange, limits)
    except BaseException as fault:  # a panic of Rust is no Exception, and MemoryError may come anywhere
        return unverifiable(exchange, f"the counter failed: {type(fault).__name__}")


class _Manners:
    """Gives way to whoever waits for a processor.

    The lowest priority is not enough: Linux wakes a process where it was woken from, looks for no better place while
    all processors are busy, and lets who counts finish a tick of up to 4 ms. Where one sleeps, the next is fetched.
    """

    WORKS: Final = 0.00025  # seconds, at least, between two looks
    SLEEPS: Final = 0.001
    LOOKS: Final = 32  # it remembers about as many,
    OFTEN: Final = 0.2  # and for less than this part of them does nothing: who hands out the work also wants to run

    def __init__(self, processors: int, load: int | None) -> None:
        self._processors = processors
        self._load = load  # /proc/loadavg, opened; None where there is none
        self._next = 0.0
        self._crowded = 0.0

    def give_way(self) -> bool:
        """Sleep for a moment, when more want to run than there are processors, as has been often; whether it did."""
        if self._load is None or time.perf_counter() < self._next:
            return False
        crowded = _wanting(os.pread(self._load, 100, 0)) > self._processors
        self._crowded += (crowded - self._crowded) / self.LOOKS
        if slept := crowded and self._crowded > self.OFTEN:
            time.sleep(self.SLEEPS)
        self._next = time.perf_counter() + self.WORKS
        return slept


def _wanting(load: bytes) -> int:
    """How many want to run now, in /proc/loadavg: `0.20 0.18 0.12 3/80 11206` tells of three."""
    return int(load.split()[3].partition(b"/")[0])


@cache
def _manners() -> _Manners:
    """Those of this process."""
    load = None
    with suppress(OSError):  # not Linux, or hidden
        load = os.open("/proc/loadavg", os.O_RDONLY)
    return _Manners(os.cpu_count() or 1, load)


@cache
def _settle() -> None:
    """Once in a process: whatever else wants the processor goes first, Ctrl-C is not for us, and nothing is printed.

    JSON makes no cycles: looking for some less often saves 4 % of the time.
    """
    os.nice(19)
    _leave_session()
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    gc.freeze()
    gc.set_threshold(100_000)


def _leave_session() -> None:
    """Where Linux shares processors out by session (autogroup), a priority only tells within one, not against
    PostgreSQL; so this is a session of its own, at the lowest priority, too."""
    os.setsid()
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")
