"""Token counting measured: accuracy against recorded API answers, and speed against raw tiktoken on the same text.

python benchmarks/tokens.py --score [VECTORS]   a table by side, model family and category, then by source repository
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
from collections.abc import Callable, Iterator
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
    """Counts over the sides (input, output) of recordings; `caught` of `countable` inflated copies were accused.

    Not countable: what has no upper bound, images of unknown size, and the output of models that reason unseen.
    """

    sides: int = 0
    exact: int = 0
    within: int = 0
    over: int = 0
    under: int = 0
    countable: int = 0
    caught: int = 0
    worst: int = 0
    misses: list[str] = field(default_factory=list)

    def add(self, side: counting.Side, name: str, countable: bool) -> None:
        counted, reported = side.counted, side.reported
        if counted is None or reported is None:
            return
        self.sides += 1
        self.exact += reported == counted.likely
        self.within += counted.holds(reported)
        self.under += side.verdict == "under_reported"
        if side.verdict == "over_reported":
            self.over += 1
            self.misses.append(f"{name} +{reported - (counted.high or 0)}")
        self.worst = max(self.worst, abs(reported - counted.likely))
        if countable and counted.high is not None:
            self.countable += 1
            self.caught += not counted.holds(inflated(reported))

    def line(self) -> str:
        share = f"{self.caught / self.countable:7.1%}" if self.countable else "      –"
        shares = f"{self.exact / self.sides:7.1%} {self.within / self.sides:7.1%}"
        return f"{self.sides:6} {shares} {self.over:5} {self.under:6} {self.countable:9} {share} {self.worst:6}"


def inflated(reported: int) -> int:
    """5 % or 20 tokens more, the larger."""
    return reported + max(20, -(-reported // 20))


def verified(row: Row) -> counting.Verification:
    path = row.get("endpoint") or "/v1/chat/completions"
    return counting.verify(path, row["model"] or "", request_of(row), response_of(row), row["usage"])


def scores(rows: Iterator[Row]) -> tuple[dict[tuple[str, ...], Score], dict[tuple[str, ...], Score]]:
    """(by side, family and category; by side and source repository)."""
    situations: dict[tuple[str, ...], Score] = defaultdict(Score)
    sources: dict[tuple[str, ...], Score] = defaultdict(Score)
    for row in rows:
        found = verified(row)
        family = counting.model(row["model"] or "")
        for name, side in (("input", found.input), ("output", found.output)):
            situation = (name, family.family if family else "?", str(row["category"]))
            for score in (situations[situation], sources[name, row["source"].split("@")[0].split(" ")[0]]):
                score.add(side, row["id"], _is_countable(name, family, str(row["category"])))
    return situations, sources


def _is_countable(name: str, family: counting.Model | None, category: str) -> bool:
    if name == "input":
        return category != "chat:image_url_unknown_size"
    return not (family and family.reasons)


def print_scores(path: Path) -> None:
    for table in scores(recordings(path)):
        print(" " * 63 + "sides   exact  within  over  under countable  caught  worst  false accusations")
        total = {"input": Score(), "output": Score()}
        for key, score in sorted(table.items()):
            if score.sides:
                print(f"{' · '.join(key):62}{score.line()}  {' '.join(score.misses)}")
                _merge(total[key[0]], score)
        for name, score in total.items():
            print(f"{'all ' + name:62}{score.line()}")


def _merge(total: Score, score: Score) -> None:
    for name in ("sides", "exact", "within", "over", "under", "countable", "caught"):
        setattr(total, name, getattr(total, name) + getattr(score, name))
    total.worst = max(total.worst, score.worst)


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
