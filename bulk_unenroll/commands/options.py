"""The options of a command as keywords, with the names and values of the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, TypeVar

from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.ids import parse_id
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.settings import (
    CHOICES,
    RANGES,
    Limit,
    Rate,
    RunSettings,
    SendSettings,
    parse_delimiter,
    parse_duration_s,
    parse_limit,
    parse_rate,
    parse_time_of_day,
    parse_timeout_s,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Kind = TypeVar("Kind", bound=DataclassInstance)


class SendOptions(TypedDict, total=False):
    """How to send: ``resume`` and ``retry`` take these. ``docs/reference.md`` explains each one.

    ``rate`` is text such as ``"100/min"``; limits are ``12`` or ``"10%"``; durations are seconds or
    text such as ``"1h30m"``; times of day are ``"05:00"``.
    """

    base_url: str
    sandbox: bool
    sandbox_scenario: str | os.PathLike[str]
    rate: str | Rate
    pace: Literal["fixed", "adaptive"]
    concurrency: int
    max_attempts: int
    read_timeout: float
    connect_timeout: float
    in_doubt: Literal["resend", "hold"]
    canary: int
    max_failures: int | str | Limit
    expect: int
    stop_after: float | str
    stop_at: str | time
    export: bool
    metrics_file: str | os.PathLike[str]


class ReadOptions(TypedDict, total=False):
    """How to read an input. ``columns`` maps ``customerId``, ``targetId`` and so on to headers."""

    columns: Mapping[str, str] | Sequence[tuple[str, str]]
    target_group_id: int
    target_id: int
    data_scope_org: int
    delimiter: str
    encoding: str
    sheet: str
    max_invalid: int | str | Limit


class PlanOptions(ReadOptions, total=False):
    """What ``plan`` takes: how to read, and what its estimate depends on."""

    rate: str | Rate
    in_doubt: Literal["resend", "hold"]


class RunOptions(ReadOptions, SendOptions, total=False):
    """What ``run`` takes: how to read, and how to send."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All options, checked. ``max_invalid`` is None if it was not given."""

    read: ReadSettings
    send: SendSettings
    run: RunSettings
    max_invalid: Limit | None


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Check ``options`` and return them as settings; None means not given.

    Raises ``UsageError`` (2) for a wrong value, ``TypeError`` for an unknown name.
    """
    named = {_field(name): value for name, value in options.items() if value is not None}
    unknown = named.keys() - OPTIONS
    if unknown:
        raise TypeError(f"unexpected option {sorted(unknown)[0]!r}")
    checked = {name: _checked(name, value) for name, value in named.items()}
    return Settings(
        _fill(ReadSettings, checked),
        _fill(SendSettings, checked),
        _fill(RunSettings, checked),
        checked.get("max_invalid"),
    )


def settings_among(values: Mapping[str, Any]) -> Settings:
    """``settings_from`` for the values of a command line, of which some are not settings."""
    return settings_from({name: value for name, value in values.items() if name in OPTIONS})


def _field(name: str) -> str:
    """The field of an option: ``stop_after`` is ``stop_after_s``."""
    return f"{name}_s" if f"{name}_s" in OPTIONS else name


def _checked(name: str, value: Any) -> Any:
    try:
        return _PARSERS[name](value) if name in _PARSERS else value
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _fill(kind: type[Kind], checked: Mapping[str, Any]) -> Kind:
    names = {field.name for field in fields(kind)} & checked.keys()
    return kind(**{name: checked[name] for name in names})


def _parse_id(value: int | str) -> int:
    found = parse_id(value)
    if not isinstance(found, int):
        raise ValueError(f"{value!r} is not a valid id: use its digits")
    return found


def _columns(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(value.items() if isinstance(value, Mapping) else value)


def _in_range(name: str) -> Callable[[int], int]:
    least, most = RANGES[name]

    def check(value: Any) -> Any:
        if not isinstance(value, int) or value < least or (most is not None and value > most):
            bounds = f"at least {least}" + (f" and at most {most}" if most is not None else "")
            raise ValueError(f"{value!r} is not a whole number of {bounds}")
        return value

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
    "max_invalid": parse_limit,
    "read_timeout_s": parse_timeout_s,
    "connect_timeout_s": parse_timeout_s,
    "stop_after_s": parse_duration_s,
    "stop_at": parse_time_of_day,
    "delimiter": parse_delimiter,
    "columns": _columns,
    "target_group_id": _parse_id,
    "target_id": _parse_id,
    "data_scope_org": _parse_id,
    "sandbox_scenario": Path,
    "metrics_file": Path,
    **{name: _in_range(name) for name in RANGES},
    **{name: _choice(name) for name in CHOICES},
}
OPTIONS: Final = {"max_invalid"} | {
    field.name for kind in (ReadSettings, SendSettings, RunSettings) for field in fields(kind)
}
