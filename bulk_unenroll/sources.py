"""Input files as streams of numbered records: what is there, what it holds, its fingerprint.

A source is hashed first and parsed second from the same open descriptor; if it changes in between,
nothing of it is used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from bulk_unenroll.csv_source import CsvRecords
from bulk_unenroll.errors import InputMissing, InputRefused
from bulk_unenroll.model import Record
from bulk_unenroll.rows import Mapper, Reading

STDIN: Final = "-"
PARQUET_ENDINGS: Final = (".parquet", ".parq", ".pq")
TEXT_ENDINGS: Final = (".csv", ".tsv", ".txt")
PACKED_ENDINGS: Final = (".gz", ".bz2", ".xz")
PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True, slots=True)
class InputFile:
    """``path``: absolute, symlinks resolved, or ``-``. ``display``: as the user knows it."""

    path: str
    display: str


class Records(Protocol):
    """The content of a source. ``header`` is known at once; ``records`` streams."""

    header: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """Every record, numbered from 1."""

    def check(self, mapper: Mapper) -> None:
        """Raise ``InputRefused`` where a whole column cannot hold ids."""


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


def find_inputs(names: Sequence[str]) -> list[InputFile]:
    """The files behind paths, globs and folders, each once; raises ``InputMissing`` (66)."""
    found: dict[str, InputFile] = {}
    for name in names:
        for path, display in _expand(name):
            found.setdefault(path, InputFile(path, display))
    return list(found.values())


def _expand(name: str) -> Iterator[tuple[str, str]]:
    if name == STDIN:
        yield STDIN, STDIN
        return
    path = Path(name)
    if path.is_dir():
        matches = [str(part) for part in _parts(path)]
        what = f"folder {name} holds no Parquet file"
    elif path.exists():
        matches, what = [name], ""
    else:
        matches = _matches(name)
        what = f"no file matches {name}" if has_magic(name) else f"input {name} is not there"
    if not matches:
        raise InputMissing(what, "check the path")
    for match in matches:
        if match != name and Path(match).is_dir():
            yield from _expand(match)
        else:
            yield _identity(Path(match)), match


def _identity(path: Path) -> str:
    # a pipe's /dev/fd link resolves to a name that cannot be opened
    return str(path.resolve() if path.is_file() else path.absolute())


def _parts(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PARQUET_ENDINGS
        and path.is_file()
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def default_folder(names: Sequence[str]) -> Path:
    """``./<name of the first input without its ending>.unenroll``."""
    name = names[0]
    if name == STDIN:
        return Path("stdin.unenroll")
    if has_magic(name) and not Path(name).exists():
        name = next(iter(_matches(name)), name)
    path = Path(name)
    bare = path.resolve().name if path.name in ("", ".", "..") else path.name
    if bare.lower().endswith(PACKED_ENDINGS):
        bare = bare[: bare.rindex(".")]
    stem, _, ending = bare.rpartition(".")
    known = f".{ending.lower()}" in (*TEXT_ENDINGS, *PARQUET_ENDINGS) or not path.is_dir()
    return Path(f"{stem if stem and known else bare}.unenroll")


def _matches(name: str) -> list[str]:
    # the glob module: pathlib's takes no absolute patterns
    return sorted(glob(name, recursive=True)) if has_magic(name) else []  # noqa: PTH207


# ── opening ──────────────────────────────────────────────────────────────────────────────────────


class Source:
    """An open input: its fingerprint, its columns, its records."""

    def __init__(
        self, file: InputFile, handle: BinaryIO, reading: Reading, content: Records
    ) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self._content = content
        self.file = file
        self.sha256 = _sha256(handle)
        self.mapper = Mapper(content.header, reading)
        content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self._content.header

    def records(self) -> Iterator[Record]:
        """Every record; raises ``InputRefused`` (65), also if the file changed meanwhile."""
        with _named(self.file):
            yield from self._content.records()
            if _fingerprint(self._handle) != self._before:
                raise InputRefused("changed while it was being read", "run it again when it rests")


@contextmanager
def open_source(file: InputFile, reading: Reading, spool: Path) -> Iterator[Source]:
    """Open an input. What cannot be read twice is first copied into the folder ``spool``.

    Raises ``InputMissing`` (66) and ``InputRefused`` (65).
    """
    with ExitStack() as stack:
        handle = stack.enter_context(_open(file, spool))
        with _named(file):
            source = Source(file, handle, reading, _content(file, handle, reading))
        yield source


@contextmanager
def _named(file: InputFile) -> Iterator[None]:
    """Say which input a refusal is about."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(f"{file.display}: {refused.reason}", refused.remedy) from None


@contextmanager
def _open(file: InputFile, spool: Path) -> Iterator[BinaryIO]:
    if file.path == STDIN:
        with _spooled(sys.stdin.buffer, spool) as handle:
            yield handle
        return
    try:
        given = Path(file.path).open("rb")  # noqa: SIM115 - closed by the `with` below
    except FileNotFoundError:
        raise InputMissing(f"input {file.display} is not there", "check the path") from None
    except OSError as error:
        raise InputRefused(f"{file.display}: {error.strerror}", "check its permissions") from None
    with given:
        if stat.S_ISREG(os.fstat(given.fileno()).st_mode):
            yield given
        else:
            with _spooled(given, spool) as handle:
                yield handle


@contextmanager
def _spooled(stream: BinaryIO, spool: Path) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile(dir=spool) as handle:
        shutil.copyfileobj(stream, handle)
        handle.seek(0)
        yield handle


def _content(file: InputFile, handle: BinaryIO, reading: Reading) -> Records:
    head = handle.read(8)
    handle.seek(0)
    if head.startswith(PARQUET_MAGIC) or file.path.lower().endswith(PARQUET_ENDINGS):
        from bulk_unenroll.parquet_source import ParquetRecords  # pyarrow is slow to import

        return ParquetRecords(handle)
    return CsvRecords(handle, reading)


def _fingerprint(handle: BinaryIO) -> tuple[int, int]:
    found = os.fstat(handle.fileno())
    return found.st_size, found.st_mtime_ns


def _sha256(handle: BinaryIO) -> str:
    position = handle.tell()
    handle.seek(0)
    digest = hashlib.sha256()
    while block := handle.read(1 << 20):
        digest.update(block)
    handle.seek(position)
    return digest.hexdigest()
