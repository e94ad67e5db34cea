"""`python -m benchmarks`: intake, authorisations, balances, growth and closing, each beside its limit in the same run.

Prints a table of ratios and of targets met and missed (anchors: docs/benchmarks.md), and where the time goes; with
--out it is drawn, too. The other scripts of this folder measure one thing each and are run by themselves.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks import asking, growth, intake, spent
from benchmarks.bench import Bench, Figure, bench
from benchmarks.drawing import picture, table


def measured(found: Bench, *, quick: bool, events: int, accounts: int) -> Iterator[Figure]:
    rounds, seconds = (2, 0.7) if quick else (3, 2.0)
    sizes, connections = ((1_000,), (64,)) if quick else (intake.BATCHES, intake.SINGLES)
    yield from intake.batches(found, rounds, seconds, sizes)
    yield from intake.singles(found, rounds, seconds, connections)
    yield from asking.figures(found, rounds, seconds)
    yield from growth.intake(found, events, rounds, seconds)
    yield from growth.closing(found, accounts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases and shorter rounds: one or two minutes")
    parser.add_argument("--events", type=int, help="how many are stored when growth is measured (1,000,000)")
    parser.add_argument("--accounts", type=int, help="how many accounts' month is closed (10,000)")
    parser.add_argument("--out", type=Path, help="a folder for the table and the picture")
    given = parser.parse_args()
    events = given.events or (200_000 if given.quick else 1_000_000)
    accounts = given.accounts or (1_000 if given.quick else 10_000)
    figures = []
    with bench() as found:
        print("\n" + spent.told(found))
        for figure in measured(found, quick=given.quick, events=events, accounts=accounts):
            figures.append(figure)
            print(table([figure]).splitlines()[-1], flush=True)
    print("\n" + table(figures))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "benchmarks.md").write_text(table(figures) + "\n")
        (given.out / "benchmarks.svg").write_text(picture(figures))


if __name__ == "__main__":
    main()
