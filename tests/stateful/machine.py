"""What the stateful tests share: a relay on a database of its own, of which the proof must find nothing in the end."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from billing.db.pool import Pool, open_pool
from billing.metering.intake import Intake
from billing.prices.keeper import TermsKeeper
from billing.settings import Settings
from pricing import book
from tests.books import differences

BOOK = book.load()
UNHURRIED: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}

T = TypeVar("T")


class Machine(RuleBasedStateMachine):
    """`runner`, `pool` and `intake` are set by `play`."""

    runner: asyncio.Runner
    pool: Pool
    intake: Intake

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@contextmanager
def relay(url: str) -> Iterator[tuple[asyncio.Runner, Intake]]:
    """An intake on this database, and the loop that runs it. When the block is done the book must be right."""
    chosen = Settings(database_url=url)
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(chosen, url))
        intake = Intake(pool, TermsKeeper(BOOK, "0.5"), chosen)
        try:
            yield runner, intake
            assert runner.run(differences(pool)) == []
        finally:
            runner.run(intake.close())
            runner.run(pool.close())


def play(machine: type[Machine], url: str, *, games: int, steps: int) -> None:
    with relay(url) as (runner, intake):
        here = type("Here", (machine,), {"runner": runner, "pool": intake.pool, "intake": intake})
        run_state_machine_as_test(here, settings=settings(max_examples=games, stateful_step_count=steps, **UNHURRIED))
