"""The tables are refused as a whole, with every fault named by file and line."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pricing import book as books
from pricing import entries
from pricing.book import Book
from pricing.entries import PRICE_COLUMNS, Table
from pricing.errors import BookError

HEAD = ",".join(PRICE_COLUMNS)
GOOD = "my-model,output,,,1M_tokens,12.5,2026-01-01,,B,contract 7,2026-11-23,agreed by mail"


def faults_of(book: Book, *lines: str) -> list[str]:
    with pytest.raises(BookError) as refusal:
        book.overlaid("\n".join((HEAD, *lines)))
    return refusal.value.faults


def changed(**cells: str) -> str:
    row = dict(zip(PRICE_COLUMNS, GOOD.split(","), strict=True)) | cells
    return ",".join(row.values())


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ({"model": ""}, "a model is needed."),
        ({"model": "*"}, "only the fee of a tool may hold for every model."),
        ({"dimension": "outputs"}, "the dimension 'outputs' is not known."),
        ({"dimension": "request"}, "the dimension 'request' is not known."),
        ({"dimension": "training"}, "the dimension 'training' is not known."),
        ({"tier": "scale"}, "the tier 'scale' is not known."),
        ({"context": ">1M"}, "the context '>1M' is not known."),
        ({"unit": "1B_tokens"}, "the unit '1B_tokens' is not known."),
        ({"unit": "minute"}, "the unit minute does not count what output is, a token."),
        ({"price": "-1"}, "the price -1 is below zero."),
        ({"price": "1e3"}, "the price: '1e3' is not an amount of dollars"),
        ({"price": ""}, "the price: '' is not an amount of dollars"),
        ({"effective_from": "2026-13-01"}, "'2026-13-01' is not a date such as 2026-11-23."),
        ({"effective_from": "20260101"}, "'20260101' is not a date such as 2026-11-23."),
        ({"effective_to": "2026-01-01"}, "effective_to 2026-01-01 is not after effective_from 2026-01-01."),
        ({"confidence": "D"}, "the confidence 'D' is none of A, B, C: it may not be billed from."),
        ({"source": ""}, "a source is needed."),
        ({"checked": ""}, "checked '' is not a date such as 2026-11-23."),
        ({"note": " blank"}, "a cell begins or ends with a blank or contains a line break."),
        ({"note": "too,many"}, "13 cells instead of 12."),
        ({"note": '"open'}, "not CSV: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fault_is_named_by_file_and_line(book: Book, cells: dict[str, str], fault: str) -> None:
    (found,) = faults_of(book, GOOD, changed(**cells))
    assert found.startswith(f"local.csv:3: {fault}")


def test_all_faults_are_named_at_once(book: Book) -> None:
    faults = faults_of(book, changed(price="x", unit="y"), GOOD, changed(tier="z"))
    assert [fault.split(": ")[0] for fault in faults] == ["local.csv:2", "local.csv:2", "local.csv:4"]


def test_the_columns_are_fixed(book: Book) -> None:
    with pytest.raises(BookError, match=r"prices.csv:1: the columns must be model,dimension,"):
        book.overlaid("model,price\ngpt-4,1\n", file="prices.csv")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("2026-01-01", ""), ("2026-01-01", "")),
        (("2026-01-01", "2026-03-01"), ("2026-02-28", "")),
        (("", "2026-03-01"), ("2026-02-28", "2026-04-01")),
    ],
    ids=("same day", "a day too long", "since launch"),
)
def test_entries_may_not_overlap(book: Book, first: tuple[str, str], second: tuple[str, str]) -> None:
    lines = [changed(effective_from=since, effective_to=until) for since, until in (first, second)]
    (fault,) = faults_of(book, *lines)
    assert fault.startswith("local.csv:3: local:my-model/output@")
    assert "overlaps local:my-model/output@" in fault


def test_an_open_entry_ends_where_the_next_begins(book: Book) -> None:
    overlaid = book.overlaid("\n".join((HEAD, GOOD, changed(price="10", effective_from="2026-06-01"))))
    change = datetime(2026, 6, 1, tzinfo=UTC)
    first, second = overlaid.layers[0]["my-model", "output", "", ""]
    assert (first.until, first.effective_to, second.since) == (change, "", change)
    assert (first.price, second.price) == ("12.5", "10")


def aliases_of(*lines: str) -> Callable[[], list[str]]:
    def faults() -> list[str]:
        found: list[str] = []
        table = Table("aliases.csv", "\n".join((",".join(entries.ALIAS_COLUMNS), *lines)), entries.ALIAS_COLUMNS, found)
        return found + books.faults_of_aliases(entries.read_aliases(table), books.load().layers) + found

    return faults


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (("a,b,snapshot,,,s,", "b,a,snapshot,,,s,"), "aliases.csv:2: a leads back to itself."),
        (("a,nowhere,snapshot,,,s,",), "aliases.csv:2: a leads to nowhere, which has no price."),
        (("a,gpt-4,nickname,,,s,",), "aliases.csv:2: the kind 'nickname' is none of snapshot, rate_card, spelling."),
        (("a,a,snapshot,,,s,",), "aliases.csv:2: an alias and another name are needed."),
        (("a,gpt-4,spelling,2026-01-01,,s,",), "aliases.csv:2: another spelling has no dates."),
        (("a,gpt-4,snapshot,,,,",), "aliases.csv:2: a source is needed."),
        (
            ("a,gpt-4,snapshot,2026-01-01,,s,", "a,gpt-4o,snapshot,2026-02-01,,s,"),
            "aliases.csv:3: a already leads to gpt-4 by aliases.csv:2.",
        ),
    ],
    ids=("circle", "nowhere", "kind", "itself", "dates", "source", "twice"),
)
def test_faults_of_aliases(lines: tuple[str, ...], fault: str) -> None:
    assert fault in aliases_of(*lines)()


def test_faults_of_the_smaller_tables() -> None:
    faults: list[str] = []
    entries.read_sources(Table("s.csv", "key,citation\na,x\na,y\n,z\n", entries.SOURCE_COLUMNS, faults))
    entries.read_lifecycle(
        Table("l.csv", "model,shutdown,source\nm,soon,s\nm,2026-01-01,s\nm,,s\n", entries.LIFECYCLE_COLUMNS, faults)
    )
    text = "model,dimension,since,question,meanwhile\nm,,2026-01-01,why?,\n"
    entries.read_questions(Table("q.csv", text, entries.QUESTION_COLUMNS, faults))
    assert [fault.split(": ")[0] for fault in faults] == ["s.csv:3", "s.csv:4", "l.csv:2", "l.csv:4", "q.csv:2"]


def test_a_local_file_that_cannot_be_read_is_a_fault_of_the_book(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"absent.csv:1: cannot be read"):
        books.load(tmp_path / "absent.csv")
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + b"\n\xff\xfe\n")
    with pytest.raises(BookError, match=r"latin.csv:1: cannot be read"):
        books.load(tmp_path / "latin.csv")
