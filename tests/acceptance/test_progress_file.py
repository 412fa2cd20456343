"""``--progress-file``: how far a command is, for a page or a script that watches it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit.command import REPO, Desk, Witness, people

Start = Callable[..., Witness]
TOLD = ("--progress-file", "now.json")


def rows(number: int) -> list[tuple[int, int, int]]:
    return [(who, 1001, 2001) for who in people(number)]


def now(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((desk.folder / "now.json").read_text())
    return found


def watched(desk: Desk, process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Every state that was written until the process ended."""
    seen: list[dict[str, Any]] = []
    while True:
        over = process.poll() is not None
        if (desk.folder / "now.json").exists() and (not seen or now(desk) != seen[-1]):
            seen.append(now(desk))
        if over:
            process.communicate()
            return seen
        time.sleep(0.05)


@pytest.mark.thorough
def test_it_tells_a_run_from_the_canary_to_its_end(desk: Desk, witness: Start) -> None:
    witness("[[rule]]\nprobability = 1\ndelay_s = 1.6\n")
    path = desk.write("a.csv", rows(120))
    run = desk.start("run", "a.csv", "--yes", "--rate", "40/s", *TOLD)
    states = watched(desk, run)
    phases = list(dict.fromkeys(state["phase"] for state in states))
    assert phases[-2:] in (["sending", "ended"], ["writing results", "ended"])
    assert phases.index("canary") < phases.index("sending")
    assert {state["pid"] for state in states} == {run.pid}
    sending = [state for state in states if state["phase"] == "sending"]
    assert [state["done"] for state in sending] == sorted(state["done"] for state in sending)
    assert 0 < sending[0]["done"] < 120
    assert 0 < sending[-1]["calls_a_minute"] <= 2400
    assert sending[-1]["left_s"] < 60
    end = states[-1]
    status = desk.do("status", "a.unenroll", "--json").json
    assert {state: number for state, number in status["status"].items() if number} == end["states"]
    assert (end["done"], end["of"], end["exit"]) == (120, 120, 0)
    assert (end["rows_read"], end["bytes_read"], end["bytes"]) == (120, *[path.stat().st_size] * 2)


def test_the_documentation_has_all_its_keys(desk: Desk) -> None:
    desk.write("a.csv", rows(5))
    desk.do("plan", "a.csv", *TOLD)
    page = (REPO / "docs" / "watching.md").read_text("utf-8")
    section = page.partition("--progress-file")[2].partition("## ")[0]
    table = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", " ".join(table)) == list(now(desk))


@pytest.mark.thorough
def test_only_its_owner_reads_it_and_nothing_else_is_left(desk: Desk, witness: Start) -> None:
    witness()
    desk.write("a.csv", rows(20))
    assert desk.do("run", "a.csv", "--yes", "--rate", "2000/s", *TOLD).code == 0
    assert stat.S_IMODE((desk.folder / "now.json").stat().st_mode) == 0o600
    assert not list(desk.folder.glob(".now*"))
    assert now(desk)["states"] == {"succeeded": 20}


@pytest.mark.thorough
def test_codes_are_those_of_the_folder(desk: Desk, witness: Start) -> None:
    witness("[[rule]]\nprobability = 1\ncode = 310011\n")
    desk.write("a.csv", rows(20))
    desk.do("run", "a.csv", "--yes", "--rate", "2000/s", "--canary", "0", *TOLD)
    before = now(desk)["codes"]
    assert before == desk.do("status", "a.unenroll", "--json").json["codes"]


@pytest.mark.thorough
def test_it_says_until_when_a_run_pauses_and_why(desk: Desk, witness: Start) -> None:
    witness("[[rule]]\nattempt = 1\nstatus = 429\nretry_after = '4'\ntimes = 20\n")
    desk.write("a.csv", rows(20))
    states = watched(desk, desk.start("run", "a.csv", "--yes", "--rate", "2000/s", *TOLD))
    paused = next(state for state in states if state["phase"] == "paused")
    assert paused["paused_until"] > paused["written_at"]
    assert paused["paused_why"]
    assert states[-1]["paused_until"] is None


def test_a_plan_tells_what_it_read(desk: Desk) -> None:
    path = desk.write("a.csv", rows(50))
    assert desk.do("plan", "a.csv", *TOLD).code == 0
    end = now(desk)
    assert (end["phase"], end["rows_read"], end["bytes"]) == ("ended", 50, path.stat().st_size)
    assert (end["exit"], end["of"]) == (0, None)


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--max-customers", "3"), 65), (("--window", "{later}"), 3)],
)
def test_an_early_end_is_told(
    desk: Desk, witness: Start, words: tuple[str, ...], code: int
) -> None:
    witness()
    desk.write("a.csv", rows(20))
    later = datetime.now() + timedelta(hours=2)
    window = f"{later:%H:%M}-{later + timedelta(hours=1):%H:%M}"
    words = tuple(word.format(later=window) for word in words)
    ended = desk.do("run", "a.csv", "--yes", *words, *TOLD)
    assert (now(desk)["phase"], now(desk)["exit"]) == ("ended", ended.code)
    assert ended.code == code
    assert now(desk)["reason"] in ended.err


@pytest.mark.thorough
def test_resume_and_retry_tell_too(desk: Desk, witness: Start) -> None:
    witness()
    desk.write("a.csv", rows(30))
    desk.do("run", "a.csv", "--yes", "--rate", "2000/s", "--limit", "12", *TOLD)
    assert (now(desk)["done"], now(desk)["exit"]) == (12, 3)
    desk.do("resume", "a.unenroll", "--yes", *TOLD)
    assert (now(desk)["done"], now(desk)["of"], now(desk)["exit"]) == (18, 18, 0)
    desk.do("retry", "a.unenroll", "--yes", *TOLD)
    assert (now(desk)["of"], now(desk)["states"]) == (0, {"succeeded": 30})


def test_where_it_cannot_be_written_nothing_begins(desk: Desk, witness: Start) -> None:
    api = witness()
    desk.write("a.csv", rows(20))
    ended = desk.do("run", "a.csv", "--yes", "--progress-file", "none/now.json")
    assert ended.code == 2
    assert "cannot write none/now.json" in ended.last_lines[0]
    assert not api.seen()


@pytest.mark.thorough
def test_a_stop_is_told(desk: Desk, witness: Start, tmp_path: Path) -> None:
    api = witness("[[rule]]\nprobability = 1\ndelay_s = 3\n")
    desk.write("a.csv", rows(100))
    run = desk.start("run", "a.csv", "--yes", "--rate", "40/s", "--canary", "0", *TOLD)
    api.wait_for_calls(10)
    run.terminate()
    states = watched(desk, run)
    assert "stopping" in [state["phase"] for state in states]
    assert states[-1]["exit"] == 143
