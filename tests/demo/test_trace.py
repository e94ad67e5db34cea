"""Reading traces: every row that is one, and the line of every row that is none."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.demo.trace import HEADER, BadRow, Row, TraceError, parse, read


def trace(folder: Path, *rows: str, name: str = "trace.csv", header: str = HEADER) -> Path:
    path = folder / name
    path.write_bytes("\n".join((header, *rows, "")).encode())
    return path


def test_rows_have_their_lines_and_are_utc(tmp_path: Path) -> None:
    path = trace(
        tmp_path,
        "2023-11-16 18:15:46.6805900,374,44",
        "2023-11-16T18:15:46Z,1,0",
        "2023-11-16 18:15:46+05:30,1,2",
    )
    second = datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)
    assert list(read(path)) == [
        Row(2, second.replace(microsecond=680590), 374, 44),
        Row(3, second, 1, 0),
        Row(4, datetime(2023, 11, 16, 12, 45, 46, tzinfo=UTC), 1, 2),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("", "three cells are needed, not ''"),
        ("2023-11-16 18:15:46,374", "three cells are needed"),
        ("2023-11-16 18:15:46,374,44,1", "three cells are needed"),
        ("2023-11-16,374,44", "TIMESTAMP is '2023-11-16'"),
        ("2023-02-30 00:00:00,374,44", "TIMESTAMP is '2023-02-30 00:00:00': day"),
        ("2023-11-16 18:15:46,-1,44", "ContextTokens is '-1'"),
        ("2023-11-16 18:15:46,1.0,44", "ContextTokens is '1.0'"),
        ("2023-11-16 18:15:46,1, 44", "GeneratedTokens is ' 44'"),
        ("2023-11-16 18:15:46,1,٣", "GeneratedTokens is '٣'"),
        ("2023-11-16 18:15:46,1,1e3", "GeneratedTokens is '1e3'"),
        ('2023-11-16 18:15:46,"1",1', "ContextTokens is '\"1\"'"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(tmp_path: Path, row: str, reason: str) -> None:
    path = trace(tmp_path, "2023-11-16 18:15:46,1,2", row, "2023-11-16 18:15:47,3,4")
    first, bad, last = read(path)
    assert (first.line, last.line) == (2, 4)
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert reason in bad.reason


@given(st.binary(max_size=60))
def test_no_line_is_too_strange(line: bytes) -> None:
    found = parse(1, line)
    assert isinstance(found, BadRow) or found.context_tokens >= 0


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="its first line must be TIMESTAMP"):
        list(read(trace(tmp_path, "1,2,3", header="a,b,c")))
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(TraceError):
        list(read(tmp_path / "empty.csv"))
    (tmp_path / "plain.csv.gz").write_text(HEADER)
    with pytest.raises(TraceError):
        list(read(tmp_path / "plain.csv.gz"))


def test_a_damaged_archive_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "\n" + "2023-11-16 18:15:46,374,44\n" * 3).encode())
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-4])
    *rows, last = read(tmp_path / "cut.csv.gz")
    assert [row.line for row in rows] == list(range(2, 2 + len(rows)))
    assert isinstance(last, BadRow)
    assert "damaged" in last.reason


def test_a_line_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    *_, last = read(trace(tmp_path, "1" * 5000, "2023-11-16 18:15:46,1,2"))
    assert last == BadRow(2, "longer than 1000 bytes; from here on this is no trace")
