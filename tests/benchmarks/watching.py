"""How long people wait for the page: of a job with many rows, of many jobs, and for its start."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Final

from tests.kit.command import Desk
from tests.web.kit import PageServer, Visitor, serving

BLOCK: Final = 50_000
SENDING_S: Final = 30.0
PAUSE_S: Final = 0.25
HEADER: Final = "| what | requests | median | slowest |\n|---|---:|---:|---:|\n"
Waits = Mapping[str, list[float]]


def measure(rows: int, jobs: int) -> tuple[Waits, float]:
    """Seconds of each request, by what was looked at; and of the start until the address stood."""
    with tempfile.TemporaryDirectory() as name:
        desk = Desk(Path(name))
        began_s = time.monotonic()
        with serving(desk) as server:
            start_s = time.monotonic() - began_s
            visitor = server.visit()
            waits: dict[str, list[float]] = {}
            location = _upload(server, visitor, rows)
            _timed(waits, "the columns of a new file", visitor, location)
            job = "/".join(location.split("/")[:3])
            _plan(visitor, job)
            while "data-now" in _timed(
                waits, "a job while its file is read", visitor, f"{job}/plan"
            ):
                _timed(waits, "home while a file is read", visitor, "/")
                time.sleep(PAUSE_S)
            _timed(waits, "a plan", visitor, f"{job}/plan")
            visitor.at = job
            visitor.confirm(rows)
            end_s = time.monotonic() + SENDING_S
            while time.monotonic() < end_s:
                _timed(waits, "a job while it sends", visitor, job)
                _timed(waits, "home while a job sends", visitor, "/")
                time.sleep(PAUSE_S)
            visitor.post(f"{job}/stop")
            _copies(server, server.root / job.split("/")[2], jobs)
            for _ in range(10):
                _timed(waits, f"home with {jobs} jobs", visitor, "/")
    return waits, start_s


def table(waits: Waits, start_s: float) -> str:
    """The figures as a table in Markdown."""
    lines = [
        f"| {what} | {len(all_s)} | {_ms(median(all_s))} | {_ms(max(all_s))} |\n"
        for what, all_s in waits.items()
    ]
    lines.append(f"| the start, until the address is printed | 1 | {_ms(start_s)} | |\n")
    return HEADER + "".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _timed(waits: dict[str, list[float]], what: str, visitor: Visitor, path: str) -> str:
    began_s = time.monotonic()
    answer = visitor.get(path)
    waits.setdefault(what, []).append(time.monotonic() - began_s)
    if answer.status != 200:
        raise AssertionError(f"{path}: {answer.status} {answer.words[:200]}")
    return answer.text


def _upload(server: PageServer, visitor: Visitor, rows: int) -> str:
    """Upload a file of so many rows; the address that follows."""
    connection = http.client.HTTPConnection(server.address, timeout=600)
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", "X-File-Name": "many.csv"}
    connection.request("PUT", "/uploads", _chunks(rows), headers, encode_chunked=True)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    if answer.status != 200:
        raise AssertionError(said)
    return str(json.loads(said)["next"])


def _chunks(rows: int) -> Iterator[bytes]:
    yield b"customerId,targetGroupId,targetId\n"
    for first in range(0, rows, BLOCK):
        numbers = range(first, min(first + BLOCK, rows))
        yield b"".join(b"%d,1001,2001\n" % (423_000_000 + 7 * n + n * n % 5) for n in numbers)


def _plan(visitor: Visitor, job: str) -> None:
    form = {name: f"column:{name}" for name in ("customerId", "targetGroupId", "targetId")}
    visitor.post(f"{job}/plan", destination="rehearsal", rate=60_000, **form)


def _copies(server: PageServer, done: Path, number: int) -> None:
    for one in range(number - 1):
        copy = server.root / f"20260101-000000-{one:06x}"
        (copy / "in").mkdir(parents=True)
        for name in ("job.json", "child.json", "plan.json"):
            (copy / name).write_text((done / name).read_text())
