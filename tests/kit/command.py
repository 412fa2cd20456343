"""The command, in a new process each time, and the sandbox that it calls."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bulk_unenroll.capillary.base_url import host_of
from bulk_unenroll.history.record import Record
from bulk_unenroll.history.store import History, state_folder
from bulk_unenroll.sandbox import (
    SANDBOX_PASSWORD,
    SANDBOX_USERNAME,
    load_scenario,
    start_in_thread,
)

REPO = Path(__file__).parents[2]
SAMPLES = REPO / "sample_inputs"
PROGRAM = (sys.executable, "-m", "bulk_unenroll")


def people(number: int, before: int = 0) -> range:
    """Customer ids as a programme gives them out: nine digits, growing, with gaps.

    They follow ``before`` others. Numbers that count up from 1 would raise alarms.
    """
    first = 423_000_000 + 7 * before
    return range(first, first + 7 * number, 7)


@dataclass(frozen=True)
class Ended:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def last_lines(self) -> list[str]:
        return self.err.strip().splitlines()[-2:]


NOT_OURS = ("BULK_UNENROLL_", "PYTHONDONTWRITEBYTECODE")
"""Settings for the program itself, and one that has each command compile it anew."""


def clean_environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(NOT_OURS)}
    return {**kept, "PYTHONPATH": str(REPO), **more}


CREDENTIALS = {
    "BULK_UNENROLL_USERNAME": SANDBOX_USERNAME,
    "BULK_UNENROLL_PASSWORD": SANDBOX_PASSWORD,
}


class Desk:
    """A user's working folder, with an environment and the command."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        self.folder = folder
        self.program = program
        self.environment = clean_environment()

    def do(self, *words: object, stdin: str | bytes | None = None, timeout_s: float = 60) -> Ended:
        done = subprocess.run(
            [*self.program, *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            input=stdin.encode() if isinstance(stdin, str) else stdin or b"",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ended.err, ended.err
        return ended

    def start(self, *words: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.program, *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def write(self, name: str, rows: Sequence[Sequence[object]], *header: str) -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header or ("customerId", "targetGroupId", "targetId"))
            writer.writerows(rows)
        return path

    def results(self, name: str = "job.unenroll/results.csv") -> list[dict[str, str]]:
        with (self.folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def know_targets(base_url: str) -> None:
    """Let the user's history know the targets of most tests, so that no run holds for them."""
    place = host_of(base_url)
    groups, rules = (1, 7, 1001, 1002, 5), (*range(1, 10), 999, *range(2000, 2012), 3001, 999999)
    taken = {f"{org}/{group}/{rule}": 1 for org in (0, 5, 7) for group in groups for rule in rules}
    History(state_folder()).save(Record(f"/elsewhere/{place}", place, taken=taken))


class Witness:
    """The sandbox, which knows what was really called. It runs in a thread of the tests."""

    def __init__(self, folder: Path, scenario: str = "") -> None:
        self.journal = folder / "journal.jsonl"
        self._scenario: Path | None = None
        if scenario:
            self._scenario = folder / "scenario.toml"
            self._scenario.write_text(scenario)
        self.base_url = self._start()
        know_targets(self.base_url)

    def _start(self) -> str:
        loaded = load_scenario(self._scenario) if self._scenario else None
        base_url, self._stop = start_in_thread(loaded, self.journal)
        return base_url

    def stop(self) -> None:
        self._stop()

    def ask(self, what: str, content: object = None) -> Any:
        url = self.base_url.replace("/v3.1", f"/_sandbox/{what}")
        data = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(url, data, timeout=10) as answer:
            return json.load(answer)

    def seen(self) -> list[dict[str, Any]]:
        """Return every request in order, as logged before it was answered."""
        if not self.journal.exists():
            return []
        written, _, _ = self.journal.read_text().rpartition("\n")  # the last line may be half there
        return [json.loads(line) for line in written.splitlines()]

    def wait_for_calls(self, number: int = 1) -> None:
        """Wait until the sandbox has received ``number`` requests."""
        for _ in range(2000):
            if len(self.seen()) >= number:
                return
            time.sleep(0.01)
        raise AssertionError(f"the run sent fewer than {number} requests")

    def applied(self) -> set[int]:
        return {entry["customer"] for entry in self.ask("book")}


class WitnessProcess(Witness):
    """The sandbox as a process of its own, as a person starts it."""

    def _start(self) -> str:
        command: list[object] = [*PROGRAM, "sandbox", "--port", "0", "--journal", self.journal]
        if self._scenario:
            command += ["--scenario", self._scenario]
        self._process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, env=clean_environment(), text=True
        )
        assert self._process.stdout
        first = self._process.stdout.readline()
        return first.split()[2]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=10)
