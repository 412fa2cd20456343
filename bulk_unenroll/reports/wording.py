"""Texts of the page: its headline, and the words of servers, made safe to show."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from bulk_unenroll.capillary.codes import message_explains
from bulk_unenroll.exits import SETTLED
from bulk_unenroll.ledger.counts import Counts
from bulk_unenroll.model import STATES, State
from bulk_unenroll.reports.problems import Problem

SHOWN_CHARS: Final = 200
AFTER_SUCCEEDED: Final = (
    State.NOT_ENROLLED,
    State.FAILED,
    State.BLOCKED,
    State.REVIEW,
    State.IN_DOUBT,
    State.SENDING,
    State.PENDING,
)


def headline(counts: Counts, *, rehearsal: bool = False, planned: bool = False) -> str:
    """What happened, in one sentence. ``planned``: nothing was run yet."""
    if not counts.unique:
        return "There was no customer/target to call."
    if planned:
        return f"Nothing was sent yet: {counts.unique:,} customers/targets are planned."
    done = counts.states[State.SUCCEEDED]
    where = "In a rehearsal, " if rehearsal else ""
    phrases = [f"{where}{done:,} of {counts.unique:,} customers/targets were taken out"]
    phrases += [
        f"{number:,} {STATES[state].phrase}"
        for state in AFTER_SUCCEEDED
        if (number := counts.states[state])
    ]
    return ", ".join(phrases) + "."


def duration(seconds: float) -> str:
    """``4 s``, ``12 min``, ``3 h 20 min``, ``2 d 5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


def message_of(problem: Problem) -> str:
    """The server's message about the example, masked; empty if the code explains it."""
    if not message_explains(problem.code):
        return ""
    return masked(problem.message.replace(str(problem.customer), "…"))


def reason_of(code: int | None, reason: str) -> str:
    """Why a run ended; masked if it may quote a server."""
    return reason if code in SETTLED else masked(reason)  # the reasons of these are our own words


def masked(text: str) -> str:
    """``text``, shortened, without what may be a customer's id, phone number or email address."""
    text = re.sub(r"\S+@\S+", "…", text)
    text = re.sub(r"\d(?:[ .,()/-]?\d){6,}", "…", text)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def visible(text: object) -> str:
    """``text`` with U+FFFD for characters without a glyph (control, format, unassigned).

    Autoescaping leaves them in, and some change the direction of the text around them.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char
        for char in str(text)
    )
