"""``stop``: a clean stop of whoever works in a folder, from any shell."""

from __future__ import annotations

from collections.abc import Callable

from tests.kit.command import Desk, Witness, people

Start = Callable[..., Witness]


def test_it_stops_a_run_cleanly(desk: Desk, witness: Start) -> None:
    api = witness("[[rule]]\nprobability = 1\ndelay_s = 0.5\n")
    desk.write("a.csv", [(who, 1001, 2001) for who in people(400)])
    run = desk.start("run", "a.csv", "--yes", "--rate", "50/s", "--canary", "0")
    api.wait_for_calls(20)
    stopped = desk.do("stop", "a.unenroll", "--wait")
    assert (stopped.code, stopped.out) == (0, "a.unenroll: stopped\n")
    _, err = run.communicate(timeout=60)
    assert run.returncode == 3
    assert b"stopped by `bulk-unenroll stop`" in err
    found = desk.do("status", "a.unenroll", "--json").json
    assert found["status"]["in_doubt"] == 0
    assert found["status"]["succeeded"] == len(api.seen()) < 400
    assert desk.do("resume", "a.unenroll", "--rate", "2000/s").code == 0


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
