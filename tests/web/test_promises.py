"""What the page promises beyond its story: it says what commands say, and counts nothing itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections import namedtuple
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bulk_unenroll.web.uploads import Unusable, check_room
from tests.kit.command import Desk, Witness, people
from tests.web.kit import PageServer, Visitor, serving

pytestmark = pytest.mark.thorough
EU = "EU PRODUCTION"
OF_ONE_RUN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z|[0-9a-f]{12}-\d+"
"""Times and request ids."""


def mixed(desk: Desk) -> Path:
    """A list with two targets, repeats, invalid rows, and test ids that fail."""
    rows: list[tuple[object, ...]] = [(w, 1001, 2001 + n % 2) for n, w in enumerate(people(40))]
    more = [*rows[:3], ("4.2e8", 1001, 2001), ("'42", 1001, 2001), (999310011, 1001, 2001)]
    return desk.write("cleanup.csv", [*rows, *more])


def test_numbers_and_results_are_those_of_the_commands(desk: Desk, visitor: Visitor) -> None:
    path = mixed(desk)
    options = ("--rate", "60000/min", "--out", "cli.unenroll")
    planned = json.loads(desk.do("plan", path.name, "--json", *options).out)
    visitor.drop(path)
    page = visitor.plan().words
    rows, plan = planned["rows"], planned["plan"]
    told = [
        f"{plan['to_call']} customers would be taken out of {len(plan['targets'])} targets",
        f"read {rows['read']} invalid {rows['invalid']} ",
        f"duplicate {rows['duplicate']} ",
        f"settled before {rows['unique'] - plan['to_call']} ",
        f"to call {plan['to_call']} ",
        *(f"{one['target']} {one['customers']}" for one in plan["targets"]),
        *(f"{one['reason'].replace('_', ' ')} {one['rows']} row" for one in plan["invalid"]),
    ]
    assert [one for one in told if one not in page] == []
    desk.do("run", path.name, "--yes", "--sandbox", *options)
    visitor.confirm(plan["to_call"])
    visitor.end()
    for name in ("results.csv", "failed.csv"):
        expected = (desk.folder / "cli.unenroll" / name).read_bytes().decode()
        found = visitor.get(f"{visitor.job}/files/{name}").text
        assert re.sub(OF_ONE_RUN, "", found) == re.sub(OF_ONE_RUN, "", expected)


@pytest.mark.parametrize(
    "change", [{"rate": 30_000}, {"stop_at": "23:59"}, {"destination": "rehearsal"}]
)
def test_a_changed_order_needs_a_new_look(
    desk: Desk, visitor: Visitor, api: Witness, change: dict[str, object]
) -> None:
    visitor.drop(mixed(desk))
    old = visitor.plan(EU).field("plan")
    fields = {"destination": EU, **change}
    assert visitor.plan(str(fields.pop("destination")), **fields).status == 200
    answer = visitor.post(f"{visitor.job}/confirm", plan=old, number=41)
    assert (answer.status, "made anew" in answer.words) == (409, True)
    assert not api.seen()


def test_a_run_that_was_killed_is_finished_and_the_record_is_true(
    desk: Desk, server: PageServer, visitor: Visitor, api: Witness
) -> None:
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.3}]})
    visitor.drop(desk.write("cleanup.csv", [(who, 1001, 2001) for who in people(60)]))
    visitor.plan(EU, rate=1200)
    visitor.confirm(60)
    api.wait_for_calls(15)
    folder = server.root / visitor.job[6:]
    os.kill(json.loads((folder / "child.json").read_text())["pid"], signal.SIGKILL)
    assert "This run was cut off" in visitor.end().words
    called = len(api.seen())
    server.kill()
    server.start()
    again = server.visit()
    again.at = visitor.job
    time.sleep(1)
    assert len(api.seen()) == called, "nothing starts without a person"
    again.press(again.get(again.job), "Go on")
    end = again.end().words
    assert "Finished" in end
    assert api.applied() == set(people(60))
    again.get(f"{again.job}/files/results.csv")
    verified = desk.do("verify", folder / "run")
    assert verified.code == 0, verified.err


def test_a_run_ends_by_itself_without_its_server(
    desk: Desk, server: PageServer, visitor: Visitor, api: Witness
) -> None:
    api.ask("teach", {"rules": [{"probability": 1, "delay_s": 0.1}]})
    visitor.drop(desk.write("cleanup.csv", [(who, 1001, 2001) for who in people(60)]))
    visitor.plan(EU, rate=1200)
    visitor.confirm(60)
    api.wait_for_calls(5)
    server.kill()
    assert len(api.seen()) < 60
    ended, end_s = server.root / visitor.job[6:] / "run.json", time.monotonic() + 60
    while not ended.read_text():
        assert time.monotonic() < end_s
        time.sleep(0.1)
    assert json.loads(ended.read_text())["exit"]["code"] == 0
    server.start()
    again = server.visit()
    assert "cleanup.csv" in again.get("/").words
    end = again.get(visitor.job)
    assert "60 of 60 customers were taken out" in end.words
    assert "data-now" not in end.text
    assert sorted(call["customer"] for call in api.seen()) == [*people(60)], "each was called once"


def test_no_page_of_a_job_reads_its_ledger(
    desk: Desk, server: PageServer, visitor: Visitor
) -> None:
    """So pages take as long with ten million rows as with ten."""
    visitor.drop(mixed(desk))
    visitor.plan()
    visitor.confirm(41)
    visitor.end()
    job, pages = visitor.job, ("", "/plan", "/now")
    before = [visitor.get(f"{job}{page}").text for page in pages]
    ledger = server.root / job[6:] / "run" / "ledger.sqlite"
    ledger.unlink()
    os.mkfifo(ledger)  # whoever opens it waits for ever
    try:
        assert [visitor.get(f"{job}{page}").text for page in pages] == before
        assert "cleanup.csv" in visitor.get("/").words
    finally:
        ledger.unlink()


def test_a_disk_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 61, 39))
    check_room(tmp_path, 9, 1000)
    with pytest.raises(Unusable, match="The disk of this server is too full for this file") as told:
        check_room(tmp_path, 10, 1000)
    assert told.value.status == 507


def test_a_second_page_takes_the_next_port(desk: Desk, server: PageServer) -> None:
    began_s = time.monotonic()
    with serving(desk, "--port", "0") as other:
        assert time.monotonic() - began_s < 30, "an idle machine takes a second or two"
        assert other.address != server.address
        assert other.visit().get("/").status == 200
    with serving(desk) as other:
        assert other.address != server.address
    taken = desk.do("serve", "jobs", "--no-open", "--port", server.address.rpartition(":")[2])
    assert (taken.code, "give another port" in taken.err) == (2, True), taken.err


WITHOUT = """
import json, os, runpy, sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    names = set(json.loads(os.environ["MISSING"]))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name=name)

sys.meta_path.insert(0, Missing())
runpy.run_module("bulk_unenroll", run_name="__main__", alter_sys=True)
"""


def needed(name: str, found: set[str]) -> set[str]:
    """A distribution and those that it needs without any extra, added to ``found``."""
    if (key := canonicalize_name(name)) not in found:
        found.add(key)
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                needed(requirement.name, found)
    return found


def test_the_page_adds_no_package(desk: Desk) -> None:
    core = needed("bulk-unenroll", set())
    missing = [
        module
        for module, owners in packages_distributions().items()
        if not core & {canonicalize_name(owner) for owner in owners}
    ]
    assert {"pytest", "xlsxwriter"} <= {*missing}
    desk.environment["MISSING"] = json.dumps(missing)
    desk.program = (sys.executable, "-c", WITHOUT)
    with serving(desk) as server:
        visitor = server.visit()
        visitor.drop(mixed(desk))
        assert "41 customers would be taken out" in visitor.plan().words
        assert visitor.get(f"{visitor.job}/columns").status == 200


def test_every_answer_has_a_strict_policy(desk: Desk, visitor: Visitor) -> None:
    visitor.drop(mixed(desk))
    paths = ("/", f"{visitor.job}/columns", f"{visitor.job}/now", "/static/page.js", "/nothing")
    for path in paths:
        headers = visitor.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "unsafe" not in policy
        assert "http" not in policy, "nothing may come from elsewhere"
        assert headers["X-Content-Type-Options"] == "nosniff"
