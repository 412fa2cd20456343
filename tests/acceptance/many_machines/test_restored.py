"""A ledger that was restored from a backup does not know who was called since: nobody sends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.command import Desk, Ended, Witness, people
from tests.kit.postgres import Server

pytestmark = pytest.mark.thorough
Start = Callable[..., Witness]
JOB = ("--job", "cleanup")
FAST = ("--yes", "--first-time", "go", "--canary", 0, "--beside")
ROWS = 200


class Database:
    """A database of which a copy is made, and put in its place."""

    def __init__(self, server: Server, url: str, folder: Path) -> None:
        self._server, self._url, self._copy = server, url, folder / "copy.dump"

    def back_up(self) -> None:
        with self._copy.open("wb") as file:
            words = self._server.command("pg_dump", "--format=custom", self._url)
            subprocess.run(words, stdout=file, check=True, cwd="/")

    def restore(self) -> None:
        with self._copy.open("rb") as file:
            words = self._server.command("pg_restore", "--clean", "--dbname", self._url)
            subprocess.run(words, stdin=file, check=True, cwd="/")

    def wait(self, minutes: int) -> None:
        """Let time pass, as far as the ledger knows."""
        import psycopg

        with closing(psycopg.connect(self._url, autocommit=True)) as raw:
            raw.execute(
                "UPDATE bulk_unenroll_cleanup.sender SET seen_at = seen_at - make_interval(mins =>"
                " %s)",
                [minutes],
            )


@pytest.fixture
def backed_up(desk: Desk, server: Server, ledger_url: str, tmp_path: Path) -> Database:
    desk.environment["BULK_UNENROLL_LEDGER_URL"] = ledger_url
    desk.write("a.csv", [(who, 1001, 2001) for who in people(ROWS)])
    return Database(server, ledger_url, tmp_path)


@pytest.fixture
def elsewhere(desk: Desk) -> Desk:
    """A machine that never worked on the job."""
    other = Desk(desk.folder / "elsewhere")
    other.folder.mkdir()
    other.environment = desk.environment
    return other


def cut_off(desk: Desk, api: Witness, database: Database) -> None:
    """A backup is made while a run goes on, calls are made after it, and all is lost."""
    run = desk.start("run", "a.csv", *JOB, *FAST, "--rate", "50/s")
    api.wait_for_calls(20)
    database.back_up()
    api.wait_for_calls(80)
    run.kill()
    run.communicate()
    database.restore()


def refused(ended: Ended, said: str) -> None:
    assert (ended.code, said in ended.last_lines[0]) == (74, True), ended.err


def test_who_saw_more_refuses_it_until_a_person_goes_on(
    desk: Desk, elsewhere: Desk, witness: Start, backed_up: Database
) -> None:
    api = witness()
    cut_off(desk, api, backed_up)
    seen = len(api.seen())
    for words in (
        ("work", *JOB),
        ("run", "a.csv", *JOB, *FAST),
        ("retry", *JOB, "--yes", "--state", "in_doubt"),
        ("resume", *JOB, "--yes"),
    ):
        ended = desk.do(*words)
        refused(ended, "the ledger is an older copy: it lacks")
        assert "resume --restored" in ended.last_lines[0]
        assert "--dry-run" in ended.last_lines[1]
    assert desk.do("resume", *JOB, "--yes", "--dry-run").code == 0
    assert desk.do("status", *JOB).code == 0
    assert len(api.seen()) == seen
    # one that saw none of it, after a while: what is unattended is not joined
    backed_up.wait(20)
    refused(elsewhere.do("work", *JOB), "nobody was seen on this run for")
    refused(elsewhere.do("run", "../a.csv", *JOB, *FAST), "nobody was seen on this run for")
    assert len(api.seen()) == seen
    ended = desk.do("resume", *JOB, "--yes", "--restored", "--in-doubt", "hold", "--json")
    assert ended.code in (0, 3), ended.err
    found = ended.json["status"]
    assert api.applied() == set(people(ROWS))
    assert found["not_enrolled"] > 0, "whom the lost run called is called again"
    assert found["succeeded"] + found["not_enrolled"] + found["in_doubt"] == ROWS
    # that was said for all
    assert desk.do("retry", *JOB, "--yes", "--state", "in_doubt").code == 0
    assert desk.do("work", *JOB).code == 0
    assert elsewhere.do("work", *JOB).code == 0


def test_a_run_that_was_killed_goes_on_where_it_was(
    desk: Desk, elsewhere: Desk, witness: Start, backed_up: Database
) -> None:
    """Nothing was restored: who saw all goes on, however late; a stranger leaves it to a person."""
    api = witness()
    run = desk.start("run", "a.csv", *JOB, *FAST, "--rate", "50/s")
    api.wait_for_calls(20)
    run.kill()
    run.communicate()
    backed_up.wait(60)
    refused(elsewhere.do("retry", *JOB, "--yes"), "nobody was seen")
    ended = desk.do("run", "a.csv", *JOB, *FAST, "--rate", "500/s", "--in-doubt", "resend")
    assert ended.code in (0, 3), ended.err
    assert api.applied() == set(people(ROWS))
