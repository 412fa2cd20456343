"""``stop``: a clean stop of whoever works in a folder, from any shell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.kit.command import Desk, Witness, people
from tests.kit.terminal import Window

Start = Callable[..., Witness]


def test_it_stops_a_run_cleanly(desk: Desk, witness: Start) -> None:
    api = witness("[[rule]]\nprobability = 1\ndelay_s = 0.2\n")
    desk.write("a.csv", [(who, 1001, 2001) for who in people(120)])
    run = desk.start("run", "a.csv", "--yes", "--rate", "50/s", "--canary", "0")
    api.wait_for_calls(20)
    stopped = desk.do("stop", "a.unenroll", "--wait")
    assert (stopped.code, stopped.out) == (0, "a.unenroll: stopped\n")
    _, err = run.communicate(timeout=60)
    assert run.returncode == 3
    assert b"stopped by `bulk-unenroll stop`" in err
    found = desk.do("status", "a.unenroll", "--json").json
    assert found["status"]["in_doubt"] == 0
    assert found["status"]["succeeded"] == len(api.seen()) < 120
    assert desk.do("resume", "a.unenroll", "--rate", "2000/s").code == 0


@pytest.mark.thorough
def test_it_holds_while_the_input_is_still_being_read(desk: Desk, witness: Start) -> None:
    api = witness()
    os.mkfifo(desk.folder / "pipe.csv")
    run = desk.start("run", "pipe.csv", "--out", "a", "--yes", "--rate", "2000/s")
    with (desk.folder / "pipe.csv").open("w") as pipe:
        pipe.write("customerId,targetGroupId,targetId\n")
        while not (desk.folder / "a" / "ledger.sqlite").exists():
            time.sleep(0.05)
        while (stopped := desk.do("stop", "a")).code == 3:
            time.sleep(0.05)
        assert (stopped.code, stopped.out) == (0, "a: stopping\n")
        pipe.write("".join(f"{who},1001,2001\n" for who in people(40)))
    _, err = run.communicate(timeout=60)
    assert (run.returncode, api.seen()) == (3, [])
    assert b"nothing was sent" in err
    assert desk.do("resume", "a", "--rate", "2000/s", "--yes").code == 0
    assert len(api.seen()) == 40


def test_it_holds_while_the_question_stands(desk: Desk, witness: Start) -> None:
    api = witness()
    desk.write("a.csv", [(who, 1001, 2001) for who in people(40)])
    with Window(desk, "run", "a.csv", "--rate", "2000/s", columns=160) as window:
        window.until(lambda: "Type the number" in " ".join(window.everything))
        assert desk.do("stop", "a.unenroll").code == 0
        window.type("40")
        assert window.end() == 3
    assert api.seen() == []


def test_where_nobody_works_it_says_so_and_stops_nobody_later(desk: Desk, witness: Start) -> None:
    api = witness()
    desk.write("a.csv", [(who, 1001, 2001) for who in people(20)])
    desk.do("plan", "a.csv")
    ended = desk.do("stop", "a.unenroll")
    assert ended.code == 3
    assert "nobody works in a.unenroll" in ended.last_lines[0]
    assert desk.do("run", "a.csv", "--yes", "--rate", "2000/s").code == 0
    assert len(api.seen()) == 20


def test_of_a_folder_that_is_not_there(desk: Desk) -> None:
    assert desk.do("stop", "none.unenroll").code == 66
