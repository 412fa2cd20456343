"""A job as a TOML file: what a command line says, kept under version control. Pure.

A section for each concern, every option of ``run`` and ``retry`` a key of one. A job file becomes
the defaults of these very options, so that checks and messages are theirs, and what the command
line says wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bulk_unenroll.urls import is_remote

Strings = Annotated[list[str], Field(min_length=1)]
COMMANDS: Final = ("run", "retry", "resume")
SECRETS: Final = ("username", "password", "password_md5", "client_key", "client_secret")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Input(_Section):
    """What to read. Without this section the job goes on with its folder."""

    files: str | Strings = Field(
        description="Paths, globs, addresses; {date} is today, {date:%d%m} parts."
    )
    columns: dict[str, str] | None = Field(
        default=None, description='Headers of other names: { customerId = "Member No" }.'
    )
    target_group_id: int | None = None
    target_id: int | None = None
    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None


class Api(_Section):
    """Where to send. Credentials are named, never written here."""

    base_url: str | None = Field(default=None, description="Prefix included: https://HOST/v3.1")
    data_scope_org: int | None = None
    username_env: str | None = Field(default=None, description="Variable that holds the username.")
    password_env: str | None = Field(default=None, description="Or its file: ..._FILE.")
    password_md5_env: str | None = Field(default=None, description="Instead of password_env.")
    client_key_env: str | None = Field(default=None, description="Variable that holds the key.")
    client_secret_env: str | None = Field(default=None, description="With client_key_env.")
    concurrency: int | None = None
    read_timeout_s: float | None = None
    connect_timeout_s: float | None = None
    sandbox: bool | None = None
    sandbox_scenario: str | None = None


class Pace(_Section):
    """How fast."""

    rate: str | None = Field(default=None, description="N/s, N/min or N/h")
    mode: Literal["fixed", "adaptive"] | None = None


class Retry(_Section):
    """What to try again. With codes, states or targets the job reopens rows of its folder."""

    max_attempts: int | None = None
    in_doubt: Literal["resend", "hold"] | None = None
    codes: Strings | None = None
    states: Strings | None = None
    targets: Strings | None = Field(default=None, description="GROUP/TARGET")


class Limits(_Section):
    """When to refuse, and when to stop."""

    max_invalid: str | int | None = Field(default=None, description='N or "P%"')
    max_failures: str | int | None = Field(default=None, description='N or "P%"')
    canary: int | None = None
    expect: int | None = None


class Schedule(_Section):
    """When to end, and whether anyone is there to ask."""

    stop_after: str | None = Field(default=None, description="90s, 15m, 1h30m")
    stop_at: str | None = Field(default=None, description="HH:MM, local time")
    unattended: bool | None = Field(default=None, description="Ask no question.")


class Output(_Section):
    """Where results and logs go."""

    folder: str | None = Field(
        default=None, description="The run folder; {date} as in input.files."
    )
    export: bool | None = Field(
        default=None, description="false skips results.csv, failed.csv and report.html."
    )
    json_summary: bool | None = None
    quiet: bool | None = None
    verbose: bool | None = None
    log_file: str | None = None
    log_format: Literal["console", "json"] | None = None
    log_ids: bool | None = None
    metrics_file: str | None = None


class Notify(_Section):
    """Whom to tell, and when."""

    when: Literal["end", "halt", "never"] | None = None
    urls_env: str | None = Field(
        default=None,
        description="Variable that holds apprise URLs. [default: BULK_UNENROLL_NOTIFY_URLS]",
    )


class Job(_Section):
    """A job of bulk-unenroll. Paths are relative to this file."""

    input: Input | None = None
    api: Api = Api()
    pace: Pace = Pace()
    retry: Retry = Retry()
    limits: Limits = Limits()
    schedule: Schedule = Schedule()
    output: Output = Output()
    notify: Notify = Notify()


SECTIONS: Final[Mapping[str, type[_Section]]] = {
    kind.__name__.lower(): kind
    for kind in (Input, Api, Pace, Retry, Limits, Schedule, Output, Notify)
}
PATHS: Final = {
    ("api", "sandbox_scenario"),
    ("output", "folder"),
    ("output", "log_file"),
    ("output", "metrics_file"),
}
OPTIONS: Final[Mapping[tuple[str, str], str]] = {
    ("pace", "mode"): "pace",
    ("api", "read_timeout_s"): "read_timeout",
    ("api", "connect_timeout_s"): "connect_timeout",
    ("schedule", "unattended"): "yes",
    ("output", "folder"): "out",
    ("output", "export"): "no_export",
    ("output", "json_summary"): "json_",
    ("output", "log_file"): "log_path",
    ("notify", "when"): "notify",
}
"""Options that are not called as their keys are."""


def key_of(option: str) -> str:
    """The key of a job file that sets an option, such as ``pace.rate``."""
    keys = ((name, key) for name, section in SECTIONS.items() for key in section.model_fields)
    return next(f"{name}.{key}" for name, key in keys if OPTIONS.get((name, key), key) == option)


@dataclass(frozen=True, slots=True)
class Order:
    """What a job comes to: a command, its arguments, the defaults of its options by name.

    ``secrets`` names the environment variable that holds each credential.
    """

    command: str
    arguments: list[str]
    options: dict[str, Any]
    secrets: dict[str, str]


class JobFileError(ValueError):
    """What is wrong with a job file, a line each; ``rest`` is the order of all else, if any."""

    def __init__(self, problems: list[str], rest: Order | None = None) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.rest = rest


def read_job(text: str, base: Path, today: date) -> Order:
    """The order that a job file's ``text`` gives; its paths are relative to ``base``.

    Raises ``JobFileError`` that names all that is wrong.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise JobFileError([f"it is no TOML: {error}"]) from None
    place = _Place(base, today)
    try:
        return _order(document, place)
    except ValidationError as error:
        said = {_name(problem): _said(problem) for problem in reversed(error.errors())}
        rest = _without(document, [problem["loc"] for problem in error.errors()])
        raise JobFileError([*reversed(said.values())], _order_of_rest(rest, place)) from None


def _order_of_rest(rest: Mapping[str, Any], place: _Place) -> Order | None:
    try:
        return _order(rest, place)
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


def _order(document: Mapping[str, Any], place: _Place) -> Order:
    job = Job.model_validate(document)
    again = (job.retry.codes, job.retry.states, job.retry.targets)
    if job.input and any(again):
        raise JobFileError(["[input] and retry.codes, states or targets are two jobs"])
    if not job.input and not job.output.folder:
        raise JobFileError(["[input] is missing, or output.folder of a job to go on with"])
    command = "run" if job.input else "retry" if any(again) else "resume"
    files = _listed(job.input.files) if job.input else [job.output.folder or ""]
    return Order(
        command,
        [place.of(name) for name in files],
        {name: value for name, value in _options(job, place) if command == "run" or name != "out"},
        dict(_secrets(job)),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    base: Path
    today: date

    def of(self, text: str) -> str:
        """An absolute path, with today's date where it asks for it."""
        name = dated(text, self.today)
        return name if name == "-" or is_remote(name) else str(self.base / name)


def dated(text: str, today: date) -> str:
    """``text`` with ``today`` where it says ``{date}`` or ``{date:FORMAT}``."""
    return re.sub(
        r"\{date(?::([^}]*))?\}", lambda match: today.strftime(match[1] or "%Y-%m-%d"), text
    )


def _secrets(job: Job) -> Iterator[tuple[str, str]]:
    for name in SECRETS:
        held = getattr(job.api, f"{name}_env")
        if held is not None:
            yield name, held
    if job.notify.urls_env is not None:
        yield "notify_urls", job.notify.urls_env


def _options(job: Job, place: _Place) -> Iterator[tuple[str, Any]]:
    for section, kind in SECTIONS.items():
        held = getattr(job, section)
        for key in kind.model_fields if held is not None else ():
            value = getattr(held, key)
            if value is None or key == "files" or key.endswith("_env"):
                continue
            yield OPTIONS.get((section, key), key), _value(section, key, value, place)


def _value(section: str, key: str, value: Any, place: _Place) -> Any:
    if (section, key) in PATHS:
        return place.of(value)
    if key == "columns":
        return [f"{name}={header}" for name, header in value.items()]
    if key == "export":
        return not value
    return value if isinstance(value, bool | list) else str(value)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _said(problem: Mapping[str, Any]) -> str:
    """One line on what pydantic found."""
    name = _name(problem)
    if problem["type"] == "extra_forbidden":
        return f"{name} is no key{_nearest(name)}"
    if problem["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {problem['msg'][:1].lower()}{problem['msg'][1:]}, not {problem['input']!r}"


def _name(problem: Mapping[str, Any]) -> str:
    return ".".join(map(str, problem["loc"][:2]))


def _nearest(name: str) -> str:
    """The key that was probably meant: of this section first, then of the others."""
    section, _, key = name.rpartition(".")
    keys = [f"{name}.{field}" for name, held in SECTIONS.items() for field in held.model_fields]
    own = [full for full in keys if full.startswith(f"{section}.")] if section else [*SECTIONS]
    near = get_close_matches(name, own, 1) or [k for k in keys if k.endswith(f".{key}")]
    near = near or get_close_matches(f"{section}.{key}", keys, 1)
    return f": did you mean {near[0]}?" if near else ""


def schema() -> dict[str, Any]:
    """The JSON Schema of job files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Job.model_json_schema()}
