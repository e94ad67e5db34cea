"""GET /v1/prices as JSON and CSV, and how cheaply it can be asked for again."""

import csv
import gzip
import io
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from billing.prices import lists
from billing.prices.catalogue import ANY_MODEL, PriceView, last_change, prices
from billing.prices.documents import document, fresh_seconds, is_known, takes_gzip
from pricing.book import Book

HEAD = "model,dimension,tier,context,unit,price,effective_from,effective_to,confidence,source,checked,note\n"


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_csv_says_what_json_says(anybody: httpx.AsyncClient) -> None:
    as_json = (await anybody.get("/v1/prices")).json()["data"]
    answer = await anybody.get("/v1/prices", params={"format": "csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert records(answer.text) == [{name: str(value) for name, value in price.items()} for price in as_json]
    assert answer.text.startswith("model,dimension,variant,unit,")
    assert answer.text.count("\r\n") == answer.text.count("\n") == len(as_json) + 1


async def test_one_model_as_csv(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/v1/prices/openai/tts-1", params={"format": "csv", "at": "2024-01-01"})
    (price,) = records(answer.text)
    assert (price["model"], price["official_unit_price"], price["unit_price"]) == ("tts-1", "15", "7.5")


async def test_both_sides_of_a_change(anybody: httpx.AsyncClient) -> None:
    """gpt-4o: 5 → 2.5 on 2024-10-02. Any instant between two changes answers with the one document between them."""
    found = {}
    for at in ("2024-10-01T23:59:59.999999Z", "2024-10-02", "2024-10-02T07:00:00+09:00"):
        data = (await anybody.get("/v1/prices", params={"at": at})).json()["data"]
        found[at] = {(p["model"], p["dimension"], p["variant"]): p["unit_price"] for p in data}["gpt-4o", "input", ""]
    assert list(found.values()) == ["2.5", "1.25", "2.5"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2024-02-30", "soon"])
async def test_no_instant_is_our_fault(anybody: httpx.AsyncClient, at: str) -> None:
    assert (await anybody.get("/v1/prices", params={"at": at})).status_code in (200, 400)


async def test_another_format_is_refused(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/v1/prices", params={"format": "xml"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")


def test_a_list_between_two_changes_is_the_list_at_any_instant_between(book: Book) -> None:
    models = [*book.models, ANY_MODEL]
    for at in (
        datetime(2020, 1, 1, tzinfo=UTC),
        datetime(2024, 7, 30, 13, tzinfo=UTC),
        datetime(2026, 11, 23, tzinfo=UTC),
    ):
        since = last_change(book, at)
        assert since <= at
        seen = [[p.entry for p in prices(book, models, instant, "0.5")] for instant in (since, at)]
        assert seen[0] == seen[1]


def test_cells_that_a_spreadsheet_would_compute(book: Book) -> None:
    row = '"=1+1",input,,,1M_tokens,1,,,A,@SUM(A1),2026-11-23,\n'
    risky = book.overlaid(HEAD + row)
    found = prices(risky, ["=1+1"], datetime.now(UTC), "0.5")
    (record,) = records(lists.as_csv(found, "").decode())
    assert (record["model"], record["source"]) == ("'=1+1", "'@SUM(A1)")
    assert record["unit_price"] == "0.5"


def test_commas_quotes_and_line_breaks_survive() -> None:
    text = 'a "b", c\r\nd'
    price = PriceView(**{**dict.fromkeys(PriceView.__struct_fields__, text), "unit_size": 1})
    (record,) = records(lists.as_csv([price], "").decode())
    assert record["source"] == text


async def test_a_client_that_has_it_is_told_so(anybody: httpx.AsyncClient) -> None:
    for path in ("/v1/prices", "/v1/prices/gpt-4", "/api/pricing", "/api/ratio_config", "/prices"):
        first = await anybody.get(path)
        assert first.headers["Cache-Control"].startswith("public, max-age=")
        again = await anybody.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]


async def test_compressed_for_those_who_can_read_it(anybody: httpx.AsyncClient) -> None:
    plain = await anybody.get("/v1/prices", headers={"Accept-Encoding": "identity"})
    packed = await anybody.get("/v1/prices", headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["Content-Length"]) * 10 < len(plain.content)


async def test_asking_again_is_cheap(anybody: httpx.AsyncClient) -> None:
    """Making it takes 20 ms; answering what is made, whatever instants are asked for, well under that."""
    await anybody.get("/v1/prices")
    day = datetime(2026, 11, 1, tzinfo=UTC)
    started = time.perf_counter()
    for minute in range(50):
        params = {"at": (day + timedelta(minutes=minute)).isoformat()}
        assert (await anybody.get("/v1/prices", params=params)).status_code == 200
    assert (time.perf_counter() - started) / 50 < 0.015


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("br;q=1, gzip ;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("", False),
        ("br", False),
    ],
)
def test_whether_gzip_is_taken(header: str, taken: bool) -> None:
    assert takes_gzip(header) is taken


def test_tags_are_compared_weakly() -> None:
    tag = document(b"a", "text/plain").tag
    assert is_known(tag, tag)
    assert is_known(f'"other", {tag.removeprefix("W/")}', tag)
    assert is_known("*", tag)
    assert not is_known("", tag)
    assert not is_known('"other"', tag)


def test_nothing_is_fresh_beyond_midnight() -> None:
    assert fresh_seconds(datetime(2026, 11, 23, 12, tzinfo=UTC)) == 300
    assert fresh_seconds(datetime(2026, 11, 23, 23, 59, 30, tzinfo=UTC)) == 30


def test_the_same_content_is_the_same_document() -> None:
    assert document(b"prices", "text/plain") == document(b"prices", "text/plain")
    assert gzip.decompress(document(b"prices", "text/plain").compressed) == b"prices"
