"""Files as they come: whole, packed, cut, in the wrong spelling; each piece with its line, and nothing half read."""

import gzip
import zlib
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.imports import items as reading
from billing.imports.columns import BY_PATH, COLUMNS, placed
from billing.imports.files import FileError, Source, format_of, opened
from billing.imports.items import Item, items
from billing.metering.events import UsageEvent, read_items
from tests.metering.events import event

BYTES_MAX = 2000
ONE = msgspec.json.encode(event("acct_a", "1"))
TWO = msgspec.json.encode(event("acct_a", "2"))
HEADER = b"id,source,time,account,model,prompt_tokens,completion_tokens,cached_tokens\n"
ROW = b"1,gateway-1,2026-10-05T08:00:00.123Z,acct_a,gpt-4,19,10,\n"


def read(path: Path, content: bytes, kind: str | None = None) -> list[Item]:
    path.write_bytes(content)
    with opened(path) as source:
        return list(items(source, kind or format_of(source), BYTES_MAX))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events"


def told(path: Path, content: bytes) -> str:
    """What is said of a file that cannot be read, or not on."""
    with pytest.raises(FileError) as refused:
        read(path, content)
    return str(refused.value).removeprefix(str(path)).lstrip(" ,")


def first_fault(item: Item) -> tuple[str, str]:
    assert item.fault is not None
    return item.fault.code, item.fault.path


@pytest.mark.parametrize(
    "content",
    [
        ONE + b"\n" + TWO + b"\n",
        ONE + b"\r\n" + TWO,
        b"\xef\xbb\xbf" + ONE + b"\n" + TWO + b"\n",
        gzip.compress(ONE + b"\n", mtime=0) + gzip.compress(TWO + b"\n", mtime=0),
        b"[" + ONE + b",\n" + TWO + b"]",
        b" \n[\n" + ONE + b"\n  ,  " + TWO + b"]\n",
        msgspec.json.format(b"[" + ONE + b"," + TWO + b"]"),
        msgspec.json.format(ONE) + b"\n" + msgspec.json.format(TWO),
        HEADER + ROW + ROW.replace(b"1,", b"2,", 1),
        b"\xef\xbb\xbf" + (HEADER + ROW + b"\n" + ROW.replace(b"1,", b'"2",', 1)).replace(b"\n", b"\r\n"),
    ],
    ids=["lines", "crlf", "bom", "gzip", "array", "blanks", "pretty", "objects", "csv", "csv-crlf-bom"],
)
def test_every_spelling_of_a_file_holds_the_same_events(path: Path, content: bytes) -> None:
    batch = read_items([item.event for item in read(path, content)], single=False)
    assert batch.faults == []
    found = [found for _, found in batch.events]
    assert [(one.id, one.account, one.model) for one in found] == [("1", "acct_a", "gpt-4"), ("2", "acct_a", "gpt-4")]


def test_items_have_their_lines(path: Path) -> None:
    assert [item.line for item in read(path, ONE + b"\n\n" + TWO)] == [1, 3]
    pretty = msgspec.json.format(ONE)
    found = read(path, b"[\n" + pretty + b",\n" + TWO + b"]")
    assert [item.line for item in found] == [2, 2 + pretty.count(b"\n") + 1]
    assert [item.line for item in read(path, HEADER + b"\n" + ROW)] == [3]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty."),
        (b"\xef\xbb\xbf", "is empty."),
        (gzip.compress(b"", mtime=0), "is empty."),
        (ONE.decode().encode("utf-16"), "is UTF-16: write it as UTF-8."),
        (b"PK\x03\x04...", "is a zip archive: only gzip is unpacked here."),
        (b"BZh91AY", "is packed with bzip2: only gzip is unpacked here."),
        (b"\x1f\x8b\x08", "is damaged: Compressed file ended before the end-of-stream marker was reached."),
        (b"[" + ONE, "ends in line 1 before its JSON does, or goes on after it."),
        (b"[" + ONE[:-1], "ends in line 1 before its JSON does, or goes on after it."),
        (b"[" + ONE + b"]]", "line 1: this is no array of objects, nor objects one after another."),
        (b"[" + ONE + b"] x", "ends in line 1 before its JSON does, or goes on after it."),
        (b"[" + ONE + b",\n]", "line 2: this is no array of objects, nor objects one after another."),
        (b"[" + ONE + TWO + b"]", "line 1: this is no array of objects, nor objects one after another."),
        (b"[17," + ONE + b"]", "line 1: this is no array of objects, nor objects one after another."),
        (b"[[" + ONE + b"]]", "line 1: this is no array of objects, nor objects one after another."),
        (b'[{"id":"' + b"x" * 3000, "line 1: An event has at most 2000 bytes (BILLING_BODY_BYTES_MAX)."),
    ],
)
def test_files_that_cannot_be_read_are_named_with_the_place(path: Path, content: bytes, sentence: str) -> None:
    assert told(path, content) == sentence


def test_what_is_before_a_damage_is_read_and_nothing_of_what_is_cut(path: Path) -> None:
    """Two packed blocks, of which the second is cut: its beginning would unpack, in the middle of a line."""
    packer = zlib.compressobj(wbits=31)
    whole = packer.compress(ONE + b"\n") + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(whole + (packer.compress(TWO * 50) + packer.flush())[:-12])
    seen: list[bytes] = []
    with opened(path) as source, pytest.raises(FileError, match=r"is damaged after line 1: Compressed file ended"):
        seen.extend(item.event for item in items(source, "ndjson", 10_000))
    assert seen == [ONE + b"\n"]


def test_a_line_that_is_too_long_is_passed_over(path: Path) -> None:
    long = b'{"id":"' + b"x" * 3_000_000 + b'"}\n'
    found = read(path, ONE + b"\n" + long + TWO)
    assert [item.line for item in found] == [1, 2, 3]
    assert first_fault(found[1]) == ("event_too_large", "$")
    assert found[1].event == b""
    assert first_fault(read(path, HEADER + b"x" * 3000 + b"\n")[0]) == ("event_too_large", "$")


def test_lines_that_are_not_utf8_are_faults_of_theirs(path: Path) -> None:
    found = read(path, ONE.replace(b"gpt-4", b"\xff") + b"\n" + TWO)
    batch = read_items([item.event for item in found], single=False)
    assert [index for index, _ in batch.events] == [1]
    assert {fault.path for fault in batch.faults} == {"$.model"}
    assert first_fault(read(path, HEADER + b"\xff" + ROW)[0])[0] == "malformed_csv"


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.lists(st.text())), min_size=1, max_size=5), st.integers(1, 40)
)
@settings(deadline=None)
def test_an_array_is_taken_apart_wherever_it_is_cut_into_pieces(objects: list[Any], chunk: int) -> None:
    content = msgspec.json.encode(objects)
    file = BufferedReader(BytesIO(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_BYTES", chunk)
        found = list(items(Source("events", file, file, None), "json", 100_000))
    assert [msgspec.json.decode(item.event) for item in found] == objects


# ── CSV ──
def test_every_column_is_a_field_of_an_event_and_all_plain_fields_are_columns() -> None:
    fields = {name for name in UsageEvent.__struct_fields__ if name not in ("usage", "content", "upstream")}
    assert {column.path[0] for column in COLUMNS.values()} == fields | {"usage", "upstream"}
    assert len(BY_PATH) == len(COLUMNS)


def test_cells_are_values_of_their_kind(path: Path) -> None:
    header = (
        b"id,source,time,api_key_hash,model,stream,status,upstream,upstream_cost,prompt_tokens,cached_tokens,seconds\n"
    )
    [item] = read(path, header + b'1,"a,""b""",t,h,m,true,200,u,0.00117,19,3,1.5\n')
    assert msgspec.json.decode(item.event) == {
        "id": "1",
        "source": 'a,"b"',
        "time": "t",
        "api_key_hash": "h",
        "model": "m",
        "stream": True,
        "status": 200,
        "upstream": {"name": "u", "cost": "0.00117"},
        "usage": {"prompt_tokens": 19, "prompt_tokens_details": {"cached_tokens": 3}, "seconds": 1.5},
    }


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"id,source,time,account,modle\n", "'modle' in its first line is no column; did you mean model?"),
        (b"id;source;time\n", "'id;source;time' in its first line is no column; did you mean source?"),
        (b"id,source,time,account\n", "its first line has no model."),
        (b"id,source,time,model\n", "its first line has no account or api_key or api_key_hash."),
        (b"id,id,source,time,account,model\n", "its first line has id twice."),
        (
            b"TIMESTAMP,ContextTokens\n",
            "'TIMESTAMP' in its first line is no column. docs/operations.md lists them all.",
        ),
        (b"hello\n", "'hello' in its first line is no column. docs/operations.md lists them all."),
    ],
)
def test_a_first_line_with_other_columns_is_refused(path: Path, header: bytes, sentence: str) -> None:
    assert told(path, header + ROW).removeprefix("is not read as CSV: ") == sentence


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (ROW[:-1], "cut_line"),
        (b"1,2,3\n", "malformed_csv"),
        (ROW[:-1] + b",9\n", "malformed_csv"),
        (b'"1' + ROW, "malformed_csv"),
        (b'"1"x' + ROW, "malformed_csv"),
    ],
)
def test_rows_that_are_none_are_refused(path: Path, row: bytes, code: str) -> None:
    [bad, good] = read(path, HEADER + row + (b"" if code == "cut_line" else ROW)) + ([Item(0)] * (code == "cut_line"))
    assert first_fault(bad)[0] == code
    assert good.fault is None


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({b"19": b"x"}, "prompt_tokens"),
        ({b"19": b"1e3"}, "prompt_tokens"),
        ({b"19": b"019"}, "prompt_tokens"),
        ({b"19": b"1.5"}, "prompt_tokens"),
        ({b"19": b"-1"}, "prompt_tokens"),
        ({b"gpt-4": b""}, "model"),
        ({b"2026": b"20x6"}, "time"),
    ],
)
def test_cells_at_fault_are_named_by_their_column(path: Path, cells: dict[bytes, bytes], column: str) -> None:
    row = ROW
    for old, new in cells.items():
        row = row.replace(old, new)
    [item] = read(path, HEADER + row)
    batch = read_items([item.event], single=False)
    if batch.events:  # the usage is read later
        batch = read_items([item.event.replace(b'"model"', b'"status":1,"model"')], single=False)
    assert column in {placed(fault).path for fault in batch.faults}
