"""What was done before is known: in other folders, by other files, at a host for the first time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.capillary.base_url import host_of
from bulk_unenroll.history import store
from bulk_unenroll.history.store import NAME, state_folder
from tests.kit.command import Desk, Witness, people
from tests.kit.terminal import talk
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
FAST = ("--rate", "2000/s", "--yes")
GO = ("--first-time", "go")
MANY = people(60)


def names(found: dict[str, list[dict[str, object]]]) -> list[object]:
    return [alarm["name"] for alarm in found["alarms"]]


@pytest.fixture
def done(desk: Desk, witness: Start) -> tuple[Desk, Witness]:
    """A desk at which a list was run before, in a folder of its own."""
    api = witness()
    desk.write("may.csv", [(who, 1001, 2001) for who in MANY])
    assert desk.do("run", "may.csv", *FAST).code == 0
    return desk, api


@pytest.mark.in_process
class TestAgain:
    def test_the_same_content_under_another_name(self, done: tuple[Desk, Witness]) -> None:
        desk, api = done
        shutil.copy(desk.folder / "may.csv", desk.folder / "copy.csv")
        ended = desk.do("run", "copy.csv", *FAST, "--json")
        assert (ended.code, names(ended.json)) == (65, ["again"])
        assert "may.unenroll" in ended.last_lines[0]
        assert len(api.seen()) == 60

    def test_an_old_list_with_some_new_customers(self, done: tuple[Desk, Witness]) -> None:
        desk, api = done
        rows = [(who, 1001, 2001) for who in (*MANY[:30], *people(30, before=900))]
        desk.write("june.csv", rows)
        assert names(desk.do("run", "june.csv", *FAST, "--json").json) == ["again"]
        assert len(api.seen()) == 60

    def test_elsewhere_on_this_machine(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        other = desk.folder / "far"
        other.mkdir()
        shutil.copy(desk.folder / "may.csv", other / "other.csv")
        assert names(desk.do("plan", "far/other.csv", "--json").json) == ["again"]

    def test_known_by_the_neighbouring_folder_alone(
        self, done: tuple[Desk, Witness], state: Path
    ) -> None:
        desk, _ = done
        shutil.rmtree(state / "bulk-unenroll")
        shutil.copy(desk.folder / "may.csv", desk.folder / "copy.csv")
        assert names(desk.do("plan", "copy.csv", "--json").json) == ["again"]

    def test_a_folder_that_had_the_same_path_is_not_forgotten(
        self, done: tuple[Desk, Witness]
    ) -> None:
        desk, _ = done
        shutil.rmtree(desk.folder / "may.unenroll")
        assert names(desk.do("plan", "may.csv", "--json").json) == ["again"]
        (desk.folder / "may.unenroll").rename(desk.folder / "archived")
        assert names(desk.do("plan", "may.csv", "--json").json) == ["again"]

    @pytest.mark.thorough
    def test_several_old_lists_joined(self, desk: Desk, witness: Start) -> None:
        witness()
        for day in range(8):
            who = people(8, before=8 * day)
            desk.write(f"day{day}.csv", [(one, 1001, 2001) for one in who])
            assert desk.do("run", f"day{day}.csv", *FAST).code == 0
        desk.write("week.csv", [(who, 1001, 2001) for who in people(64)])
        ended = desk.do("plan", "week.csv", "--json")
        assert names(ended.json) == ["again"]
        assert "About 100% of the customers" in ended.json["alarms"][0]["text"]
        assert "and 7 more inputs" in ended.json["alarms"][0]["text"]

    def test_plans_do_not_push_out_what_was_done(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        for n in range(12):
            desk.write("may.csv", [(who, 1001, 2001) for who in people(30, before=500 + n)])
            desk.do("plan", "may.csv")
        desk.write("copy.csv", [(who, 1001, 2001) for who in MANY])
        assert names(desk.do("plan", "copy.csv", "--json").json) == ["again"]

    def test_under_another_prefix_or_with_the_usual_port_it_is_the_same_host(self) -> None:
        assert host_of("https://api.example.com:443/v3.1") == host_of("https://api.example.com/x")
        assert host_of("https://api.example.com:8443") == "api.example.com:8443"

    @pytest.mark.parametrize(
        ("name", "folder", "code"), [("results.csv", "may.unenroll", 0), ("moved.csv", "new", 65)]
    )
    def test_a_file_of_results_says_so_itself(
        self, done: tuple[Desk, Witness], name: str, folder: str, code: int
    ) -> None:
        """In its own folder there is nobody left to call, so nothing is refused."""
        desk, api = done
        path = desk.folder / "may.unenroll" / name
        (desk.folder / "may.unenroll" / "results.csv").rename(path)
        if name == "moved.csv":
            path = path.rename(desk.folder / name)
        ended = desk.do("run", path, *FAST, "--out", folder, "--history", "off", "--json")
        assert (ended.code, names(ended.json)) == (code, ["again"])
        assert "60 rows of" in ended.json["alarms"][0]["text"]
        assert len(api.seen()) == 60

    def test_a_list_of_others_is_none(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        rows = [(who, 1001, 2001) for who in (*MANY[:5], *people(55, before=900))]
        desk.write("june.csv", rows)
        assert desk.do("run", "june.csv", *FAST).code == 0

    def test_nor_the_same_customers_in_another_target(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        desk.write("second.csv", [(who, 1001, 2002) for who in MANY])
        assert desk.do("run", "second.csv", *FAST).code == 0

    def test_nor_a_rerun_in_its_own_folder(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        desk.write("may.csv", [(who, 1001, 2001) for who in people(70)])
        assert desk.do("run", "may.csv", *FAST).code == 0

    def test_a_rehearsal_neither_reads_nor_writes_it(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        shutil.copy(desk.folder / "may.csv", desk.folder / "copy.csv")
        assert desk.do("run", "copy.csv", *FAST, "--sandbox").code == 0
        desk.write("new.csv", [(who, 1001, 2001) for who in people(60, before=500)])
        assert desk.do("run", "new.csv", *FAST, "--sandbox").code == 0
        shutil.copy(desk.folder / "new.csv", desk.folder / "new2.csv")
        assert desk.do("run", "new2.csv", *FAST).code == 0

    def test_it_may_be_switched_off(self, done: tuple[Desk, Witness]) -> None:
        desk, _ = done
        shutil.copy(desk.folder / "may.csv", desk.folder / "copy.csv")
        ended = desk.do("run", "copy.csv", *FAST, "--history", "off", "--json")
        assert (ended.code, names(ended.json)) == (69, []), "the canary finds nobody enrolled"


@pytest.mark.in_process
class TestOtherTarget:
    def test_the_same_file_for_another_target(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("people.csv", [(who,) for who in MANY], "customerId")
        words = ("people.csv", "--target-group-id", "1001")
        desk.do("plan", *words, "--target-id", "2001")
        ended = desk.do("run", *words, "--target-id", "2002", *FAST, "--json")
        assert (ended.code, names(ended.json)) == (65, ["other-target"])
        assert "for target 1001/2001 before" in ended.last_lines[0]
        assert "Now it is for 1001/2002" in ended.last_lines[0]
        assert api.seen() == []

    def test_a_plan_without_a_destination_is_remembered_too(
        self, desk: Desk, witness: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        witness()
        desk.write("people.csv", [(who,) for who in MANY], "customerId")
        words = ("people.csv", "--target-group-id", "1001")
        with monkeypatch.context() as nowhere:
            nowhere.delitem(desk.environment, "BULK_UNENROLL_BASE_URL")
            desk.do("plan", *words, "--target-id", "2001")
        ended = desk.do("run", *words, "--target-id", "2002", *FAST, "--json")
        assert (ended.code, names(ended.json)) == (65, ["other-target"])

    def test_new_customers_in_the_same_file_are_another_matter(
        self, desk: Desk, witness: Start
    ) -> None:
        witness()
        desk.write("people.csv", [(who,) for who in MANY], "customerId")
        words = ("people.csv", "--target-group-id", "1001")
        desk.do("plan", *words, "--target-id", "2001")
        desk.write("people.csv", [(who,) for who in people(60, before=900)], "customerId")
        assert desk.do("run", *words, "--target-id", "2002", *FAST).code == 0


@pytest.mark.in_process
def test_more_rows_than_in_yesterday_s_folder(desk: Desk, witness: Start) -> None:
    witness()
    desk.write("drop.csv", [(who, 1001, 2001) for who in people(30)])
    assert desk.do("run", "drop.csv", *FAST, "--out", "monday").code == 0
    desk.write("drop.csv", [(who, 1001, 2001) for who in people(300, before=900)])
    ended = desk.do("run", "drop.csv", *FAST, "--out", "tuesday", "--json")
    assert (ended.code, names(ended.json)) == (65, ["more-rows"])


@pytest.mark.in_process
def test_what_is_piped_is_no_earlier_file(desk: Desk, witness: Start) -> None:
    """Every pipe is read at the same path, whoever fills it."""
    api = witness()
    lines = [f"{who},1001,2001" for who in people(300, before=900)]
    few = "\n".join(["customerId,targetGroupId,targetId", *lines[:30], ""])
    assert desk.do("run", "-", *FAST, "--out", "monday", stdin=few).code == 0
    more = "\n".join(["customerId,targetGroupId,targetId", *lines[30:], ""])
    assert desk.do("run", "-", *FAST, "--out", "other", stdin=more).code == 0
    assert len(api.seen()) == 300
    again = desk.do("run", "-", *FAST, "--out", "third", "--json", stdin=few)
    assert names(again.json) == ["again"]


@pytest.mark.in_process
def test_group_and_target_swapped_after_a_good_run(desk: Desk, witness: Start) -> None:
    witness()
    desk.write("may.csv", [(who, 1001, 2001) for who in MANY])
    assert desk.do("run", "may.csv", *FAST).code == 0
    desk.write("june.csv", [(who, 2001, 1001) for who in people(60, before=900)])
    assert names(desk.do("run", "june.csv", *FAST, "--json").json) == ["swapped"]


class TestFirstTime:
    @pytest.fixture
    def fresh(self, desk: Desk, witness: Start) -> tuple[Desk, Witness]:
        """A target out of which nobody was ever taken."""
        api = witness()
        desk.write("a.csv", [(who, 4001, 5001) for who in MANY])
        return desk, api

    @pytest.mark.in_process
    def test_it_holds_after_the_canary_and_resume_goes_on(
        self, fresh: tuple[Desk, Witness]
    ) -> None:
        desk, api = fresh
        held = desk.do("run", "a.csv", *FAST)
        assert held.code == 3
        assert "first time for 4001/5001 at 127.0.0.1" in held.last_lines[0]
        assert "look one of the first customers up" in held.last_lines[0]
        assert held.last_lines[1] == "next: bulk-unenroll resume a.unenroll"
        assert len(api.seen()) == 10
        assert desk.do("resume", "a.unenroll", "--yes").code == 0
        assert len(api.seen()) == 60

    @pytest.mark.in_process
    def test_a_nightly_job_meets_it_once(self, fresh: tuple[Desk, Witness]) -> None:
        desk, api = fresh
        assert desk.do("run", "a.csv", *FAST).code == 3
        assert desk.do("run", "a.csv", *FAST).code == 0
        desk.write("b.csv", [(who, 4001, 5001) for who in people(60, before=900)])
        assert desk.do("run", "b.csv", *FAST).code == 0
        assert len(api.seen()) == 120

    @pytest.mark.in_process
    def test_a_canary_that_was_cut_short_asked_nobody(self, fresh: tuple[Desk, Witness]) -> None:
        desk, api = fresh
        assert desk.do("run", "a.csv", *FAST, "--limit", "4").code == 3
        held = desk.do("resume", "a.unenroll", "--yes", "--limit", "50")
        assert "first time for 4001/5001" in held.last_lines[0]
        assert len(api.seen()) == 14
        desk.write("b.csv", [(who, 4001, 5001) for who in people(60, before=900)])
        assert desk.do("run", "b.csv", *FAST).code == 0, "somebody was asked by now"

    @pytest.mark.in_process
    @pytest.mark.parametrize("words", [GO, ("--canary", "0"), ("--canary", "60")])
    def test_not_where_it_is_not_wanted(
        self, fresh: tuple[Desk, Witness], words: tuple[str, ...]
    ) -> None:
        desk, api = fresh
        assert desk.do("run", "a.csv", *FAST, *words).code == 0
        assert len(api.seen()) == 60

    @pytest.mark.in_process
    def test_more_targets_than_the_canary_has_rows_are_asked_about_once(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(who, 4001, 5001 + n % 15) for n, who in enumerate(people(90))])
        assert desk.do("run", "a.csv", *FAST).code == 3
        assert desk.do("resume", "a.unenroll", "--yes").code == 0
        assert len(api.seen()) == 90

    @pytest.mark.parametrize(("typed", "code", "calls"), [("go", 0, 60), ("no", 3, 10)])
    def test_at_a_terminal_it_asks_and_waits(
        self, fresh: tuple[Desk, Witness], typed: str, code: int, calls: int
    ) -> None:
        desk, api = fresh
        words = ("run", "a.csv", "--rate", "2000/s")
        ended, said = talk(desk, words, ("Type the number", "60"), ("Type go", typed))
        assert ended == code, said
        assert len(api.seen()) == calls


class TestBeside:
    @pytest.mark.parametrize("beside", [False, *thorough(True)])
    def test_one_rate_for_one_api(self, desk: Desk, witness: Start, beside: bool) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in MANY])
        desk.write("b.csv", [(who, 1001, 2002) for who in people(12, before=900)])
        first = desk.start("run", "a.csv", "--yes", "--rate", "3/s")
        api.wait_for_calls(3)
        ended = desk.do("run", "b.csv", *FAST, *(["--beside"] if beside else []))
        first.terminate()
        first.communicate(timeout=60)
        if beside:
            assert ended.code == 0, ended.err
        else:
            assert ended.code == 75
            assert "a.unenroll" in ended.last_lines[0]
            assert "--beside" in ended.last_lines[0]
            assert not {call["target"] for call in api.seen()} & {2002}

    @pytest.mark.thorough
    def test_without_a_history_it_is_one_rate_all_the_same(
        self, desk: Desk, witness: Start
    ) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in MANY])
        desk.write("b.csv", [(who, 1001, 2002) for who in people(12, before=900)])
        first = desk.start("run", "a.csv", "--yes", "--rate", "3/s")
        api.wait_for_calls(3)
        for where in ("off", "elsewhere"):
            assert desk.do("run", "b.csv", *FAST, "--history", where).code == 75
        first.terminate()
        first.communicate(timeout=60)

    @pytest.mark.thorough
    def test_other_credentials_are_another_contract(self, desk: Desk, witness: Start) -> None:
        api = witness()
        desk.write("a.csv", [(who, 1001, 2001) for who in MANY])
        desk.write("b.csv", [(who, 1001, 2002) for who in people(12, before=900)])
        first = desk.start("run", "a.csv", "--yes", "--rate", "3/s")
        api.wait_for_calls(3)
        for name in ("USERNAME", "PASSWORD"):
            del desk.environment[f"BULK_UNENROLL_{name}"]
        desk.environment |= {
            "BULK_UNENROLL_CLIENT_KEY": "sandbox-key",
            "BULK_UNENROLL_CLIENT_SECRET": "sandbox-secret",
        }
        assert desk.do("run", "b.csv", *FAST).code == 0
        first.terminate()
        first.communicate(timeout=60)


@pytest.mark.in_process
class TestTheDatabase:
    def test_it_holds_no_customer_id_and_is_the_user_s_alone(
        self, done: tuple[Desk, Witness]
    ) -> None:
        path = state_folder() / NAME
        content = path.read_bytes().decode("latin-1")
        assert not [who for who in MANY if str(who) in content]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(sqlite3.connect(path)) as database:
            records = [
                json.loads(text) for (text,) in database.execute("SELECT record FROM folder")
            ]
        (ours,) = [record for record in records if record["folder"].endswith("may.unenroll")]
        assert ours["taken"] == {"0/1001/2001": 60}
        assert [content["rows"] for content in ours["contents"]] == [60]

    @pytest.mark.parametrize("harm", ["garbage", "a folder", "not writable"])
    def test_no_harm_to_it_stops_a_command(
        self, desk: Desk, witness: Start, harm: str, state: Path
    ) -> None:
        api = witness()
        place = state / "bulk-unenroll"
        shutil.rmtree(place)
        if harm == "garbage":
            place.mkdir()
            (place / NAME).write_bytes(os.urandom(10_000))
        elif harm == "a folder":
            (place / NAME).mkdir(parents=True)
        else:
            place.write_text("in the way")
        desk.write("a.csv", [(who, 1001, 2001) for who in MANY])
        ended = desk.do("run", "a.csv", *FAST, *GO)
        assert ended.code == 0, ended.err
        assert len(api.seen()) == 60
        (told,) = [line for line in ended.err.splitlines() if "no_history" in line]
        assert str(place) in told
        assert "Errno" not in told
        assert "is not known" in told


def test_a_user_may_have_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_folder() == store.NO_HOME / ".local" / "state" / "bulk-unenroll"
