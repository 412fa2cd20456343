"""The questions that a person at a terminal answers before anything is sent."""

from __future__ import annotations

import re
import sys
import termios
from typing import TYPE_CHECKING, Final

import click

from bulk_unenroll.errors import Unanswered

if TYPE_CHECKING:
    from bulk_unenroll.model import Alarm
    from bulk_unenroll.reports.plan import Plan

GROUPED: Final = re.compile(r"[0-9]{1,3}([,.' \u00a0\u202f][0-9]{3})+")
"""A number with the separators of one or another country."""


def forget_typed_ahead() -> None:
    """Throw away what was typed before a question could be read: it is no answer to it."""
    termios.tcflush(sys.stdin, termios.TCIFLUSH)


def ask_number(plan: Plan) -> None:
    """Let a person type how many customers are to be called; raises ``Unanswered`` (2)."""
    what = "This is a rehearsal." if plan.destination.rehearsal else "This cannot be undone."
    many = f"{plan.to_call:,} customer{'s' * (plan.to_call != 1)}"
    typed = _ask(f"{what} {many} would be called at {plan.destination.place}. Type the number")
    if _digits(typed) != str(plan.to_call):
        raise Unanswered(f"{typed!r} is not {plan.to_call:,}: nothing was sent")


def ask_name(alarm: Alarm) -> str:
    """Let a person type the name of an alarm to let it pass; raises ``Unanswered`` (2)."""
    typed = _ask(f"Alarm {alarm.name}. To go on in spite of it, type its name")
    if typed != alarm.name:
        raise Unanswered(f"{typed!r} is not {alarm.name}: nothing was sent")
    return typed


def ask_to_go_on(question: str) -> bool:
    """Let a person type ``go``; anything else means no."""
    return _ask(f"{question}. Type go to go on") == "go"


def _ask(question: str) -> str:
    try:
        typed: str = click.prompt(question, err=True, default="", show_default=False)
    except click.Abort:
        raise Unanswered("no answer: nothing was sent") from None
    return typed.strip()


def _digits(typed: str) -> str:
    return re.sub("[^0-9]", "", typed) if GROUPED.fullmatch(typed) else typed
