"""The frontend of the command line: asks before anything is sent, and shows how it goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

import click

from bulk_unenroll.cli import screens
from bulk_unenroll.cli.endings import print_abandoned
from bulk_unenroll.cli.progress import watching
from bulk_unenroll.errors import UsageError

if TYPE_CHECKING:
    from bulk_unenroll.cli.options import Given
    from bulk_unenroll.cli.progress import ProgressDisplay
    from bulk_unenroll.ledger.counts import Counts
    from bulk_unenroll.reports.plan import Plan
    from bulk_unenroll.reports.summary import Summary

T = TypeVar("T")


class Terminal:
    """The frontend of a command line with the options ``given``."""

    owns_process = True

    def __init__(self, given: Given) -> None:
        self._given = given

    def work(self, task: Callable[[], T]) -> T:
        """Do ``task`` here, in the main thread, which signals reach."""
        return task()

    def confirm(self, plan: Plan) -> None:
        """Show the plan, then let a person type the number of customers; raises ``UsageError``."""
        console = screens.err() if self._given["json"] else screens.out()
        if not self._given["quiet"] or not self._given["yes"]:
            screens.show_plan(console, plan, self._given["rate"])
        if self._given["yes"] or plan.to_call == 0:
            return
        if not sys.stdin.isatty():
            raise UsageError(
                "cannot ask for confirmation: standard input is not a terminal. Nothing was sent",
                lacking={"yes": True},
            )
        question = "This cannot be undone. Type the number of customers to call"
        try:
            typed = click.prompt(question, err=True, default="", show_default=False)
        except click.Abort:
            raise UsageError("no answer: nothing was sent") from None
        if typed.strip() != str(plan.to_call):
            raise UsageError(f"{typed!r} is not {plan.to_call}: nothing was sent")

    def watch(self, before: Counts, to_call: int) -> AbstractContextManager[ProgressDisplay]:
        """Show the progress: live on a terminal, by log lines otherwise."""
        live = not (self._given["quiet"] or self._given["json"])
        return watching(before, to_call, live=live)

    def ended(self, summary: Summary) -> None:
        """Nothing: the command prints its summary when it returns."""

    def abandoned(self, summary: Summary) -> None:
        """Print how the run ended, for the process is about to be gone."""
        print_abandoned(summary, json=self._given["json"])
