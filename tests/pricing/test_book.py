"""The book: layers, aliases, digest, and published entries that never change."""

import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pricing import book as books
from pricing import check, money, usage
from pricing.book import Book
from pricing.rating import rate_request

TODAY = datetime(2026, 11, 23, tzinfo=UTC)
FROZEN = Path(__file__).with_name("frozen_entries.txt")
LOCAL = """\
model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note
gpt-4o,input,,,1M_tokens,2,2026-12-01,2027-01-01,A,contract 7,2026-11-23,promotion
acme-1,input,,,1M_tokens,1.25,,,A,own model,2026-11-23,
acme-1,output,,,1M_tokens,5,,,A,own model,2026-11-23,
"""


def price(book: Book, model: str, at: datetime, dimension: str = "input") -> int:
    used = usage.convert({"quantities": {dimension: 1_000_000}})
    return rate_request(book, used, model=model, at=at, multiplier="1").amount


def test_a_local_file_wins_while_it_is_in_force(tmp_path: Path, book: Book) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(LOCAL, encoding="utf-8")
    local = books.load(file)
    december, january = datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert price(local, "gpt-4o", TODAY) == price(book, "gpt-4o", TODAY) == money.parse("2.5")
    assert price(local, "gpt-4o", december) == money.parse("2")
    assert price(local, "gpt-4o-2024-08-06", december) == money.parse("2")  # the alias is that snapshot
    assert price(local, "gpt-4o", january) == money.parse("2.5")
    assert price(local, "acme-1", TODAY, "output") == money.parse("5")
    entry = local.find("gpt-4o", "input", "", "", december)
    assert entry is not None
    assert (entry.id, entry.source, entry.place) == ("local:gpt-4o/input@2026-12-01", "contract 7", "prices.csv:2")


def test_the_digest_is_of_all_that_decides_an_amount(book: Book, listed: Book) -> None:
    assert book.digest == books.load().digest
    assert len({book.digest, listed.digest, book.overlaid(LOCAL).digest}) == 3
    noted = LOCAL.replace("promotion", "another note")
    assert book.overlaid(noted).digest == book.overlaid(LOCAL).digest
    dearer = LOCAL.replace("1.25", "1.26")
    assert book.overlaid(dearer).digest != book.overlaid(LOCAL).digest


def test_layers_can_be_laid_on_layers(book: Book) -> None:
    cheaper = LOCAL.replace("1M_tokens,2,", "1M_tokens,1,")
    customer = book.overlaid(LOCAL).overlaid(cheaper, layer="customer")
    entry = customer.find("gpt-4o", "input", "", "", datetime(2026, 12, 1, tzinfo=UTC))
    assert entry is not None
    assert (entry.id, entry.price) == ("customer:gpt-4o/input@2026-12-01", "1")


def test_stand_ins_depend_on_the_instant(book: Book) -> None:
    assert list(book.stand_ins("gpt-4o", datetime(2024, 6, 1, tzinfo=UTC))) == ["gpt-4o", "gpt-4o-2024-05-13"]
    assert list(book.stand_ins("gpt-4o", TODAY)) == ["gpt-4o", "gpt-4o-2024-08-06"]
    assert list(book.stand_ins("gpt-5-codex", TODAY)) == ["gpt-5-codex", "gpt-5", "gpt-5-2025-08-07"]
    assert "gpt-5-codex" not in list(book.stand_ins("gpt-5", TODAY))  # a rate card is shared in one direction only


def test_prices_go_on_after_the_shutdown(book: Book) -> None:
    for model, shutdown in book.lifecycle.items():
        launched = [entry for entry in book.entries() if entry.key[0] == model and entry.effective_to == ""]
        if launched and shutdown <= TODAY.date():
            assert book.in_force(model, TODAY), model


def test_a_price_list(book: Book) -> None:
    entries = {entry.key[1:]: entry.price for entry in book.in_force("gpt-4-1106-preview", TODAY)}
    assert entries == {("input", "", ""): "10", ("output", "", ""): "20"}
    names = set(book.models)
    assert {"gpt-4", "gpt-4.1-2025-04-14", "gpt-5-codex", "ft:gpt-4-0613"} <= names
    assert "*" not in names
    assert all(book.card(name) is not None for name in names)


def test_published_entries_never_change(book: Book) -> None:
    """A price that was ever shipped is never edited: append a new entry, and its line below to the frozen file."""
    frozen = dict(line.split() for line in FROZEN.read_text("utf-8").splitlines())
    digests = {entry.id: entry.digest for entry in book.entries()}
    changed = [name for name, digest in frozen.items() if digests.get(name) != digest]
    assert not changed, f"shipped entries were edited or removed: {changed}"
    added = [f"{name} {digest}" for name, digest in sorted(digests.items()) if name not in frozen]
    assert not added, "append to frozen_entries.txt:\n" + "\n".join(added)


def test_entries_are_named_uniquely(book: Book) -> None:
    assert max(Counter(entry.id for entry in book.entries()).values()) == 1


def test_the_book_passes_its_own_checks(book: Book) -> None:
    found = check.findings(book, TODAY.date())
    kinds = Counter(finding.check for finding in found)
    assert kinds == {"off-list": 7, "question": len(book.questions)}
    assert all(finding.reason for finding in found)


def test_loading_is_fast() -> None:
    began = time.perf_counter()
    assert books.load().digest
    assert time.perf_counter() - began < 0.1


def test_importing_reads_nothing_and_pulls_in_nothing_heavy() -> None:
    program = """
import sys
def refuse(event, args):
    if event == "open" and "tables" in str(args[0]):
        raise SystemExit(f"importing opened {args[0]}")
sys.addaudithook(refuse)
import pricing, pricing.rating, pricing.check, pricing.peers
heavy = {"sqlalchemy", "psycopg", "litestar", "tiktoken", "httpx", "asyncio", "click"} & set(sys.modules)
sys.exit(f"importing pulled in {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("name", ["gpt-4", "tts-1-hd-1106", "dall-e-2"])
def test_what_the_platform_sells_is_in_the_book(book: Book, name: str) -> None:
    assert book.in_force(name, TODAY)
