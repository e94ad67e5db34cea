"""Token counting measured: accuracy against recorded API answers, and speed against raw tiktoken on the same text.

python benchmarks/tokens.py --score [VECTORS]   exact, within, accused, caught: by side, family and category; by source
                                                repository; as the shared README groups them; one repository left out
python benchmarks/tokens.py                     the ratio of counting to raw tiktoken, on one and two threads
"""

import argparse
import base64
import json
import lzma
import re
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pricing.tokens as counting
from pricing.tokens import encodings

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "data" / "tokens" / "vectors.jsonl.xz"
Row = dict[str, Any]


# ── recordings ──
def recordings(path: Path) -> Iterator[Row]:
    """Answers that the API really gave and nobody edited, whose texts are whole."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            edited = row.get("suspect_hand_edited") or "elided base64" in line
            if str(row["kind"]).startswith("recorded") and row.get("usage") and row.get("request") and not edited:
                yield row


def request_of(row: Row) -> Row:
    """The request, with a real PNG header in place of each `<elided WxH>`."""
    healed: Row = _heal(row["request"])
    return healed


def _heal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _heal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_heal(item) for item in value]
    if isinstance(value, str) and "<elided" in value:
        return re.sub(r"<elided (\d+)x(\d+)>", lambda m: png(int(m[1]), int(m[2])), value)
    return value


def png(width: int, height: int) -> str:
    """The beginning of a PNG of that size, in base64."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0" + bytes(40)
    return base64.b64encode(header).decode()


def response_of(row: Row) -> Row:
    """The response in the API's own shape, from the vector's texts and calls (lists: one for each choice)."""
    texts, calls = row.get("response_text"), row.get("response_tool_calls") or []
    if row["category"] == "responses":
        said = [{"type": "message", "content": [{"text": text}]} for text in _list(texts) if text]
        called = [{"type": "function_call", **call} for group in calls for call in _list(group)]
        return {"output": said + called}
    if row["category"] == "completions":
        return {"choices": [{"text": text, "finish_reason": "stop"} for text in _list(texts)]}
    if not row["category"].startswith("chat"):
        return {}
    finish, legacy = row.get("finish_reason") or [], _list(row.get("response_function_call"))
    size = max(len(_list(texts)), len(calls), len(legacy), 1)
    return {"choices": [_choice(i, _list(texts), calls, legacy, finish) for i in range(size)]}


def _choice(at: int, texts: list[Any], calls: list[Any], legacy: list[Any], finish: list[Any]) -> Row:
    message: Row = {"role": "assistant", "content": texts[at] if at < len(texts) else None}
    if at < len(calls) and calls[at]:
        message["tool_calls"] = [{"type": "function", "function": call} for call in _list(calls[at])]
    if at < len(legacy) and legacy[at]:
        message["function_call"] = legacy[at]
    return {"message": message, "finish_reason": finish[at] if at < len(finish) else "stop"}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


# ── score ──
@dataclass
class Score:
    """Counts over the sides (input, output) of recordings.

    `caught` of `countable` copies inflated by 5 % or 20 tokens were accused, and `found` of `lowered` copies, deflated
    by as much. Not countable: what has no upper bound, images of unknown size, the output of models that reason unseen.
    """

    sides: int = 0
    exact: int = 0
    near: int = 0
    close: int = 0
    within: int = 0
    over: int = 0
    under: int = 0
    countable: int = 0
    caught: int = 0
    lowered: int = 0
    found: int = 0
    worst: int = 0
    misses: list[str] = field(default_factory=list)

    def add(self, side: counting.Side, name: str, countable: bool) -> None:
        counted, reported = side.counted, side.reported
        if counted is None or reported is None:
            return
        off = abs(reported - counted.likely)
        self.sides += 1
        self.exact += off == 0
        self.near += off <= 1
        self.close += off <= 5
        self.worst = max(self.worst, off)
        self.within += counted.holds(reported)
        self.under += side.verdict == "under_reported"
        if side.verdict == "over_reported":
            self.over += 1
            self.misses.append(f"{name} +{reported - (counted.high or 0)}")
        if countable and counted.high is not None:
            self.countable += 1
            self.caught += reported + step(reported) > counted.high
            self.lowered += reported > step(reported)
            self.found += reported > step(reported) and reported - step(reported) < counted.low

    def merge(self, other: "Score") -> None:
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.worst = max(self.worst, other.worst)

    def line(self) -> str:
        shares = f"{share(self.exact, self.sides)} {share(self.near, self.sides)} {share(self.close, self.sides)}"
        judged = f"{share(self.within, self.sides)} {self.over:4} {self.under:5}"
        more = f"{self.countable:7} {share(self.caught, self.countable)}"
        less = f"{self.lowered:8} {share(self.found, self.lowered)}"
        return f"{self.sides:6} {shares} {judged} {more} {less} {self.worst:6}"


_SUMS = ("sides", "exact", "near", "close", "within", "over", "under", "countable", "caught", "lowered", "found")
_HEAD = " sides   exact     ±1     ±5  within over under inflated caught deflated  found  worst  false accusations"


def share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%}" if whole else "     –"


def step(reported: int) -> int:
    """5 % or 20 tokens, the larger: what a dishonest report is inflated or deflated by."""
    return max(20, -(-reported // 20))


def inflated(reported: int) -> int:
    return reported + step(reported)


def verified(row: Row) -> counting.Verification:
    path = row.get("endpoint") or "/v1/chat/completions"
    return counting.verify(path, row["model"] or "", request_of(row), response_of(row), row["usage"])


Table = dict[tuple[str, ...], Score]


def source_of(row: Row) -> str:
    return str(row["source"]).split("@")[0].split(" ")[0]


def scores(rows: Iterable[Row]) -> tuple[Table, Table]:
    """(by side, family and category; by side and source repository)."""
    situations: Table = defaultdict(Score)
    sources: Table = defaultdict(Score)
    for row in rows:
        family = counting.model(row["model"] or "")
        for name, side in sides(verified(row)):
            situation = (name, family.family if family else "?", str(row["category"]))
            for score in (situations[situation], sources[name, source_of(row)]):
                score.add(side, row["id"], _is_countable(name, family, row))
    return situations, sources


def sides(found: counting.Verification) -> tuple[tuple[str, counting.Side], ...]:
    return ("input", found.input), ("output", found.output)


def _is_countable(name: str, family: counting.Model | None, row: Row) -> bool:
    if name == "output":
        return not (family and family.reasons)
    return row["category"] != "chat:image_url_unknown_size" and not _has_remote_image(row["request"])


def _has_remote_image(value: Any) -> bool:
    if isinstance(value, dict):
        address = value.get("image_url")
        address = address.get("url") if isinstance(address, dict) else address
        remote = isinstance(address, str) and not address.startswith("data:")
        return remote or any(map(_has_remote_image, value.values()))
    return isinstance(value, list) and any(map(_has_remote_image, value))


# (what, the first formula's score in the shared README, families, categories)
_TEXT, _TOOLS, _HISTORY = ("chat:text", "chat:name"), ("chat:tools",), ("chat:tool_history", "chat:tool_history+tools")
_LATER = ("gpt-3.5-turbo", "gpt-4-turbo", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano")
_FIVES = ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-chat", "gpt-5.x", "gpt-5.6")
_PARALLEL, _IMAGES = ("chat:parallel_tool_history",), ("chat:image", "chat:image+tools")
GROUPS: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
    ("text: gpt-4-0613, gpt-3.5-turbo-0613", "590/592", ("gpt-4", "gpt-3.5-turbo-0613"), _TEXT),
    ("text: gpt-3.5-turbo-0125 … gpt-4.1", "4,272/4,300", _LATER, _TEXT),
    ("text: gpt-3.5-turbo-0301", "27/31", ("gpt-3.5-turbo-0301",), _TEXT),
    ("text: gpt-5", "131/131", _FIVES, _TEXT),
    ("text: o3-mini, o3, o4-mini", "31/32", ("o3-mini", "o3"), _TEXT),
    ("tools: gpt-4-0613", "19/136, 86 within 5", ("gpt-4", "gpt-3.5-turbo-0613"), _TOOLS),
    ("tools: gpt-3.5-turbo-0125 … gpt-4.1", "528/643, 615 within 5", _LATER, _TOOLS),
    ("tools: gpt-5", "169/184, 184 within 1", _FIVES, _TOOLS),
    ("tool history", "451/615, 602 within 1", _LATER, _HISTORY),
    ("tool history: gpt-5", "75/180", _FIVES, _HISTORY),
    ("parallel tool history", "not modelled", (*_LATER, *_FIVES), _PARALLEL),
    ("json_schema", "not modelled", (*_LATER, *_FIVES), ("chat:json_schema",)),
    ("images of known size", "46/51", (), _IMAGES),
    ("embeddings", "179/182", (), ("embeddings",)),
    ("completions", "68/71 (instruct)", (), ("completions",)),
]


def grouped(situations: Table) -> Iterator[tuple[str, str, Score]]:
    """Inputs as the shared README groups them: (what, its score, ours)."""
    for what, published, families, categories in GROUPS:
        total = Score()
        for (name, family, category), score in situations.items():
            if name == "input" and category in categories and (not families or family in families):
                total.merge(score)
        yield what, published, total


def left_out(rows: Iterable[Row]) -> dict[str, tuple[int, int, int]]:
    """What each repository would have met, had the others alone set the widths: source → (sides, outside, accused).

    outside: errors beyond the widest error of the others for the same side, layout and category, plus 2 tokens.
    accused: outside the interval that is declared. What has no upper bound or is in no other repository is left aside.
    """
    errors: dict[tuple[str, ...], list[tuple[str, int, bool]]] = defaultdict(list)
    for row in rows:
        family = counting.model(row["model"] or "")
        for name, side in sides(verified(row)):
            counted, reported = side.counted, side.reported
            if family is None or counted is None or reported is None or counted.high is None:
                continue
            situation = (name, family.layout, str(row["category"]))
            errors[situation].append((source_of(row), reported - counted.likely, not counted.holds(reported)))
    result: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for found in errors.values():
        for source, error, accused in found:
            others = [other for place, other, _ in found if place != source]
            if others:
                outside = not min(others) - 2 <= error <= max(others) + 2
                counts = result[source]
                result[source] = (counts[0] + 1, counts[1] + outside, counts[2] + accused)
    return dict(result)


def print_scores(path: Path) -> None:
    rows = list(recordings(path))
    situations, sources = scores(rows)
    for table in (situations, sources):
        print(" " * 62 + _HEAD)
        total = {"input": Score(), "output": Score()}
        for key, score in sorted(table.items()):
            if score.sides:
                print(f"{' · '.join(key):62}{score.line()}  {' '.join(score.misses)}")
                total[key[0]].merge(score)
        for name, score in total.items():
            print(f"{'all ' + name:62}{score.line()}")
    print(f"{'inputs':38} {'first formula':24}{_HEAD}")
    for what, published, score in grouped(situations):
        print(f"{what:38} {published:24}{score.line()}")
    print(f"{'one repository left out':62}{'sides':>6} beyond the others' errors  accused")
    for source, counts in sorted(left_out(rows).items()):
        print(f"{source:62}{counts[0]:6} {counts[1]:24}  {counts[2]:7}")


# ── speed ──
def conversations() -> list[Row]:
    """Chat requests of about 3,000 characters of English, Chinese and code."""
    paragraphs = (
        "The committee met on Tuesday to weigh the proposal; nobody, it seems, had read all 312 pages of it. ",
        "委员会星期二开会讨论这项提案，似乎没有人读完全部三百一十二页。代币是最小的单位，一个汉字通常是一到两个。",
        "def rate(usage: Usage, book: Book) -> list[Line]:\n    return [line(book, k, n) for k, n in usage.items()]\n",
    )
    return [
        {
            "messages": [
                {"role": "system", "content": "You are helpful."},
                {"role": "user", "content": (text * 60)[:3000] + str(i)},
            ]
        }
        for text in paragraphs
        for i in range(100)
    ]


def texts_of(request: Row) -> list[str]:
    return [message["content"] for message in request["messages"]]


def seconds(work: Callable[[Row], Any], requests: list[Row], threads: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(
            lambda part: [work(request) for request in part], [requests[i::threads] for i in range(threads)]
        ):
            pass
    return time.perf_counter() - started


def timed(model: str, threads: int, requests: list[Row], rounds: int = 25) -> tuple[float, float]:
    """(seconds of raw tiktoken, seconds of counting): the round of the median ratio; rounds alternate against noise."""
    family = counting.model(model)
    raw = encodings.get("cl100k_base" if family and family.encoding == "cl100k_base" else "o200k_base")

    def plain(request: Row) -> int:
        return sum(len(raw.encode_ordinary(text)) for text in texts_of(request))

    def full(request: Row) -> counting.Counted:
        return counting.count("/v1/chat/completions", model, request)

    times = [(seconds(plain, requests, threads), seconds(full, requests, threads)) for _ in range(rounds)]
    return sorted(times, key=lambda pair: pair[0] / pair[1])[rounds // 2]


def print_speed() -> None:
    counting.preload()
    requests = conversations()
    size = sum(len(text.encode()) for request in requests for text in texts_of(request)) / 1e6
    for model in ("gpt-4o", "gpt-4"):
        for threads in (1, 2):
            raw, full = timed(model, threads, requests)
            speeds = f"tiktoken {size / raw:5.1f} MB/s, counting {size / full:5.1f} MB/s"
            print(f"{model:7} {threads} thread(s): {speeds}, ratio {raw / full:.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", nargs="?", type=Path, const=VECTORS, metavar="VECTORS")
    path = parser.parse_args().score
    if path is None:
        print_speed()
    elif path.exists():
        print_scores(path)
    else:
        print(f"no recordings at {path.name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
