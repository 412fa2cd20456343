"""The frontend of the command line: asks before anything is sent, and shows how it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from bulk_unenroll.cli import questions, screens
from bulk_unenroll.cli.endings import doing, print_abandoned
from bulk_unenroll.cli.log_options import is_json
from bulk_unenroll.cli.progress import watching
from bulk_unenroll.errors import Unanswered, UsageError
from bulk_unenroll.log import get_logger
from bulk_unenroll.reports.alarms.raising import AlarmsRaised

if TYPE_CHECKING:
    from bulk_unenroll.cli.options import Given
    from bulk_unenroll.cli.progress import ProgressDisplay
    from bulk_unenroll.ledger.counts import Counts
    from bulk_unenroll.reports.plan import Plan
    from bulk_unenroll.reports.summary import Summary

T = TypeVar("T")
log = get_logger()


class Terminal:
    """The frontend of a command line with the options ``given``."""

    owns_process = True

    def __init__(self, given: Given) -> None:
        self._given = given

    def work(self, task: Callable[[], T]) -> T:
        """Do ``task`` here, in the main thread, which signals reach."""
        return task()

    def confirm(self, plan: Plan) -> Collection[str]:
        """Show the plan, then let a person type the number of customers, or the alarms' names.

        Raises ``AlarmsRaised`` (65) if nobody is asked, and ``UsageError`` (2) for a wrong answer.
        """
        doing.check_interrupted()
        self._show(plan)
        if plan.to_call == 0:
            return ()
        if self._given["yes"]:
            if plan.alarms_raised:
                raise AlarmsRaised(plan.alarms_raised)
            return ()
        if not sys.stdin.isatty():
            raise UsageError(
                "cannot ask for confirmation: standard input is not a terminal. Nothing was sent",
                lacking={"yes": True},
            )
        questions.forget_typed_ahead()
        if not plan.alarms_raised:
            questions.ask_number(plan)
        return [questions.ask_name(alarm) for alarm in plan.alarms_raised]

    def goes_on(self, question: str) -> bool:
        """Ask a person at a terminal, and wait; nobody is asked with ``--yes``."""
        if self._given["yes"] or not sys.stdin.isatty():
            return False
        questions.forget_typed_ahead()
        try:
            return questions.ask_to_go_on(question)
        except Unanswered:
            return False

    def _show(self, plan: Plan) -> None:
        """Show the plan in words, but nowhere among JSON."""
        for alarm in plan.alarms:
            log.warning("alarm", name=alarm.name, text=alarm.text, allowed=alarm.allowed)
        if self._given["json"] and is_json(self._given):
            return
        console = screens.err() if self._given["json"] else screens.out()
        if self._given["quiet"] and self._given["yes"]:
            screens.show_alarms(console, plan)
        else:
            screens.show_plan(console, plan)

    def watch(self, before: Counts, to_call: int) -> AbstractContextManager[ProgressDisplay]:
        """Show the progress: live on a terminal, by log lines otherwise."""
        doing.check_interrupted()
        live = not (self._given["quiet"] or self._given["json"])
        return watching(before, to_call, live=live)

    def ended(self, summary: Summary) -> None:
        """Nothing: the command prints its summary when it returns."""

    def abandoned(self, summary: Summary) -> None:
        """Print how the run ended, for the process is about to be gone."""
        print_abandoned(summary, json=self._given["json"])
