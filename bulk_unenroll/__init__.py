"""Take many customers out of Loyalty+ milestones and streaks, one accountable call at a time.

The commands of the command line, as functions::

    import bulk_unenroll as bu

    plan = bu.plan("customers.csv", out="c.unenroll")
    end = bu.run("customers.csv", out="c.unenroll", base_url="https://HOST/v3.1", plan=plan.id)
    print(end.exit.reason, end.counts.succeeded, end.next)

Nothing is imported before it is used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bulk_unenroll import errors as errors
    from bulk_unenroll.commands.async_run import AsyncRun as AsyncRun
    from bulk_unenroll.commands.async_run import aresume as aresume
    from bulk_unenroll.commands.async_run import aretry as aretry
    from bulk_unenroll.commands.async_run import arun as arun
    from bulk_unenroll.commands.events import Ended as Ended
    from bulk_unenroll.commands.events import Paused as Paused
    from bulk_unenroll.commands.events import Planned as Planned
    from bulk_unenroll.commands.events import Started as Started
    from bulk_unenroll.commands.explain import Explained as Explained
    from bulk_unenroll.commands.explain import explain as explain
    from bulk_unenroll.commands.export import export as export
    from bulk_unenroll.commands.move import move as move
    from bulk_unenroll.commands.options import PlanOptions as PlanOptions
    from bulk_unenroll.commands.options import ReadOptions as ReadOptions
    from bulk_unenroll.commands.options import RunOptions as RunOptions
    from bulk_unenroll.commands.options import SendOptions as SendOptions
    from bulk_unenroll.commands.peek import peek as peek
    from bulk_unenroll.commands.plan import plan as plan
    from bulk_unenroll.commands.report import report as report
    from bulk_unenroll.commands.results import Results as Results
    from bulk_unenroll.commands.results import results as results
    from bulk_unenroll.commands.run import resume as resume
    from bulk_unenroll.commands.run import retry as retry
    from bulk_unenroll.commands.run import run as run
    from bulk_unenroll.commands.run import work as work
    from bulk_unenroll.commands.shared import shared as shared
    from bulk_unenroll.commands.status import Status as Status
    from bulk_unenroll.commands.status import status as status
    from bulk_unenroll.commands.stop import stop as stop
    from bulk_unenroll.commands.verify import verify as verify
    from bulk_unenroll.errors import Next as Next
    from bulk_unenroll.exits import Exit as Exit
    from bulk_unenroll.exits import ExitCode as ExitCode
    from bulk_unenroll.inputs.peek import Peek as Peek
    from bulk_unenroll.inputs.peek import PeekedRow as PeekedRow
    from bulk_unenroll.ledger.facts import ResultRow as ResultRow
    from bulk_unenroll.model import Alarm as Alarm
    from bulk_unenroll.model import Enrollment as Enrollment
    from bulk_unenroll.model import State as State
    from bulk_unenroll.model import Target as Target
    from bulk_unenroll.reports.plan import Destination as Destination
    from bulk_unenroll.reports.plan import Plan as Plan
    from bulk_unenroll.reports.progress import Progress as Progress
    from bulk_unenroll.reports.summary import Summary as Summary
    from bulk_unenroll.sending.stopping import StopRequest as StopRequest

__version__ = "0.1.0"

_MODULES: Final = {
    "commands.async_run": ("AsyncRun", "aresume", "aretry", "arun"),
    "commands.events": ("Ended", "Paused", "Planned", "Started"),
    "commands.explain": ("Explained", "explain"),
    "commands.export": ("export",),
    "commands.move": ("move",),
    "commands.options": ("PlanOptions", "ReadOptions", "RunOptions", "SendOptions"),
    "commands.peek": ("peek",),
    "commands.plan": ("plan",),
    "commands.report": ("report",),
    "commands.results": ("Results", "results"),
    "commands.run": ("resume", "retry", "run", "work"),
    "commands.shared": ("shared",),
    "commands.status": ("Status", "status"),
    "commands.stop": ("stop",),
    "commands.verify": ("verify",),
    "errors": ("Next",),
    "exits": ("Exit", "ExitCode"),
    "inputs.peek": ("Peek", "PeekedRow"),
    "ledger.facts": ("ResultRow",),
    "model": ("Alarm", "Enrollment", "State", "Target"),
    "reports.plan": ("Destination", "Plan"),
    "reports.progress": ("Progress",),
    "reports.summary": ("Summary",),
    "sending.stopping": ("StopRequest",),
}
_PLACES: Final = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(("errors", *_PLACES))


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("bulk_unenroll.errors")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bulk_unenroll.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
