"""``import bulk_unenroll``: the commands as functions that print, ask and install nothing."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, Final

import pytest

import bulk_unenroll as bu
from bulk_unenroll.cli.options import OPTIONS
from bulk_unenroll.commands import options
from bulk_unenroll.commands.options import settings_from
from bulk_unenroll.errors import Interrupted
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from tests.kit.command import CREDENTIALS, REPO, SAMPLES, Witness

SLOW = "[[rule]]\nevery = 1\ndelay_s = 0.05\n"
BESIDE: Any = {"beside": True, "history": "off", "first_time": "go"}
FAST: Any = {"rate": "1000/s", "canary": 0}
HEAVY: Final = frozenset({"pandas", "pyarrow", "aiohttp", "asyncio"})


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "customers.csv").write_bytes((SAMPLES / "cleanup.csv").read_bytes())
    return tmp_path


@pytest.fixture
def api(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """A sandbox that the environment names, as it would name the real API."""
    made = Witness(at_home)
    for name, value in (CREDENTIALS | {"BULK_UNENROLL_BASE_URL": made.base_url}).items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


def numbered(folder: Path, customers: int, first: int = 1001, gap: int = 7919) -> str:
    path = folder / "few.csv"
    rows = (f"{first + gap * number},1001,2001\n" for number in range(customers))
    path.write_text("customerId,targetGroupId,targetId\n" + "".join(rows))
    return str(path)


class TestFunctions:
    def test_plan_run_retry_look(self, api: Witness) -> None:
        plan = bu.plan("customers.csv", out="c.unenroll")
        assert (plan.to_call, len(plan.targets), plan.exit) == (998, 4, 1)
        end = bu.run(
            "customers.csv", out="c.unenroll", rate="2000/s", expect=plan.to_call, plan=plan.id
        )
        assert end.exit == 1
        assert end.exit.reason.startswith("4 rows failed")
        assert (end.counts and end.counts.succeeded) == 960 == len(api.applied())
        assert end.next is not None
        assert (end.next.command, end.next.arguments) == ("run", ("c.unenroll/failed.csv",))
        assert end.next.advice == "put the right targetId into c.unenroll/failed.csv"
        again = bu.retry("c.unenroll", codes="310011", targets="1001/2001", rate="2000/s")
        assert again.counts and again.counts.codes == end.counts.codes if end.counts else False
        assert bu.status("c.unenroll").summary.counts == again.counts
        assert [row.status for row in bu.explain("c.unenroll", 422382899).rows] == ["succeeded"]
        assert bu.export("c.unenroll", "failed.jsonl", states=["failed"]) == 4
        bu.verify("c.unenroll")

    def test_resume_continues_what_a_stop_left(self, api: Witness) -> None:
        stop = bu.StopRequest()

        def stop_at_once(event: object) -> None:
            if isinstance(event, bu.Progress):
                stop.stop()

        end = bu.run("customers.csv", rate="500/s", stop=stop, on_event=stop_at_once)
        assert end.exit == bu.ExitCode.LEFT_OVER
        assert str(end.next) == "bulk-unenroll resume customers.unenroll"
        end = bu.resume("customers.unenroll", rate="2000/s")
        assert end.exit == 1
        assert len(api.applied()) == 960

    def test_results_are_rows_and_tables_with_whole_ids(self, api: Witness) -> None:
        bu.run("customers.csv", **FAST)
        found = bu.results("customers.unenroll")
        rows = list(found)
        assert len(rows) == 1037
        assert rows[0].customer_id == 422382899
        frame = found.to_pandas()
        assert frame["customer_id"].sum() == sum(row.customer_id or 0 for row in rows)
        assert str(frame["customer_id"].dtype) == "Int64"
        failed = bu.results("customers.unenroll", states=["failed"], codes=["310011"])
        assert failed.to_arrow().num_rows == len(list(failed)) == 2

    def test_no_rows_are_an_empty_table(self, at_home: Path) -> None:
        bu.plan(numbered(at_home, 3), out="f")
        assert bu.results("f", states=["failed"]).to_arrow().num_rows == 0
        with pytest.raises(bu.errors.UsageError, match="is not a state"):
            bu.results("f", states=["broken"])


class TestRefusals:
    def test_what_cannot_go_on_raises_with_a_code_a_reason_and_data(self, at_home: Path) -> None:
        with pytest.raises(bu.errors.InputMissing) as missing:
            bu.plan("nothing.csv")
        assert missing.value.code == 66
        bu.plan("customers.csv", out="f")
        with pytest.raises(bu.errors.UsageError) as unconfirmed:
            bu.resume("f", sandbox=True)
        assert str(unconfirmed.value.next) == "bulk-unenroll run INPUT --out f"
        with pytest.raises(bu.errors.Misconfigured, match="no base URL"):
            bu.run("customers.csv")

    def test_another_plan_or_number_than_was_looked_at(self, api: Witness, at_home: Path) -> None:
        plan = bu.plan("customers.csv", out="f")
        with pytest.raises(bu.errors.InputRefused, match="--expect"):
            bu.run("customers.csv", out="f", expect=plan.to_call - 1)
        with (at_home / "customers.csv").open("a") as file:
            file.write("423999999,1001,2001\n")
        with pytest.raises(bu.errors.InputRefused, match=f"not as in plan {plan.id}: the contents"):
            bu.run("customers.csv", out="f", plan=plan.id)
        assert api.seen() == []

    def test_an_alarm_raises_unless_it_is_allowed(self, api: Witness, at_home: Path) -> None:
        phones = numbered(at_home, 30, first=33612345678, gap=7_654_321)
        assert [alarm.name for alarm in bu.plan(phones, out="f").alarms] == ["phones"]
        with pytest.raises(bu.errors.InputRefused, match="phones"):
            bu.run(phones, out="f")
        assert api.seen() == []
        assert bu.run(phones, out="f", allow=["phones"], **FAST).exit == 0

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"rate": "10/sec"}, "rate: '10/sec' is not a valid rate"),
            ({"concurrency": 0}, "concurrency: 0 is not a whole number"),
            ({"canary": -1}, "canary"),
            ({"pace": "fast"}, "pace: 'fast' is not one of fixed, adaptive"),
            ({"read_timeout": 0}, "read_timeout"),
            ({"target_id": "4.2E+08"}, "target_id"),
            ({"columns": {"targetid": "Right"}}, "columns: 'targetid=Right' is not a valid column"),
            ({"rate": 5}, "rate: 5 is not a valid rate"),
            ({"stop_after": "soon"}, "^stop_after: "),
            ({"max_failures": [1]}, "max_failures"),
            ({"concurrency": True}, "concurrency"),
            ({"concurrency": "8"}, "concurrency"),
            ({"stop_at": "25:00"}, "stop_at"),
        ],
    )
    def test_a_wrong_value_names_its_option(
        self, at_home: Path, given: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(bu.errors.UsageError, match=message):
            bu.run("customers.csv", sandbox=True, **given)

    def test_too_many_invalid_rows_are_refused_with_their_plan(
        self, api: Witness, at_home: Path
    ) -> None:
        (at_home / "bad.csv").write_text("customerId,targetGroupId,targetId\nx,1,2\n7,1,2\n")
        with pytest.raises(bu.errors.InputRefused, match="1 of 2 rows are invalid") as refused:
            bu.run("bad.csv", out="f")
        assert refused.value.code == 65
        assert bu.plan("bad.csv", out="f").run_refuses
        assert not bu.plan("bad.csv", out="f", max_invalid="50%").run_refuses
        assert api.seen() == []

    @pytest.mark.parametrize(
        "which", [{"targets": ["7-8"]}, {"states": ["succeeded"]}, {"states": "pending"}]
    )
    def test_rows_that_cannot_be_chosen(self, at_home: Path, which: dict[str, Any]) -> None:
        bu.plan("customers.csv", out="f")
        with pytest.raises(bu.errors.UsageError):
            bu.retry("f", sandbox=True, **which)

    def test_a_wrong_name_is_an_error_of_the_caller(self) -> None:
        wrong: Any = {"rtae": "1/s"}
        with pytest.raises(TypeError, match="rtae"):
            bu.run("customers.csv", **wrong)


class TestEvents:
    @pytest.mark.parametrize("kind", [bu.Started, bu.Progress, bu.Ended])
    def test_what_a_caller_raises_stops_the_run_and_comes_out_when_all_is_recorded(
        self, api: Witness, kind: type
    ) -> None:
        def fail(event: object) -> None:
            if isinstance(event, kind):
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            bu.run("customers.csv", rate="500/s", on_event=fail)
        found = bu.status("customers.unenroll").summary
        assert found.counts
        assert found.counts.states[bu.State.SENDING] == found.counts.in_doubt == 0
        assert found.counts.attempts == len(api.seen())
        assert found.exit == (1 if kind is bu.Ended else 3)

    def test_raising_at_the_plan_sends_nothing(self, api: Witness) -> None:
        def refuse(event: object) -> None:
            raise LookupError("not today")

        with pytest.raises(LookupError):
            bu.run("customers.csv", on_event=refuse)
        assert api.seen() == []
        with pytest.raises(bu.errors.UsageError, match="nothing in this folder was confirmed"):
            bu.resume("customers.unenroll")

    def test_a_slow_caller_makes_no_doubts(self, api: Witness) -> None:
        end = bu.run(
            "customers.csv",
            rate="500/s",
            read_timeout=0.5,
            on_event=lambda event: time.sleep(0.7) if isinstance(event, bu.Started) else None,
        )
        assert end.counts
        assert (end.exit, end.counts.in_doubt) == (1, 0)

    def test_a_stop_before_it_begins_sends_nothing(self, api: Witness) -> None:
        stop = bu.StopRequest()
        stop.stop()
        with pytest.raises(bu.errors.Interrupted) as interrupted:
            bu.run("customers.csv", stop=stop)
        assert interrupted.value.code == 3
        assert api.seen() == []


class TestGuest:
    """It is a guest in the process: silent, and it leaves everything as it was."""

    def test_it_prints_nothing_and_takes_no_signals(
        self, api: Witness, capfd: pytest.CaptureFixture[str]
    ) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.getsignal(number) for number in numbers]
        during = []
        bu.run(
            "customers.csv",
            **FAST,
            on_event=lambda _: during.append([signal.getsignal(number) for number in numbers]),
        )
        assert all(found == before for found in during)
        assert capfd.readouterr() == ("", "")

    def test_its_log_goes_to_the_standard_logger(
        self, api: Witness, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="bulk_unenroll"):
            bu.run("customers.csv", **FAST)
        (run,) = (record.message for record in caplog.records if "event=run " in record.message)
        assert "to_call=998 rate=1000/s" in run
        codes = [record for record in caplog.records if "event=first_of_code" in record.message]
        assert {record.levelname for record in codes} == {"INFO", "WARNING"}
        ids = {str(row.customer_id) for row in bu.results("customers.unenroll") if row.customer_id}
        assert not any(who in record.message for record in caplog.records for who in ids)

    def test_it_works_in_threads_beside_each_other(self, api: Witness, at_home: Path) -> None:
        ends: list[bu.Summary] = []

        def unenroll(number: int) -> None:
            ends.append(bu.run("customers.csv", out=f"{number}.unenroll", **FAST, **BESIDE))

        threads = [threading.Thread(target=unenroll, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ends) == 2

    async def test_a_notebook_calls_it_where_a_loop_is_running(self, api: Witness) -> None:
        assert bu.run("customers.csv", **FAST).exit == 1

    def test_an_interrupt_stops_it_cleanly(self, at_home: Path) -> None:
        slow = Witness(at_home, SLOW)
        interrupted: list[object] = []

        def interrupt(event: object) -> None:
            if isinstance(event, bu.Progress) and not interrupted:
                interrupted.append(event)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        try:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in CREDENTIALS.items():
                    patch.setenv(name, value)
                with pytest.raises(KeyboardInterrupt):
                    bu.run(
                        "customers.csv", base_url=slow.base_url, rate="200/s", on_event=interrupt
                    )
        finally:
            slow.stop()
        found = bu.status("customers.unenroll").summary
        assert found.exit == 3
        assert found.counts
        assert found.counts.in_doubt == 0
        assert found.counts.attempts == len(slow.seen())

    def test_any_exception_thrown_at_the_caller_stops_it_cleanly(self, api: Witness) -> None:
        """As a scheduler's time limit does, or its handler of a signal."""

        def give_up(number: int, frame: object) -> None:
            raise TimeoutError("enough")

        before = signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, 1.5)
        try:
            with pytest.raises(TimeoutError, match="enough"):
                bu.run("customers.csv", rate="100/s")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        found = bu.status("customers.unenroll").summary
        assert found.exit == 3
        assert found.counts
        assert found.counts.attempts == len(api.seen()) < 500

    @pytest.mark.thorough
    def test_a_thread_that_outlives_the_main_one_records_all(self, api: Witness) -> None:
        code = """
import threading
import bulk_unenroll as bu

began = threading.Event()

def on_event(event):
    if isinstance(event, bu.Progress):
        began.set()

def unenroll():
    bu.run("customers.csv", rate="500/s", on_event=on_event)

threading.Thread(target=unenroll).start()
began.wait()
"""
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPO)}, check=True
        )
        found = bu.status("customers.unenroll").summary
        assert found.exit == 1
        assert found.counts
        assert found.counts.attempts == len(api.seen())

    @pytest.mark.parametrize(
        ("words", "heavy"),
        [
            ("import bulk_unenroll", {*HEAVY, "pydantic", "click", "rich"}),
            ("import bulk_unenroll.commands.status", {*HEAVY, "numpy", "structlog"}),
            ("import bulk_unenroll.commands.explain", {*HEAVY, "numpy", "structlog"}),
            ("import bulk_unenroll.commands.plan", {"pandas", "pyarrow", "aiohttp"}),
        ],
    )
    def test_what_need_not_be_imported_costs_no_command_its_time(
        self, words: str, heavy: Set[str]
    ) -> None:
        code = f"{words}; import sys; print({set(heavy)} & sys.modules.keys())"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=REPO, check=True, capture_output=True, text=True)
        assert done.stdout == "set()\n"


def test_a_stop_that_comes_while_the_ledger_is_opened_holds(
    api: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    bu.plan("customers.csv")
    opened = SqliteLedger.open

    def opening(folder: Path) -> SqliteLedger:
        assert bu.stop(folder), "the folder is held"
        return opened(folder)

    with monkeypatch.context() as slow:
        slow.setattr(SqliteLedger, "open", opening)
        with pytest.raises(Interrupted, match="nothing was sent"):
            bu.run("customers.csv", **FAST, **BESIDE)
    assert api.seen() == []
    assert bu.run("customers.csv", **FAST, **BESIDE).counts, "the next run is not meant"


class TestAsync:
    async def test_events_come_to_the_running_loop(self, api: Witness) -> None:
        async with bu.arun("customers.csv", rate="2000/s") as run:
            events = [event async for event in run]
        kinds = [type(event) for event in events]
        assert kinds[:2] == [bu.Planned, bu.Started]
        assert kinds[-2:] == [bu.Progress, bu.Ended]
        assert set(kinds[2:-2]) <= {bu.Progress, bu.Paused}
        last = events[-2]
        assert isinstance(last, bu.Progress)
        assert last.done == last.of == 998
        assert run.end.exit == 1

    async def test_leaving_early_stops_it_cleanly(self, api: Witness) -> None:
        async with bu.arun("customers.csv", rate="200/s") as run:
            async for event in run:
                if isinstance(event, bu.Progress):
                    break
        assert run.end.exit == bu.ExitCode.LEFT_OVER
        assert run.end.counts
        assert run.end.counts.succeeded == len(api.applied())

    async def test_being_cancelled_stops_it_cleanly(self, api: Witness) -> None:
        runs: list[bu.AsyncRun] = []

        async def unenroll() -> None:
            async with bu.arun("customers.csv", rate="200/s") as run:
                runs.append(run)
                async for _ in run:
                    pass

        task = asyncio.create_task(unenroll())
        await asyncio.to_thread(api.wait_for_calls)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runs[0].end.exit == bu.ExitCode.LEFT_OVER

    async def test_what_it_raises_is_raised_where_its_events_are_awaited(
        self, at_home: Path
    ) -> None:
        async with bu.arun("nothing.csv", sandbox=True) as run:
            with pytest.raises(bu.errors.InputMissing):
                await anext(run)

    async def test_or_when_it_is_left(self, at_home: Path) -> None:
        with pytest.raises(bu.errors.InputMissing):
            async with bu.arun("nothing.csv", sandbox=True):
                pass

    async def test_resume_and_retry(self, api: Witness) -> None:
        bu.run("customers.csv", **FAST)
        async with bu.aretry("customers.unenroll", codes=["310018"], rate="2000/s") as run:
            assert isinstance([event async for event in run][-1], bu.Ended)
        async with bu.aresume("customers.unenroll") as run:
            pass
        assert run.end.exit == 1


class TestPublicNames:
    def test_all_of_them_are_there_whatever_was_imported_before(self) -> None:
        for name in bu.__all__:
            found = getattr(bu, name)
            assert name == "errors" or not inspect.ismodule(found), name
        assert set(bu.__all__) <= set(dir(bu))
        with pytest.raises(AttributeError):
            bu.nothing  # noqa: B018

    @pytest.mark.parametrize("name", [name for name in bu.__all__ if name[0].islower()])
    def test_each_function_is_documented_and_typed(self, name: str) -> None:
        found = getattr(bu, name)
        if inspect.isfunction(found):
            assert found.__doc__
            assert "return" in found.__annotations__

    def test_the_keywords_are_the_options_of_the_command_line(self) -> None:
        keywords = {
            "plan": options.PlanOptions.__annotations__.keys(),
            "run": options.RunOptions.__annotations__.keys(),
            "resume": options.SendOptions.__annotations__.keys(),
        }
        own = {"json", "notify", "yes", "quiet", "verbose", "log_format", "log_file", "out"}
        own |= {"plan", "dry_run", "begin_only"}  # parameters of the functions themselves
        own |= {"ledger", "job"}  # in Python they are those of ``shared``
        own |= {"missing_ok"}  # in Python it is an exception, which may be caught
        for command, names in keywords.items():
            typed = {option.name for option in OPTIONS if command in option.commands} - own
            if command == "plan":
                typed.remove("log_ids")  # it calls nobody
            assert {name.removesuffix("_s") for name in typed} == set(names)

    def test_the_defaults_are_those_of_the_command_line(self) -> None:
        default = settings_from({})
        for option in OPTIONS:
            for settings in (default.send, default.run):
                if hasattr(settings, option.name) and option.default is not None:
                    assert option.default == getattr(settings, option.name), option.name
