"""What the values of options are: how each is shown, read from what was given, held by a job file.

A value is read by one function, wherever it comes from: the text that was typed, the number of a
job file, or the default of the settings, which is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from bulk_unenroll.option_values import (
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

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:  # older versions of click take no parameter
    ParamType = click.ParamType


class Parsed(ParamType):
    """Values read by a function that raises ``ValueError``, and takes what it once made.

    ``in_job``: the type that a job file holds, as an annotation.
    """

    def __init__(self, name: str, parse: Callable[[Any], object], in_job: Any = str) -> None:
        self.name = name
        self.in_job = in_job
        self._parse = parse

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The name as it is: ``N/s`` and ``N/S`` are not the same."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or a usage error that names the option."""
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_id(value: Any) -> int:
    from bulk_unenroll.inputs.ids import checked_id

    return checked_id(value)


def _parse_column(value: Any) -> tuple[str, str]:
    from bulk_unenroll.inputs.mapping import parse_column

    return parse_column(value)


def _parse_target(value: str) -> str:
    from bulk_unenroll.inputs.ids import checked_target

    return checked_target(value)


FLAG: Final = click.BOOL
PATH: Final = click.Path(path_type=Path)
URL: Final = Parsed("URL", str)
NAME: Final = Parsed("NAME", str)
CODE: Final = Parsed("CODE", str)
RATE: Final = Parsed("N/s|N/min|N/h", parse_rate)
LIMIT: Final = Parsed("N|P%", parse_limit, in_job=str | int)
PLAN_ID: Final = Parsed("ID", str)
EXPECT: Final = Parsed("N|about:N", parse_expectation, in_job=str | int)
TARGET_CAP: Final = Parsed("G/T=N", parse_target_cap)
PERCENT: Final = Parsed("P%", parse_percent)
SECONDS: Final = Parsed("S", parse_timeout_s, in_job=float)
DURATION: Final = Parsed("DURATION", parse_duration_s)
TIME_OF_DAY: Final = Parsed("HH:MM", parse_time_of_day)
ENGINE: Final = Parsed("dask://HOST:PORT", parse_engine)
WINDOW: Final = Parsed("HH:MM-HH:MM|always", parse_window)
DELIMITER: Final = Parsed("C", parse_delimiter)
ID: Final = Parsed("N", _parse_id, in_job=int)
COLUMN: Final = Parsed("NAME=HEADER", _parse_column, in_job=dict[str, str])
TARGET: Final = Parsed("G/T", _parse_target)


def in_job(kind: click.ParamType[Any]) -> Any:
    """The type of the value that a job file holds for an option, as an annotation."""
    match kind:
        case Parsed():
            return kind.in_job
        case click.Choice():
            return Literal[tuple(kind.choices)]
        case click.IntRange():
            return int
        case click.types.BoolParamType():
            return bool
        case _:
            return str
