"""What the files of a job say, in words for people. Pure.

No number of an exit, path of the server or traceback is shown; a sentence stands for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bulk_unenroll.capillary.codes import advice, says
from bulk_unenroll.exits import ExitCode
from bulk_unenroll.model import STATES, State
from bulk_unenroll.reports.marks import BAD, GOOD, MARKS, WAIT, WARN, Mark
from bulk_unenroll.reports.wording import AFTER_SUCCEEDED, duration
from bulk_unenroll.web.job_state import Facts, JobState, Stage, code_of
from bulk_unenroll.web.words import in_words, phrase, plainly, several

SETTLED_CODES: Final = ("310149",)
"""Whoever is not enrolled needs no call."""
RETRIED: Final = ("failed", "blocked", "review")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: a title and what it means, with a mark."""

    mark: Mark
    title: str
    text: str = ""


def ending_of(seen: JobState) -> Ending:
    """How the last command that sends ended."""
    outcome = seen.outcome
    if outcome is None:
        return Ending(
            BAD,
            "This run was cut off",
            "The machine was restarted, or the run was ended from outside. What was called is on"
            " record. You can go on.",
        )
    code, reason = code_of(outcome), str(outcome["exit"]["reason"])
    if code == ExitCode.LEFT_OVER and "first time" in reason:
        said = in_words(reason)
        return Ending(WARN, "The first calls succeeded. Look one customer up", said)
    if code == ExitCode.API_FAILS:
        return Ending(BAD, "It stopped by itself", in_words(reason))
    if code in (ExitCode.INPUT_REFUSED, ExitCode.USAGE):
        return Ending(BAD, "Nothing was sent", in_words(reason, seen.facts))
    found = _ENDINGS.get(code)
    if found is None or found.text:
        return found or _ENDINGS[ExitCode.INTERNAL]
    return _with_numbers(found, seen)


def _with_numbers(found: Ending, seen: JobState) -> Ending:
    """An end that says no more than its title, with who is left and in doubt."""
    if seen.can_begin_again:
        return Ending(found.mark, found.title, "Nothing was sent.")
    if found is _STOPPED and seen.in_doubt and not seen.left:
        found = _ENDINGS[ExitCode.ROWS_FAILED]  # all were called; not all were answered
    text = f"{phrase(seen.left, 'are left')}." if seen.left else ""
    if seen.in_doubt:
        text += f" {phrase(seen.in_doubt, 'are in doubt')}: nobody knows what became of them."
    return Ending(found.mark, found.title, text.strip())


def refusal_of(plan: Facts | None, facts: Facts | None = None) -> Ending:
    """Why there is no plan. ``facts``: of its file."""
    if plan is None:
        text = "The reading was ended from outside. Make the plan again."
        return Ending(BAD, "This file was not read to its end", text)
    code, reason = code_of(plan), str(plan["exit"]["reason"])
    if code in (ExitCode.INPUT_REFUSED, ExitCode.USAGE):
        return Ending(BAD, "This file was refused", in_words(reason, facts))
    found = _ENDINGS.get(code, _ENDINGS[ExitCode.INTERNAL])
    return Ending(BAD, "There is no plan", f"{found.title}. {found.text}".strip())


_STOPPED: Final = Ending(WAIT, "Stopped")
_ENDINGS: Final[Mapping[int, Ending]] = {
    ExitCode.FINISHED: Ending(GOOD, "Finished"),
    ExitCode.ROWS_FAILED: Ending(WARN, "Finished, some need a look"),
    ExitCode.LEFT_OVER: _STOPPED,
    ExitCode.SIGINT: _STOPPED,
    ExitCode.SIGTERM: _STOPPED,
    ExitCode.INPUT_MISSING: Ending(BAD, "Nothing was sent", "The file of this job is gone."),
    ExitCode.INTERNAL: Ending(
        BAD,
        "Something in this program broke",
        "What was called is on record. Tell who looks after this page.",
    ),
    ExitCode.FOLDER_UNUSABLE: Ending(
        BAD, "Nothing was sent", "This server cannot write where the job is kept. Tell who looks"
        " after it.",
    ),
    ExitCode.LEDGER_FAILED: Ending(
        BAD,
        "The disk of this server is full, or the record is damaged",
        "Nothing was sent after that. Tell who looks after this server; then go on.",
    ),
    ExitCode.FOLDER_BUSY: Ending(
        WARN, "Somebody else is sending", "Another run works with the same sign-in, or on this job."
        " Wait until it ends, then go on.",
    ),
    ExitCode.CREDENTIALS: Ending(
        BAD,
        "The API refused the sign-in of this server",
        "Tell who looks after this server; then go on.",
    ),
    ExitCode.CONFIG: Ending(
        BAD,
        "This server is set up wrongly for this destination",
        "The address, the sign-in or the certificate is not right. Tell who looks after it.",
    ),
}  # fmt: skip


def headline_of(outcome: Facts) -> str:
    """What came of a job, in one sentence; empty before a run has ended."""
    if "rows" not in outcome:
        return ""
    status, unique = outcome["status"], int(outcome["rows"]["unique"])
    where = "In a rehearsal, " if outcome.get("rehearsal") else ""
    phrases = [f"{where}{status['succeeded']:,} of {unique:,} customers were taken out"]
    phrases += [
        phrase(number, STATES[state].phrase)
        for state in AFTER_SUCCEEDED
        if (number := int(status.get(state.value, 0)))
    ]
    if invalid := outcome.get("invalid_left", outcome["rows"]["invalid"]):
        phrases.append(several(invalid, "row is invalid", "rows are invalid"))
    return f"{', '.join(phrases)}."


IN_DOUBT: Final = "the answer was lost: nobody knows whether they were taken out"
PHASES: Final = {
    "reading": "Reading the file",
    "confirming": "Checking the plan",
    "canary": "The first calls, as a test",
    "sending": "Running",
    "paused": "Paused",
    "stopping": "Stopping: calls on their way are awaited",
    "writing results": "Writing the results",
    "ended": "Ending",
}


LEFT: Final = "Looking at what is left"
MADE: Final = "The plan is nearly there"


def progress_of(seen: JobState) -> dict[str, Any]:
    """How far the command is that works now: what the page shows, and what it asks for again."""
    now: Facts = seen.now or {}
    states = now.get("states") or (seen.known or {}).get("states") or {}
    phase = str(now.get("phase", "reading"))
    done, of = now.get("done") or 0, now.get("of")
    read, size = now.get("bytes_read") or 0, now.get("bytes") or 0
    share = done / of if of else min(read / size, 1.0) if size and phase == "reading" else 0.0
    return {
        "working": seen.working is not None,
        "stage": seen.stage.value,
        "phase": phase,
        "title": _title(seen, phase),
        "text": _progress_text(now, phase),
        "percent": int(100 * share),
        "done": done,
        "of": of,
        "states": dict(states),
    }


def _title(seen: JobState, phase: str) -> str:
    if phase == "ended" and seen.stage is Stage.READING:
        return MADE
    is_again = phase == "reading" and seen.working in ("resume", "retry")
    return LEFT if is_again else PHASES.get(phase, PHASES["reading"])


def _progress_text(now: Facts, phase: str) -> str:
    if phase == "reading":
        rows = now.get("rows_read") or 0
        return several(rows, "row so far", "rows so far") if rows else ""
    if phase == "paused":
        until = str(now.get("paused_until") or "")[11:19]
        return f"until {until} UTC: {now.get('paused_why')}"
    parts = []
    if now.get("of") is not None:
        parts.append(f"{now['done']:,} of {now['of']:,} done")
    if phase in ("sending", "canary") and now.get("calls_a_minute"):
        parts.append(f"{now['calls_a_minute']:,.0f} a minute")
        if now.get("left_s") is not None:
            parts.append(f"about {duration(now['left_s'])} left")
    return " · ".join(parts)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StateLine:
    """A state, how many are in it, and what it means."""

    state: State
    number: int
    means: str

    @property
    def name(self) -> str:
        """The state in words."""
        return self.state.value.replace("_", " ")


def states_of(status: Facts) -> list[StateLine]:
    """Every state with its count."""
    shown = [state for state in State if state in MARKS]
    numbers = {state: int(status.get(state.value, 0)) for state in shown}
    means = {state: STATES[state].meaning for state in shown} | {State.IN_DOUBT: IN_DOUBT}
    return [StateLine(state, number, means[state]) for state, number in numbers.items()]


@dataclass(frozen=True, slots=True)
class TargetLine:
    """A target of a plan: how many customers, and how many of them would be called."""

    target: str
    customers: int
    to_call: int


def targets_of(plan: Facts) -> list[TargetLine]:
    """The targets of a plan. Those in doubt are called where the plan counts them."""
    states = [one["states"] for one in plan["targets"]]
    waiting = sum(one.get("pending", 0) for one in states)
    counted = ("pending", "in_doubt") if plan["to_call"] > waiting else ("pending",)
    return [
        TargetLine(one["target"], one["customers"], sum(one["states"].get(s, 0) for s in counted))
        for one in plan["targets"]
    ]


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A code: how many ended with it, what it means, what to do, and whether to call them again."""

    code: str
    number: int
    says: str
    advice: str
    again: bool


def codes_of(outcome: Facts | None) -> list[CodeLine]:
    """The codes of what did not succeed, the most frequent first."""
    found = (outcome or {}).get("codes", {})
    ordered = sorted(found.items(), key=lambda pair: -pair[1])
    return [
        CodeLine(
            code, number, plainly(says(code)), plainly(advice(code)), code not in SETTLED_CODES
        )
        for code, number in ordered
    ]


def typed_number(text: str) -> str:
    """The digits of a number that somebody typed with separators."""
    return "".join(char for char in text if char not in " ,.'\u2019\u00a0\u202f")
