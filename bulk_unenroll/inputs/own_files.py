"""Files that this program wrote, as inputs: each belongs to a run folder, where calls are known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bulk_unenroll.errors import Stop, UsageError
from bulk_unenroll.inputs.finding import STDIN, InputFile
from bulk_unenroll.inputs.mapping import ReadSettings, is_added
from bulk_unenroll.inputs.source import read_header
from bulk_unenroll.ledger.opening import has_ledger


def is_own(header: Iterable[str]) -> bool:
    """Whether a file with this header is one of results, or was made from one."""
    return any(map(is_added, header))


def own_folder(files: Sequence[InputFile], reading: ReadSettings) -> Path | None:
    """The run folder of the first input, if that is a file of results that lies in it."""
    home = _home(files[0]) if files else None
    return home if home is not None and _looks_own(files[0], reading) else None


def check_own(
    files: Iterable[InputFile], reading: ReadSettings, folder: Path, *, named: bool
) -> None:
    """Raise ``UsageError`` (2) for a file of results that belongs to another folder than this one.

    ``named``: a person named the folder. Inputs that can be read only once are not looked at.
    """
    for file in files:
        if Path(file.path).is_file() and _looks_own(file, reading):
            check_belongs(file, folder, named=named)


def check_belongs(file: InputFile, folder: Path, *, named: bool) -> None:
    """Raise ``UsageError`` (2) if a file of results belongs to another folder, or to none."""
    home = _home(file)
    if home is not None and home.resolve() != folder.resolve():
        raise UsageError(
            f"{file.display} belongs to the run folder {home}, where it is known who was called",
            f"give --out {home}",
            lacking={"out": str(home)},
        )
    if home is None and not named:
        raise UsageError(
            f"{file.display} has columns that this program adds to results: it belongs to a run"
            " folder, where it is known who was called",
            "give --out FOLDER",
            lacking={"out": "FOLDER"},
        )


def _home(file: InputFile) -> Path | None:
    """The run folder in which a file lies."""
    if file.url or file.path == STDIN:
        return None
    as_given = Path(file.display).parent
    parent = as_given if as_given.name else Path(file.path).parent
    return parent if has_ledger(parent) else None


def _looks_own(file: InputFile, reading: ReadSettings) -> bool:
    # loading says what is wrong
    with suppress(Stop, OSError), tempfile.TemporaryDirectory() as spool:
        return is_own(read_header(file, reading, Path(spool)))
    return False
