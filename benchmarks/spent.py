"""Where the time goes: processor time of each process for an event, and what the service itself spends it on.

Processor time is told apart from waiting by the kernel, so it means the same on a machine that others use, too.
"""

import cProfile
import os
import pstats
import random
from collections.abc import Callable
from pathlib import Path

from benchmarks import limits, traffic
from benchmarks.bench import Bench
from benchmarks.intake import real
from benchmarks.load import run
from billing.db.pool import open_pool
from billing.metering.events import JSON, read
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper

SECONDS = 2.0
BATCHES, SIZE = 20, 1_000
TICK = os.sysconf("SC_CLK_TCK")
# Functions that stand for a step of intake, by what they are called within their file.
STEPS = {
    "decode the body": ("events.py", "read"),
    "find what each event costs": ("assess.py", "assess"),
    "pack the columns": ("store.py", "_columns"),
    "make the results": ("answers.py", "result_of"),
}


def told(bench: Bench) -> str:
    """A table in Markdown: microseconds of a processor for an event."""
    lines = ["| microseconds of a processor for an event | the service | PostgreSQL |", "|---|---|---|"]
    cases: dict[str, Callable[[], float]] = {
        "bare posting of 1,000": lambda: SECONDS * run(limits.bare_posting(bench.bare, "power", 1_000, SECONDS)),
        "batches of 1,000": lambda: SECONDS * real(bench, "power", 1_000, 4, SECONDS).events,
        "batches of 1,000, one hot account": lambda: SECONDS * real(bench, "hot", 1_000, 4, SECONDS).events,
        "single events, 64 connections": lambda: SECONDS * real(bench, "power", 1, 64, SECONDS).events,
        "single events, 256 connections": lambda: SECONDS * real(bench, "power", 1, 256, SECONDS).events,
    }
    for name, work in cases.items():
        before = seconds(bench)
        events = work()
        service, database = (1e6 * (now - then) / events for now, then in zip(seconds(bench), before, strict=True))
        lines.append(f"| {name} | {service:.1f} | {database:.1f} |")
    lines += ["", "| within the service, batches of 1,000 | share |", "|---|---|"]
    lines += [f"| {name} | {share:.0%} |" for name, share in run(_shares(bench)).items()]
    return "\n".join(lines) + "\n"


def seconds(bench: Bench) -> tuple[float, float]:
    """Processor time until now of the service and of PostgreSQL."""
    service = database = 0.0
    home = str(bench.real.settings.data_dir)
    parents: dict[int, int] = {}
    spent: dict[int, tuple[float, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        # with its ended children: the postmaster has those of the connections that were closed
        spent[int(folder.name)] = (sum(map(int, fields[11:15])) / TICK, command)
    masters = {pid for pid, (_, command) in spent.items() if f"-D {home}" in command and "postgres" in command}
    for pid, (seconds, command) in spent.items():
        if pid in masters or parents[pid] in masters:
            database += seconds
        elif parents[pid] == os.getpid() and "spawn_main" in command:
            service += seconds
    return service, database


async def _shares(bench: Bench) -> dict[str, float]:
    """What of the service's own time the steps of intake take, by a profile of them in this process."""
    settings = bench.real.settings
    pool = await open_pool(settings, bench.real.database_url)
    intake = Intake(pool, TermsKeeper.by(settings), settings)
    made = traffic.bodies("power", SIZE, random.Random(1))
    bodies = [next(made) for _ in range(BATCHES)]
    profile = cProfile.Profile()
    for number, body in enumerate(bodies):
        if number == BATCHES // 4:
            profile.enable()
        await intake.post(read(body, JSON, SIZE))
    profile.disable()
    await intake.close()
    await pool.close()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    waiting = sum(own for (_, _, name), (_, _, own, _, _) in stats.items() if "poll" in name)
    whole = sum(own for (_, _, own, _, _) in stats.values()) - waiting
    shares = {
        step: sum(
            total
            for (place, _, name), (_, _, _, total, _) in stats.items()
            if name == function and place.endswith(f"metering/{file}")
        )
        / whole
        for step, (file, function) in STEPS.items()
    }
    return {**shares, "the rest": 1 - sum(shares.values())}
