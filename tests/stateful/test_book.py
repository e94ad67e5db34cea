"""Usage, corrections, voids, top-ups, adjustments and closed months in any order, on a real database, beside a model of
a few dicts.

The model knows the rules and nothing of the code: what an event costs it works out in fractions. After every run the
proof (`billing verify`) must find nothing.
"""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, invariant, rule

from billing.invoices.close import close_month
from billing.ledger.movements import Movement, book
from tests import factories
from tests.books import balance
from tests.metering.events import batch, event
from tests.stateful.machine import Machine, play

PICO = 10**12
HALF = Fraction(1, 2)
OFFICIAL = {  # dollars a million tokens, input and output, in 2026
    "gpt-4": (30, 60),
    "gpt-4o": (Fraction("2.5"), 10),
    "gpt-3.5-turbo": (Fraction("0.5"), Fraction("1.5")),
}
MONTHS = ["2026-07", "2026-08", "2026-09"]
FIRST_MONTH = 7

amounts = st.integers(1, 10**15)
times = st.datetimes(datetime(2026, 7, 1), datetime(2026, 9, 30, 23, 59, 59))  # noqa: DTZ001 - the zone comes below
requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from([*OFFICIAL, "no-such-model"]),
        "input": st.integers(0, 10**7),
        "output": st.integers(0, 10**7),
        "status": st.sampled_from([200, 200, 200, 500]),
        "time": times,
    }
)


def cost(request: dict[str, Any]) -> int:
    """Picodollars, by the rules: half of the official price; nothing for a failure; nothing yet without a price."""
    if request["model"] not in OFFICIAL or (request["status"] != 200 and request["output"] == 0):
        return 0
    of_input, of_output = OFFICIAL[request["model"]]
    dollars = (request["input"] * Fraction(of_input) + request["output"] * Fraction(of_output)) / 10**6 * HALF
    return int(dollars * PICO)


def as_event(account: str, id: str, request: dict[str, Any]) -> dict[str, Any]:
    return event(
        account,
        id,
        model=request["model"],
        status=request["status"],
        time=request["time"].replace(tzinfo=UTC).isoformat(),
        usage={"prompt_tokens": request["input"], "completion_tokens": request["output"]},
    )


class Book(Machine):
    accounts: Bundle[str] = Bundle("accounts")

    def __init__(self) -> None:
        super().__init__()
        self.wallets: dict[str, int] = {}
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.closed_months: dict[str, int] = {}
        self.late: dict[tuple[str, str], int] = {}
        self.corrected: set[tuple[str, str]] = set()

    @initialize(target=accounts)
    def first_account(self) -> str:
        return self.account()

    @rule(target=accounts)
    def account(self) -> str:
        async def make() -> str:
            async with self.pool.connection() as conn:
                return await factories.account(conn)

        account = self.run(make())
        self.wallets[account] = 0
        self.closed_months[account] = 0
        return account

    @rule(account=accounts, ids=st.lists(st.integers(0, 30), min_size=1, max_size=5), request=requests)
    def use(self, account: str, ids: list[int], request: dict[str, Any]) -> None:
        """A batch, in which some events may have been posted before: the same, or another under its name."""
        posted = [as_event(account, str(id), request) for id in ids]
        results = self.run(self.intake.post(batch(*posted)))
        for id, result in zip(ids, results, strict=True):
            before = self.events.get((account, str(id)))
            if before is not None:
                assert result.status == ("duplicate" if before == request else "conflict")
                continue
            self.events[account, str(id)] = request
            self.late[account, str(id)] = self.closed_months[account]
            assert result.status == ("unpriced" if self.waits(request) else "accepted")
            self.wallets[account] -= cost(request)

    @rule(account=accounts, number=st.integers(0, 60), request=requests, voids=st.booleans())
    def correct(self, account: str, number: int, request: dict[str, Any], voids: bool) -> None:
        """An event that stands for another one, which may be a correction itself."""
        known = [id for owner, id in self.events if owner == account]
        if not known:
            return
        named = known[number % len(known)]
        first = self.events[account, named]
        id = f"for-{named}-{len(self.events)}"
        nothing = {"model": first["model"], "input": 0, "output": 0, "status": 500}
        anew = {**(nothing if voids else request), "time": first["time"]}
        sent = as_event(account, id, anew) | {"voids" if voids else "corrects": named}
        if voids:
            del sent["usage"]
        [result] = self.run(self.intake.post(batch(sent)))
        if (account, named) in self.corrected:
            assert result.errors[0].code == "already_corrected"
            return
        assert result.status == ("unpriced" if not voids and self.waits(anew) else "accepted")
        self.corrected.add((account, named))
        self.events[account, id] = anew
        self.late[account, id] = self.closed_months[account]
        self.wallets[account] -= cost(anew) - cost(first)

    @staticmethod
    def waits(request: dict[str, Any]) -> bool:
        """An answer that does not say what was used, or whose price nobody knows."""
        if request["status"] != 200:
            return request["model"] not in OFFICIAL and request["output"] > 0
        return request["model"] not in OFFICIAL or request["input"] + request["output"] == 0

    @rule(account=accounts, amount=amounts, takes=st.booleans())
    def move(self, account: str, amount: int, takes: bool) -> None:
        movement = Movement(
            account_id=account,
            kind="adjustment" if takes else "top_up",
            amount=-amount if takes else amount,
            reason="stateful",
            actor="test",
        )

        async def work() -> None:
            async with self.pool.connection() as conn, conn.transaction():
                await book(conn, movement)

        self.run(work())
        self.wallets[account] += movement.amount

    @rule(account=accounts, month=st.sampled_from(MONTHS))
    def close(self, account: str, month: str) -> None:
        summary = self.run(close_month(self.pool, self.intake.settings, month, account))
        [result] = summary.results
        number = MONTHS.index(month) + 1
        if number <= self.closed_months[account]:
            assert result.outcome == "already_closed"
        elif self.used_between(account, self.closed_months[account], number - 1):
            assert result.outcome == "refused"
        else:
            assert result.outcome in ("invoiced", "empty")
            self.closed_months[account] = number
            self.wallets[account] -= result.residue

    def used_between(self, account: str, first: int, end: int) -> bool:
        """Whether usage of a month before the one to be closed is still to be invoiced."""
        return any(owner == account and self.billed_in(account, id) in range(first, end) for owner, id in self.events)

    def billed_in(self, account: str, id: str) -> int:
        return max(self.events[account, id]["time"].month - FIRST_MONTH, self.late.get((account, id), 0))

    @invariant()
    def wallets_are_right(self) -> None:
        async def posted() -> dict[str, int]:
            async with self.pool.connection() as conn:
                return {account: (await balance(conn, account)).posted for account in self.wallets}

        assert self.run(posted()) == self.wallets


def test_the_book_is_right_whatever_happens(fresh_database: str) -> None:
    play(Book, fresh_database, games=40, steps=20)
