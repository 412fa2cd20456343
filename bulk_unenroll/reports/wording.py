"""The page's words: one sentence, what a code means, and what others said, made fit to be shown."""

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


def headline(counts: Counts) -> str:
    """What happened, in one sentence."""
    if not counts.unique:
        return "There was no customer/target to call."
    done = counts.states[State.SUCCEEDED]
    said = [f"{done:,} of {counts.unique:,} customers/targets were taken out"]
    said += [
        f"{number:,} {STATES[state].phrase}"
        for state in AFTER_SUCCEEDED
        if (number := counts.states[state])
    ]
    return ", ".join(said) + "."


def message_of(found: Problem) -> str:
    """What the server said about the example, where that is all there is to go by."""
    if not message_explains(found.code):
        return ""
    return masked(found.message.replace(str(found.customer), "…"))


def reason_of(code: int | None, reason: str) -> str:
    """Why a run ended; masked where a server's words may be in it."""
    return reason if code in SETTLED else masked(reason)  # the settled ones are our own words


def masked(text: str) -> str:
    """``text`` without what may be a customer's id, phone number or address; not too long."""
    text = re.sub(r"\S+@\S+", "…", text)
    text = re.sub(r"\d(?:[ .,()/-]?\d){6,}", "…", text)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def visible(text: object) -> str:
    """``text``, where what has no glyph (control, format, unassigned) shows as U+FFFD.

    Autoescaping leaves it in, and some of it turns the direction of what stands around it.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char
        for char in str(text)
    )
