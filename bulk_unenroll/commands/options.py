"""The options of a command as keywords, with the names and values of the command line."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import time
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar

from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.ids import checked_id
from bulk_unenroll.inputs.mapping import ReadSettings, parse_column
from bulk_unenroll.option_values import (
    Expectation,
    Limit,
    Rate,
    TargetCap,
    Window,
    parse_delimiter,
    parse_duration_s,
    parse_engine,
    parse_expectation,
    parse_limit,
    parse_percent,
    parse_rate,
    parse_target_cap,
    parse_time_of_day,
    parse_timeout_s,
    parse_window,
)
from bulk_unenroll.reports.alarms.raising import NAMES as ALARMS
from bulk_unenroll.settings import CHOICES, RANGES, RunSettings, SendSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Kind = TypeVar("Kind", bound=DataclassInstance)


class SendOptions(TypedDict, total=False):
    """How to send: ``resume`` and ``retry`` take these. ``docs/reference.md`` explains each one.

    ``rate`` is text such as ``"100/min"``; limits are ``12`` or ``"10%"``; durations are seconds or
    text such as ``"1h30m"``; times of day are ``"05:00"``, a window ``"22:00-05:00"``.
    """

    base_url: str
    sandbox: bool
    sandbox_scenario: str | os.PathLike[str]
    rate: str | Rate
    pace: Literal["fixed", "adaptive"]
    ramp: float | str
    concurrency: int
    max_attempts: int
    read_timeout: float
    connect_timeout: float
    in_doubt: Literal["resend", "hold"]
    canary: int
    canary_good: str | Limit
    max_not_enrolled: int | str | Limit
    max_failures: int | str | Limit
    expect: int | str | Expectation
    never: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    max_customers: int
    max_target: str | Sequence[str]
    limit: int
    history: str | os.PathLike[str]
    beside: bool
    on: str
    senders: int
    first_time: Literal["hold", "go"]
    stop_after: float | str
    stop_at: str | time
    window: str | Window
    export: bool
    metrics_file: str | os.PathLike[str]
    progress_file: str | os.PathLike[str]
    log_ids: bool


class ReadOptions(TypedDict, total=False):
    """How to read an input, and which alarms about it may pass.

    ``columns`` maps ``customerId``, ``targetId`` and so on to headers.
    """

    columns: Mapping[str, str] | Sequence[tuple[str, str]]
    target_group_id: int
    target_id: int
    data_scope_org: int
    delimiter: str
    encoding: str
    sheet: str
    header_row: int
    max_invalid: int | str | Limit
    max_rows: int
    allow: str | Sequence[str]
    loaders: int


class PlanOptions(ReadOptions, total=False):
    """What ``plan`` takes: how to read, where calls would go, and what its estimate depends on."""

    base_url: str
    never: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
    history: str | os.PathLike[str]
    rate: str | Rate
    in_doubt: Literal["resend", "hold"]
    progress_file: str | os.PathLike[str]


class RunOptions(ReadOptions, SendOptions, total=False):
    """What ``run`` takes: how to read, and how to send."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All options, checked. ``max_invalid`` is None if it was not given.

    ``given`` are the values that were given, by field; ``remembered`` those that the run folder
    had for what was not given. All others are defaults.
    """

    read: ReadSettings
    send: SendSettings
    run: RunSettings
    max_invalid: Limit | None
    given: Mapping[str, Any]
    remembered: Mapping[str, Any] = field(default_factory=dict)

    def with_remembered(self, values: Mapping[str, Any]) -> Settings:
        """These settings with ``values``, by field, for options that were not given.

        Never-lists are added: one that was forgotten would protect nobody.
        """
        missing = {name: value for name, value in values.items() if name not in self.given}
        never = joined_paths(self.run.never, values.get("never", ()))
        if never != self.run.never:
            missing["never"] = never
        return replace(
            self,
            send=replace(self.send, **_of(SendSettings, missing)),
            run=replace(self.run, **_of(RunSettings, missing)),
            remembered=missing,
        )


def joined_paths(*lists: Iterable[Path]) -> tuple[Path, ...]:
    """The paths of all lists, each once, as it was given first."""
    given: dict[Path, Path] = {}
    for path in chain.from_iterable(lists):
        given.setdefault(path.absolute(), path)
    return tuple(given.values())


def holding_doubts(settings: Settings) -> Settings:
    """``settings``, but calls in doubt are not sent again automatically."""
    return replace(settings, send=replace(settings.send, in_doubt="hold"))


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Check ``options`` and return them as settings; None means not given.

    Raises ``UsageError`` (2) for a wrong value, ``TypeError`` for an unknown name.
    """
    checked = {}
    for name, value in options.items():
        field = _field(name)
        if field not in FIELDS:
            near = get_close_matches(name, KEYWORDS, 1)
            raise TypeError(
                f"unexpected option {name!r}" + (f": did you mean {near[0]!r}?" if near else "")
            )
        if value is not None:
            checked[field] = _checked(name, _PARSERS.get(field), value)
    return Settings(
        _fill(ReadSettings, checked),
        _fill(SendSettings, checked),
        _fill(RunSettings, checked),
        checked.get("max_invalid"),
        checked,
    )


def settings_among(values: Mapping[str, Any]) -> Settings:
    """``settings_from`` for the values of a command line, of which some are not settings."""
    return settings_from({name: value for name, value in values.items() if name in FIELDS})


def _field(name: str) -> str:
    """The field of an option: ``stop_after`` is ``stop_after_s``."""
    return f"{name}_s" if f"{name}_s" in FIELDS else name


def keyword_of(field: str) -> str:
    """The option that fills a field: ``stop_after`` for ``stop_after_s``."""
    return field.removesuffix("_s")


def _checked(name: str, parse: Callable[[Any], Any] | None, value: Any) -> Any:
    try:
        if isinstance(value, bool) and parse is not _flag:
            raise ValueError(f"{value!r} is not a valid value")
        return parse(value) if parse else value
    except (ValueError, TypeError, AttributeError) as error:  # the latter two for a wrong type
        why = error if isinstance(error, ValueError) else f"{value!r} has the wrong type"
        raise UsageError(f"{name}: {why}") from None


def _fill(kind: type[Kind], checked: Mapping[str, Any]) -> Kind:
    return kind(**_of(kind, checked))


def _of(kind: type[Kind], values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)} & values.keys()
    return {name: values[name] for name in names}


def several(values: str | Iterable[str]) -> list[str]:
    """Return one or several values of an option as a list."""
    return [values] if isinstance(values, str) else list(values)


def _columns(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple(parse_column(pair) for pair in pairs)


def _alarm_names(value: str | Iterable[str]) -> frozenset[str]:
    names = frozenset(several(value))
    if unknown := names - set(ALARMS):
        raise ValueError(f"{min(unknown)!r} is not an alarm: use one of {', '.join(ALARMS)}")
    return names


def _paths(value: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    return tuple(map(Path, [value] if isinstance(value, str | os.PathLike) else value))


def _caps(value: str | TargetCap | Iterable[str | TargetCap]) -> tuple[TargetCap, ...]:
    return tuple(map(parse_target_cap, [value] if isinstance(value, str | TargetCap) else value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither True nor False")
    return value


def _in_range(name: str) -> Callable[[int], int]:
    least, most = RANGES[name]

    def check(value: Any) -> Any:
        number = -1 if isinstance(value, bool | str | float) else operator.index(value)
        if number < least or (most is not None and number > most):
            bounds = f"at least {least}" + (f" and at most {most}" if most is not None else "")
            raise ValueError(f"{value!r} is not a whole number of {bounds}")
        return number

    return check


def _choice(name: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in CHOICES[name]:
            raise ValueError(f"{value!r} is not one of {', '.join(CHOICES[name])}")
        return value

    return check


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "rate": parse_rate,
    "max_failures": parse_limit,
    "max_not_enrolled": parse_limit,
    "canary_good": parse_percent,
    "max_invalid": parse_limit,
    "read_timeout_s": parse_timeout_s,
    "connect_timeout_s": parse_timeout_s,
    "stop_after_s": parse_duration_s,
    "ramp_s": parse_duration_s,
    "stop_at": parse_time_of_day,
    "window": parse_window,
    "delimiter": parse_delimiter,
    "columns": _columns,
    "allow": _alarm_names,
    "expect": parse_expectation,
    "never": _paths,
    "history": os.fspath,
    "on": parse_engine,
    "max_target": _caps,
    "target_group_id": checked_id,
    "target_id": checked_id,
    "data_scope_org": checked_id,
    **dict.fromkeys(("base_url", "encoding", "sheet"), _text),
    **dict.fromkeys(("sandbox", "export", "log_ids", "beside"), _flag),
    "sandbox_scenario": Path,
    "metrics_file": Path,
    "progress_file": Path,
    **{name: _in_range(name) for name in RANGES},
    **{name: _choice(name) for name in CHOICES},
}
FIELDS: Final = {"max_invalid"} | {
    field.name
    for kind in (ReadSettings, SendSettings, RunSettings)
    for field in fields(kind)
    if not field.name.startswith("began_")
}
KEYWORDS: Final = FIELDS | {"out", "states", "codes", "targets", "plan", "dry_run", "begin_only"}
"""Every option that a command takes."""
