"""A job as a TOML file: what a command line says, kept under version control. Pure.

Each section is for one concern, each key says what an option of ``run`` or ``retry`` says. The
values of a job file become the defaults of these options, so that they are read and checked as
those are, and what is typed on the command line wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from bulk_unenroll.cli.job_keys import FILES, MODELS, OPTION_AT, VARIABLES, Job, Place
from bulk_unenroll.cli.option_types import PATH
from bulk_unenroll.cli.options import Given, Option
from bulk_unenroll.urls import is_remote

FOLDER: Final[Place] = ("output", "folder")
REOPENING: Final[tuple[Place, ...]] = (
    ("retry", "codes"),
    ("retry", "states"),
    ("retry", "targets"),
)


@dataclass(frozen=True, slots=True)
class JobCommand:
    """The command that a job runs: its arguments, and the values of its options by name.

    ``secrets`` are variables of this program, each with the one that the job names in its place.
    """

    command: str
    arguments: list[str]
    options: Given
    secrets: dict[str, str]


class JobFileError(ValueError):
    """What is wrong with a job file, a line each; ``rest`` is the command of all else, if any."""

    def __init__(self, problems: list[str], rest: JobCommand | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.rest = rest


@dataclass(frozen=True, slots=True)
class Base:
    """What paths in a job file are relative to, and what ``{date}`` in them means."""

    folder: Path
    today: date

    def path(self, text: str) -> str:
        """An absolute path, with today's date where it asks for it."""
        name = dated(text, self.today)
        return name if name == "-" or is_remote(name) else str(self.folder / name)


def dated(text: str, today: date) -> str:
    """``text`` with ``today`` where it says ``{date}`` or ``{date:FORMAT}``."""
    return re.sub(
        r"\{date(?::([^}]*))?\}", lambda match: today.strftime(match[1] or "%Y-%m-%d"), text
    )


def read_job(text: str, base: Base) -> JobCommand:
    """The command in a job file's ``text``; raises ``JobFileError`` naming all that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise JobFileError([f"not valid TOML: {error}"]) from None
    try:
        return _command(document, base)
    except ValidationError as error:
        found = {_name(fault): _said(fault) for fault in reversed(error.errors())}
        rest = _without(document, [fault["loc"] for fault in error.errors()])
        raise JobFileError([*reversed(found.values())], _command_of_rest(rest, base)) from None


# ── from keys to a command ───────────────────────────────────────────────────────────────────────


def _command(document: Mapping[str, Any], base: Base) -> JobCommand:
    given = _given(document)
    reopens = any(place in given for place in REOPENING)
    if FILES in given and reopens:
        raise JobFileError(
            ["[input] is for a run, and retry.codes, states or targets for a retry: write two jobs"]
        )
    if FILES not in given and FOLDER not in given:
        raise JobFileError(["[input] is missing; a job without it needs output.folder"])
    command = "run" if FILES in given else "retry" if reopens else "resume"
    if command != "run":
        given[FILES] = given.pop(FOLDER)
    return JobCommand(
        command,
        [base.path(name) for name in _listed(given[FILES])],
        dict(_options(given, base)),
        dict(_secrets(given)),
    )


def _given(document: Mapping[str, Any]) -> dict[Place, Any]:
    """Every value of a document, by its place; raises ``ValidationError``."""
    sections = Job.model_validate(document).model_dump(exclude_none=True)
    return {
        (section, key): value for section, held in sections.items() for key, value in held.items()
    }


def _options(given: Mapping[Place, Any], base: Base) -> Iterator[tuple[str, Any]]:
    for place, option in OPTION_AT.items():
        if place in given:
            yield option.name, _value(option, given[place], base)


def _value(option: Option, value: Any, base: Base) -> Any:
    if option.type is PATH:
        return [*map(base.path, value)] if option.multiple else base.path(value)
    return list(value.items()) if isinstance(value, dict) else value


def _secrets(given: Mapping[Place, Any]) -> Iterator[tuple[str, str]]:
    for place, (ours, _) in VARIABLES.items():
        if place in given:
            yield ours, given[place]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# ── what is wrong with a file ────────────────────────────────────────────────────────────────────


def _command_of_rest(rest: Mapping[str, Any], base: Base) -> JobCommand | None:
    try:
        return _command(rest, base)
    except (ValidationError, JobFileError):
        return None


def _without(
    document: Mapping[str, Any], places: Iterable[tuple[int | str, ...]]
) -> dict[str, Any]:
    """A job file's sections without the keys that are wrong."""
    wrong = {place[:2] for place in places}
    return {
        name: {key: value for key, value in section.items() if (name, key) not in wrong}
        for name, section in document.items()
        if (name,) not in wrong
    }


def _said(fault: Mapping[str, Any]) -> str:
    """One line on what pydantic found."""
    name = _name(fault)
    if fault["type"] == "extra_forbidden":
        return f"{name} is not a key{_nearest(name)}"
    if fault["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {fault['msg'][:1].lower()}{fault['msg'][1:]}, not {fault['input']!r}"


def _name(fault: Mapping[str, Any]) -> str:
    return ".".join(map(str, fault["loc"][:2]))


def _nearest(name: str) -> str:
    """The key that was probably meant: of this section first, then of the others."""
    section, _, key = name.rpartition(".")
    keys = [f"{name}.{field}" for name, model in MODELS.items() for field in model.model_fields]
    own = [full for full in keys if full.startswith(f"{section}.")] if section else [*MODELS]
    near = get_close_matches(name, own, 1) or [k for k in keys if k.endswith(f".{key}")]
    near = near or get_close_matches(f"{section}.{key}", keys, 1)
    return f": did you mean {near[0]}?" if near else ""
