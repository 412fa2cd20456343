"""Every exit, state and phase has its sentence; no number of an exit, option or path is shown."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bulk_unenroll
from bulk_unenroll.capillary.codes import CODES, WORDS, advice, says
from bulk_unenroll.exits import EXIT_CODES, ExitCode
from bulk_unenroll.inputs.ids import _FLAWS
from bulk_unenroll.inputs.own_status import UNDECIDED
from bulk_unenroll.model import PROTECTED, State
from bulk_unenroll.web.job_state import JobState, Stage
from bulk_unenroll.web.order import better_row, headings_of, offered, read_as
from bulk_unenroll.web.uploads import Unusable, stored_name
from bulk_unenroll.web.views import (
    MADE,
    PHASES,
    codes_of,
    ending_of,
    headline_of,
    progress_of,
    refusal_of,
    states_of,
    targets_of,
    typed_number,
)
from bulk_unenroll.web.words import (
    FALLBACK,
    REASONS,
    in_words,
    invalid_of,
    plainly,
    size,
)

PACKAGE = Path(bulk_unenroll.__file__).parent
EXAMPLES = {
    ExitCode.API_FAILS: "the canary failed: 3 of the first 10 calls succeeded; --canary-good asks",
    ExitCode.FOLDER_BUSY: "another process works in /srv/jobs/20261126-101010-aaaaaa/run",
    ExitCode.LEDGER_FAILED: "the disk is full: /srv/jobs/x/run/ledger.sqlite",
    ExitCode.CONFIG: "no base URL; give --base-url",
    ExitCode.INTERNAL: "Traceback (most recent call last)",
    ExitCode.INPUT_REFUSED: "not as in plan 1a2b3c: the sha256 of a.csv differs",
}


def outcome(code: int, **status: int) -> dict[str, Any]:
    reason = EXAMPLES.get(ExitCode(code), f"exit {code} of something")
    states = {state.value: status.get(state.value, 0) for state in State}
    rows = {"read": 9, "invalid": 1, "duplicate": 2, "unique": 6}
    return {"exit": {"code": code, "reason": reason}, "status": states, "rows": rows, "codes": {}}


def seen(code: int | None = None, last: str = "run", **more: Any) -> JobState:
    found = None if code is None else outcome(code, **more)
    return JobState("j", {"shown": "a.csv"}, None, last, None, found)


@pytest.mark.parametrize("code", EXIT_CODES)
def test_every_end_has_its_sentence(code: int) -> None:
    ending = ending_of(seen(code, pending=3))
    said = f"{ending.title} {ending.text}"
    assert ending.title[0].isupper()
    assert not re.search(rf"exit|\\b{code}\\b|--|/srv|Traceback|sqlite", said), said
    if ending.text:
        assert ending.text.endswith(".")


@pytest.mark.parametrize("code", EXIT_CODES)
def test_why_there_is_no_plan_has_its_sentence(code: int) -> None:
    ending = refusal_of(outcome(code))
    said = f"{ending.title} {ending.text}"
    assert not re.search(r"exit|--|/srv|Traceback|sqlite", said), said
    assert refusal_of(None).text.endswith(".")


def test_what_is_left_and_in_doubt_is_said() -> None:
    text = ending_of(seen(ExitCode.LEFT_OVER, pending=889, in_doubt=2)).text
    assert "889 are left." in text
    assert "2 are in doubt" in text


def test_all_were_called_but_not_all_were_answered() -> None:
    ending = ending_of(seen(ExitCode.LEFT_OVER, in_doubt=1))
    assert ending.title == "Finished, some need a look"
    assert "1 is in doubt" in ending.text


def test_what_ended_before_it_sent_can_be_begun_again() -> None:
    for code, again in ((3, True), (75, True), (65, False), (2, False), (66, False)):
        ended = seen(code)
        ended = replace(ended, outcome={"exit": (ended.outcome or {})["exit"]})
        assert ended.can_begin_again == again
        assert (ended.stage is Stage.STOPPED) == again
    assert not seen(3, pending=1).can_begin_again
    assert not seen().can_begin_again, "one that was cut off has no end"


def test_a_plan_that_is_about_to_be_there() -> None:
    now = {"phase": "ended"}
    assert progress_of(JobState("j", {}, working="plan", last="plan", now=now))["title"] == MADE


def test_the_numbers_of_the_targets_add_up_to_those_to_call() -> None:
    targets = [
        {"target": "1/2", "customers": 5, "states": {"pending": 2, "in_doubt": 1, "failed": 2}},
        {"target": "1/3", "customers": 1, "states": {"succeeded": 1}},
    ]
    for to_call in (2, 3):  # those in doubt are called while that was not long ago
        found = targets_of({"targets": targets, "to_call": to_call})
        assert [one.customers for one in found] == [5, 1]
        assert [one.to_call for one in found] == [to_call, 0]


def test_how_a_file_is_read_in_words() -> None:
    reading = {"columns": {"customerId": "Member No"}, "constants": {"targetId": 7}}
    more = {"sheet": "May", "header_row": "3", "encoding": "cp1252"}
    assert read_as({"reading": {**reading, **more}, "stop_at": "05:00"}) == [
        ("Customer id", "“Member No”"),
        ("Target id", "7 for every row"),
        ("Sheet", "May"),
        ("Header", "row 3"),
        ("Text", "Windows, Western Europe (cp1252)"),
        ("Stops at", "05:00, on the clock of this server"),
    ]
    assert read_as({"reading": reading})[2:] == []


def test_an_old_workbook_is_told_how_to_become_one() -> None:
    with pytest.raises(Unusable, match=r"Open this file in Excel, save it as \.xlsx"):
        stored_name("List of May.XLS")


@pytest.mark.parametrize("name", ["tienda señor.csv", "Q4 (final) v2.xlsx"])
def test_the_name_of_a_file_stays_as_it_is(name: str) -> None:
    facts = {"file": "stored.csv", "shown": name}
    assert in_words("stored.csv: it is odd", facts) == f"{name}: it is odd."


def test_advice_names_no_command() -> None:
    for code in (*CODES, *WORDS):
        said = f"{plainly(says(code))} {plainly(advice(code))}"
        assert not re.search(r"\b(resume|retry)\b|--[a-z]", said), said


def test_a_run_that_was_cut_off() -> None:
    assert seen().stage is Stage.CUT_OFF
    assert ending_of(seen()).title == "This run was cut off"


@pytest.mark.parametrize(
    ("known", "stage"),
    [
        (JobState("j", {}), Stage.NEW),
        (JobState("j", {}, working="plan", last="plan"), Stage.READING),
        (JobState("j", {}, last="plan", plan=outcome(0)), Stage.PLANNED),
        (JobState("j", {}, last="plan", plan=outcome(1)), Stage.PLANNED),
        (JobState("j", {}, last="plan", plan=outcome(65)), Stage.REFUSED),
        (JobState("j", {}, last="plan"), Stage.CUT_OFF),
        (JobState("j", {}, working="retry", last="retry"), Stage.RUNNING),
        (seen(0), Stage.FINISHED),
        (seen(1), Stage.LOOK),
        (seen(3, pending=1), Stage.STOPPED),
        (seen(69, pending=1), Stage.STOPPED),
    ],
)
def test_stages(known: JobState, stage: Stage) -> None:
    assert known.stage is stage
    assert known.stage.mark.sign


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_has_its_words(phase: str) -> None:
    now = {
        "phase": phase,
        "done": 109,
        "of": 998,
        "calls_a_minute": 96.2,
        "left_s": 540,
        "paused_until": "2026-11-26T23:12:40+00:00",
        "paused_why": "the API asked for it (429)",
        "rows_read": 6_200_000,
        "bytes_read": 62,
        "bytes": 100,
        "states": {"succeeded": 109},
    }
    found = progress_of(JobState("j", {}, working="run", last="run", now=now))
    said = f"{found['title']} {found['text']}"
    assert "_" not in said
    if phase in ("sending", "canary"):
        assert found["text"] == "109 of 998 done · 96 a minute · about 9 min left"
        assert found["percent"] == 10
    elif phase == "paused":
        assert found["text"] == "until 23:12:40 UTC: the API asked for it (429)"
    elif phase == "reading":
        assert (found["text"], found["percent"]) == ("6,200,000 rows so far", 10)


def test_before_anything_is_known() -> None:
    found = progress_of(JobState("j", {}, working="plan", last="plan"))
    assert (found["title"], found["text"], found["percent"]) == ("Reading the file", "", 0)


def test_every_state_stands_in_words() -> None:
    lines = states_of({"succeeded": 960, "not_enrolled": 2})
    assert {line.name for line in lines} >= {"succeeded", "not enrolled", "in doubt", "pending"}
    assert all(line.means and "`" not in line.means for line in lines)


def test_the_headline() -> None:
    said = headline_of(outcome(1, succeeded=3, failed=1, in_doubt=2))
    assert said == "3 of 6 customers were taken out, 1 failed, 2 are in doubt, 1 row is invalid."
    assert headline_of({}) == ""


def test_codes_say_what_to_do_and_who_needs_no_call() -> None:
    found = codes_of({"codes": {"310149": 5, "310018": 30}})
    assert [(line.code, line.number, line.again) for line in found] == [
        ("310018", 30, True),
        ("310149", 5, False),
    ]
    assert all(line.says and line.advice for line in found)


@pytest.mark.parametrize("typed", ["10000", "10,000", "10.000", "10 000", "10'000", " 10000 "])
def test_a_number_with_the_separators_of_any_country(typed: str) -> None:
    assert typed_number(typed) == "10000"


# ── words ────────────────────────────────────────────────────────────────────────────────────────


def texts_with_options() -> list[str]:
    """What the program may say that names an option, as far as it stands in its source."""
    found = []
    for folder in ("inputs", "commands", "reports", "settings", "ledger", "capillary"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = (
                        one.value if isinstance(one, ast.Constant) else "x" for one in node.values
                    )
                    found.append("".join(map(str, parts)))
    return [text for text in found if re.search(r"--[a-z]", text)]


def test_whatever_is_said_is_said_without_options_and_never_empty() -> None:
    texts = texts_with_options()
    assert len(texts) > 30
    for text in texts:
        for said in (in_words(text), in_words(f"1-x.csv: it is odd; {text}"), plainly(text)):
            assert not re.search(r"--[a-z]", said), (text, said)
            assert len(said) > 1, text


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("1-x.csv: --column customerId is gone", FALLBACK),
        (
            '1-x.csv: --column customerId="No": this header does not exist; found: "a"; give'
            " --column customerId=HEADER",
            'x.csv: the column “No”, chosen for customerId, does not exist; found: "a".',
        ),
        ("3 of 9 rows are invalid: more than --max-invalid allows; fix the file, or allow more",
         "3 of 9 rows are invalid: more than this page allows; fix the file, or allow more."),
        ("x.csv: byte 1 (0xe4) in line 1 is not UTF-8; save the file as UTF-8, or give its"
         " --encoding, such as cp1252",
         "x.csv: the letters with accents, first in line 1, are not written in UTF-8."),
        ("the canary failed; --canary-good asks", "The canary failed."),
    ],
)  # fmt: skip
def test_reasons_in_words(reason: str, said: str) -> None:
    assert in_words(reason, {"file": "1-x.csv", "shown": "x.csv"}) == said


def test_every_reason_of_an_invalid_row_has_its_sentence() -> None:
    source = "".join(path.read_text("utf-8") for path in (PACKAGE / "inputs").rglob("*.py"))
    codes = {code for _, code, _ in _FLAWS} | {*re.findall(r'Invalid\(\s*"(\w+)"', source)}
    assert codes | {PROTECTED, UNDECIDED} <= REASONS.keys()
    for why, todo in REASONS.values():
        assert why.endswith(".")
        assert todo.endswith(".")


def test_of_the_first_invalid_row_it_is_said_where_it_is_and_what_to_do() -> None:
    plan: dict[str, Any] = {
        "sources": [{"name": "a.xlsx"}],
        "invalid": [
            {
                "reason": "exponent",
                "rows": 3,
                "first_row": 21,
                "first_line": 23,
                "example": 'customerId: "4.2E+8" is rounded',
            }
        ],
    }
    (line,) = invalid_of(plan)
    assert line.where == "row 21 (row 23 in Excel)"
    assert "4.2E+8" in line.example
    assert "4.2E+8" not in line.why
    assert "export the list again" in line.advice
    as_text = {**plan, "sources": [{"name": "a.csv"}]}
    assert invalid_of(as_text)[0].where == "row 21 (line 23)"
    assert invalid_of(None) == []


@pytest.mark.parametrize(
    ("size_bytes", "said"),
    [(3, "1 KB"), (34_400, "34 KB"), (150_000, "0.1 MB"), (5_300_000, "5.3 MB")],
)
def test_sizes(size_bytes: int, said: str) -> None:
    assert size(size_bytes) == said


def test_one_is_not_several() -> None:
    said = headline_of({**outcome(1, succeeded=1, in_doubt=1, not_enrolled=1), "rehearsal": True})
    assert said.startswith("In a rehearsal, 1 of 6 customers were taken out, 1 was not enrolled")
    assert "1 is in doubt" in said
    assert ending_of(seen(ExitCode.LEFT_OVER, pending=1)).text == "1 is left."


def test_going_on_shows_the_last_known_numbers_until_there_are_new_ones() -> None:
    known = {"states": {"succeeded": 70}}
    begun = JobState(
        "j", {}, working="resume", last="resume", now={"phase": "reading"}, known=known
    )
    found = progress_of(begun)
    assert found["title"] == "Looking at what is left"
    assert found["states"] == {"succeeded": 70}
    assert progress_of(JobState("j", {}, working="run", last="run"))["states"] == {}


def test_the_row_that_is_probably_the_header() -> None:
    rows = [{"line": 3, "cells": ["", ""]}, {"line": 4, "cells": ["a", "b"]}]
    titled = {"header": ["May", ""], "rows": rows, "problem": None}
    assert better_row(titled) == 4
    assert better_row({**titled, "header": ["a", "b"]}) is None
    named = {"options": ["--header-row", "2", "--target-id", "N"]}
    assert better_row({**titled, "header": ["a", "b"], "problem": named}) == 2
    results = ["Socio", "unenroll_row", "unenroll_message"]
    assert better_row({**titled, "header": results, "problem": named}) is None


def test_what_to_do_about_a_row_that_failed_does_not_say_that_it_is_done_by_itself() -> None:
    retried = [code for code, meaning in CODES.items() if meaning.verdict == "retry"]
    assert {"521", "4001"} <= set(retried)
    for code in retried:
        assert "run this code again" in plainly(advice(code)), code


def test_columns_without_a_name_of_their_own_are_told_apart() -> None:
    found = offered(["Store", "", "Store", "id", " ", "unenroll_row"])
    assert [(one.place, one.value) for one in found] == [
        (0, "column:column A"),
        (1, "column:column B"),
        (2, "column:column C"),
        (3, "column:id"),
        (4, "column:column E"),
    ]
    assert found[0].label == "column “Store” (column A)"


def test_a_column_without_a_name_is_headed_by_its_place() -> None:
    assert headings_of(["id", "", "Store"]) == ["id", "column B", "Store"]
