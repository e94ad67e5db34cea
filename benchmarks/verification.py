"""What it costs to count the text of events at intake, beside raw tiktoken on the same texts in the same run.

Three questions, on a real service with an embedded PostgreSQL:
  1. how many MB of text a second are verified, alone and over HTTP, and what part of raw tiktoken's speed that is;
  2. how long a read of a balance takes while texts are counted, and what multiple of its time when nothing is;
  3. how many events without text a second are booked.
The service, its counting processes, PostgreSQL, and what posts and measures here share the machine's cores.
"""

import asyncio
import http.client
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks.tokens import Row, conversations, texts_of
from billing.cli.serve import answer_promptly
from billing.demo.service import Service, service
from billing.metering.verifier import Exchange, Verifier
from billing.settings import Settings
from pricing.tokens import Count, Reported, count, encodings

MODEL = "gpt-4o"
ACCOUNT = "acct_bench"
EVENTS = 3_000
BATCH = 100
POSTERS = 3
READERS, READS_A_SECOND = 8, 20
READING_SECONDS = 10.0
READING_ROUNDS = 3
ROUNDS = 7
RUN = "run-00000000"  # begins the ids of a body; replaced for each post, so that every event is a new one


# ── what is posted ──
def exchanges() -> list[Row]:
    """Requests of about 3,000 characters of English, Chinese and code, each with an answer of a third of that.

    Their reports are true.
    """
    asked = [{"model": MODEL, **one} for one in conversations()]
    given = [{"request": one, "response": answer(one)} for one in asked]
    return given * (EVENTS // len(given))


def answer(request: Row) -> Row:
    message = {"role": "assistant", "content": texts_of(request)[-1][:1_000]}
    whole = {"model": MODEL, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    found = count("/v1/chat/completions", MODEL, request, whole)
    assert isinstance(found.input, Count)
    assert isinstance(found.output, Count)
    return {**whole, "usage": {"prompt_tokens": found.input.likely, "completion_tokens": found.output.likely}}


def texts(one: Row) -> list[str]:
    return [*texts_of(one["request"]), one["response"]["choices"][0]["message"]["content"]]


def bodies(contents: list[Row | None]) -> list[bytes]:
    events = [event(number, content) for number, content in enumerate(contents)]
    return [json.dumps(events[at : at + BATCH], ensure_ascii=False).encode() for at in range(0, len(events), BATCH)]


def event(number: int, content: Row | None) -> Row:
    plain = {"id": f"{RUN}-{number}", "source": "bench", "time": "2026-11-20T08:00:00Z", "account": ACCOUNT}
    plain |= {"model": MODEL, "endpoint": "/v1/chat/completions"}
    if content is None:
        return {**plain, "usage": {"prompt_tokens": 700, "completion_tokens": 230, "total_tokens": 930}}
    return {**plain, "usage": content["response"]["usage"], "content": content}


# ── 1. speed ──
def raw_worker(parts: list[str]) -> int:
    encode = encodings.get("o200k_base").encode_ordinary
    return sum(len(encode(text)) for text in parts)


def raw_seconds(pool: ProcessPoolExecutor, parts: list[list[str]]) -> float:
    began = time.perf_counter()
    list(pool.map(raw_worker, parts))
    return time.perf_counter() - began


async def alone(contents: list[Row], pool: ProcessPoolExecutor, parts: list[list[str]]) -> tuple[float, float]:
    """(seconds of raw tiktoken, of the verifier in this process): the round of the median ratio."""
    verifier = Verifier(Settings(verification_seconds_max=60, verification_waiting_bytes_max=1 << 30))
    given = [
        Exchange(
            endpoint="/v1/chat/completions",
            model=MODEL,
            content=json.dumps(content, ensure_ascii=False).encode(),
            reported=Reported.from_usage(content["response"]["usage"]),
        )
        for content in contents
    ]
    await verifier.verify(given)
    answer_promptly()  # as the service does
    rounds = []
    for _ in range(ROUNDS):
        raw = raw_seconds(pool, parts)
        began = time.perf_counter()
        found = await verifier.verify(given)
        rounds.append((raw, time.perf_counter() - began))
        assert all(one.verification.verdict == "exact" for one in found)
    await verifier.close()
    return sorted(rounds, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]


class Poster:
    """Posts bodies from a few threads, each over a connection of its own."""

    def __init__(self, url: str, key: str) -> None:
        self.host, self.key = urlsplit(url).netloc, key
        self.posted = 0
        self.busy = 0
        self.lock = threading.Lock()

    def post_all(self, given: list[bytes], stop: Event | None = None) -> float:
        """Seconds to post all of them; with `stop`, again and again until it is set."""
        waiting = self._turns(given, stop)
        threads = [threading.Thread(target=self._post, args=(waiting,)) for _ in range(POSTERS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def _turns(self, given: list[bytes], stop: Event | None) -> Iterator[bytes]:
        while True:
            yield from given
            if stop is None or stop.is_set():
                return

    def _post(self, waiting: Iterator[bytes]) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        while True:
            with self.lock:
                body = next(waiting, None)
                self.posted += 1
            if body is None:
                return
            run = f"run-{os.getpid() % 1000:03}{self.posted:05}".encode()
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/events", body.replace(RUN.encode(), run), headers)
            answered = connection.getresponse()
            said = answered.read()
            assert answered.status < 300, said[:500]
            self.busy += said.count(b"busy: ")


def posting(url: str, key: str, given: list[bytes], stop: Event) -> None:
    """The process that keeps the service counting."""
    Poster(url, key).post_all(given, stop)


# ── 2. reads ──
async def latencies(url: str, key: str, seconds: float) -> list[float]:
    """Milliseconds of each of some hundred reads a second, by a few clients with a connection each."""
    found = await asyncio.gather(*(reader(url, key, seconds, number / READERS) for number in range(READERS)))
    return sorted(one for part in found for one in part)


async def reader(url: str, key: str, seconds: float, phase: float) -> list[float]:
    host = urlsplit(url)
    incoming, outgoing = await asyncio.open_connection(host.hostname, host.port)
    head = f"GET /v1/balance?account={ACCOUNT} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"
    taken = []
    began = time.perf_counter()
    turn = began + phase / READS_A_SECOND
    while turn < began + seconds:
        await asyncio.sleep(max(0, turn - time.perf_counter()))
        sent = time.perf_counter()
        outgoing.write(head.encode())
        answered = (await incoming.readuntil(b"\r\n\r\n")).lower()
        await incoming.readexactly(int(answered.split(b"content-length: ")[1].split(b"\r\n")[0]))
        taken.append(1_000 * (time.perf_counter() - sent))
        assert answered.startswith(b"http/1.1 200"), answered
        turn += 1 / READS_A_SECOND
    outgoing.close()
    return taken


def percentile(sorted_values: list[float], part: float) -> float:
    return sorted_values[min(len(sorted_values) - 1, int(part * len(sorted_values)))]


Latencies = list[float]


def read_beside_counting(ours: Service, given: list[bytes]) -> tuple[Latencies, Latencies]:
    """Reads when nothing else is done, then reads beside counting."""
    idle = asyncio.run(latencies(ours.url, ours.admin_key, READING_SECONDS))
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    poster = context.Process(target=posting, args=(ours.url, ours.admin_key, given, stop))
    poster.start()
    time.sleep(3)  # until it posts
    loaded = asyncio.run(latencies(ours.url, ours.admin_key, READING_SECONDS))
    stop.set()
    poster.join()
    return idle, loaded


def print_reads(rounds: list[tuple[Latencies, Latencies]], part: float) -> None:
    """The round of the median ratio, and the ratios of all."""
    found = sorted(((percentile(a, part), percentile(b, part)) for a, b in rounds), key=lambda pair: pair[1] / pair[0])
    idle, loaded = found[len(found) // 2]
    every = ", ".join(f"{b / a:.1f}" for a, b in found)
    told = f"{idle:7.1f} ms idle, {loaded:.1f} ms while counting: {loaded / idle:.1f} ×"
    print(f"balance p{100 * part:<2.0f}               {told} (rounds: {every})")


# ── all of it ──
def create_account(ours: Service) -> None:
    connection = http.client.HTTPConnection(urlsplit(ours.url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {ours.admin_key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/accounts", json.dumps({"id": ACCOUNT, "name": "Bench"}), headers)
    answered = connection.getresponse()
    assert answered.status < 300, answered.read()


def main() -> None:
    contents = exchanges()
    size = sum(len(text.encode()) for one in contents for text in texts(one)) / 1e6
    cores = os.cpu_count() or 1
    parts: list[list[str]] = [[text for one in contents[at::cores] for text in texts(one)] for at in range(cores)]
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), os.nice, (19,)) as pool:  # as ours are
        raw_seconds(pool, parts)
        raw, full = uvloop.run(alone(contents, pool, parts))  # as uvicorn does
        print(f"tiktoken, {cores} processes     {size / raw:7.1f} MB/s of text ({len(contents)} exchanges)")
        print(f"the verifier alone        {size / full:7.1f} MB/s   {raw / full:.2f} of it")
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            with service(Settings(), Path(folder)) as ours:
                measure_service(ours, contents, size, pool, parts)


def measure_service(
    ours: Service, contents: list[Any], size: float, pool: ProcessPoolExecutor, parts: list[list[str]]
) -> None:
    create_account(ours)
    given = bodies(contents)
    poster = Poster(ours.url, ours.admin_key)
    poster.post_all(given[:2])
    rounds = [(raw_seconds(pool, parts), poster.post_all(given)) for _ in range(ROUNDS)]
    raw, posted = sorted(rounds, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
    print(f"posted over HTTP          {size / posted:7.1f} MB/s   {raw / posted:.2f} of it   {poster.busy} busy")
    reads = [read_beside_counting(ours, given) for _ in range(READING_ROUNDS)]
    for part in (0.5, 0.99):
        print_reads(reads, part)
    plain = bodies([None] * 20_000)
    rates = [20_000 / poster.post_all(plain) for _ in range(ROUNDS)]
    print(f"events without text       {statistics.median(rates):7.0f} events/s")


if __name__ == "__main__":
    main()
