"""Input files as streams of numbered records: what is there, what it holds, its fingerprint.

A source is hashed first and parsed second from the same open descriptor; if it changes in between,
nothing of it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeVar

from bulk_unenroll import remote
from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused
from bulk_unenroll.inputs.formats.csv_reader import CsvRecords
from bulk_unenroll.inputs.formats.text import PACKED_ENDINGS
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.rows import Mapper, Reading
from bulk_unenroll.model import Record
from bulk_unenroll.urls import is_remote, without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.inputs.formats.records import Piece

_T = TypeVar("_T")

STDIN: Final = "-"
PARQUET_ENDINGS: Final = (".parquet", ".parq", ".pq")
TEXT_ENDINGS: Final = (".csv", ".tsv", ".txt")
PARQUET_MAGIC: Final = b"PAR1"
XLSX_ENDINGS: Final = (".xlsx", ".xlsm")
ENDINGS: Final = (*TEXT_ENDINGS, *PARQUET_ENDINGS, *XLSX_ENDINGS)
RUN_FOLDER_ENDING: Final = ".unenroll"
BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class InputFile:
    """``path``: absolute, symlinks resolved, or ``-``. ``display``: as the user knows it.

    Of a file elsewhere both are its address without query, and ``url`` is all of it: what follows
    the ``?`` may be a signature, which is never kept or shown.
    """

    path: str
    display: str
    url: str = field(default="", repr=False)


class Records(Protocol):
    """The content of a source. ``header`` is known at once; ``records`` streams."""

    header: tuple[str, ...]

    def records(self) -> Iterator[Record]:
        """Every record, numbered from 1."""

    def pieces(self, mapper: Mapper) -> Iterator[Piece]:
        """The same records, many at a time."""

    def check(self, mapper: Mapper) -> None:
        """Raise ``InputRefused`` where a whole column cannot hold ids."""


# ── finding ──────────────────────────────────────────────────────────────────────────────────────


def find_inputs(names: Sequence[str]) -> list[InputFile]:
    """The files behind paths, globs, folders of Parquet parts and addresses, each once, in order.

    A name that is there as it stands is no glob. Raises ``InputMissing`` (66).
    """
    found: dict[str, InputFile] = {}
    for name in names:
        try:
            for file in _found(name):
                known = found.setdefault(file.path, file)
                _check_same(known, file)
        except OSError as error:
            raise InputMissing(f"input {shown(name)}: {error.strerror}", "check the path") from None
    return list(found.values())


def _found(name: str) -> Iterator[InputFile]:
    if is_remote(name):
        for url in remote.find(name):
            yield InputFile(without_secrets(url), without_secrets(url), url)
        return
    for path, display in _expand(name):
        _check_name(path)
        yield InputFile(path, display)


def _check_same(known: InputFile, file: InputFile) -> None:
    if known.url != file.url:
        raise InputRefused(
            f"{file.display} is given twice, and differs in what follows the ?",
            "download them, and give their paths",
        )


def _expand(name: str) -> Iterator[tuple[str, str]]:
    if name == STDIN:
        yield STDIN, STDIN
        return
    if not name:  # a script's empty variable, which pathlib takes for the current folder
        raise InputMissing("an input has an empty name", "give the path of a file")
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


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputRefused(f"the name {name!a} is not UTF-8", "rename it") from None


def _parts(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PARQUET_ENDINGS
        and path.is_file()
        and not any(map(_is_no_part, path.relative_to(folder).parts))
    )


def _is_no_part(name: str) -> bool:
    # an export in a run folder has columns like an input's: its customers are results, not orders
    return name.startswith((".", "_")) or name.endswith(RUN_FOLDER_ENDING)


def default_folder(names: Sequence[str]) -> Path:
    """``./<name of the first input without its ending>.unenroll``."""
    name = names[0]
    if name == STDIN:
        return Path(f"stdin{RUN_FOLDER_ENDING}")
    if is_remote(name):
        name = PurePosixPath(without_secrets(remote.find(name)[0])).name
    if has_magic(name) and not Path(name).exists():
        name = next(iter(_matches(name)), name)
    path = Path(name)
    bare = path.resolve().name if path.name in ("", ".", "..") else path.name
    if bare.lower().endswith(PACKED_ENDINGS):
        bare = bare[: bare.rindex(".")]
    stem, _, ending = bare.rpartition(".")
    known = f".{ending.lower()}" in ENDINGS or not path.is_dir()
    folder = Path(f"{stem if stem and known else bare}{RUN_FOLDER_ENDING}")
    return folder.absolute() if folder.name.startswith("-") else folder  # or it would be an option


def _matches(name: str) -> list[str]:
    if not has_magic(name):
        return []
    # the glob module: pathlib's takes no absolute patterns
    found = sorted(glob(name, recursive=True))  # noqa: PTH207
    return [path for path in found if Path(path).suffix != RUN_FOLDER_ENDING]


# ── opening ──────────────────────────────────────────────────────────────────────────────────────


class Source:
    """An open input. ``sha256`` (hex) and ``size_bytes`` are of the bytes as they lie on disk."""

    def __init__(self, file: InputFile, handle: BinaryIO, reading: Reading) -> None:
        self._handle = handle
        self._before = _fingerprint(handle)
        self.file = file
        self.size_bytes = self._before[0]
        self.sha256 = _sha256(handle)
        self._content = _content(file, handle, reading)
        self.mapper = Mapper(self._content.header, reading)
        self._content.check(self.mapper)

    @property
    def header(self) -> tuple[str, ...]:
        """The column names, in order."""
        return self._content.header

    def records(self) -> Iterator[Record]:
        """Every record, numbered from 1; one reading at a time.

        Raises ``InputRefused`` (65), at the end also if the file changed since it was opened:
        only what was read to the end can be trusted.
        """
        yield from self._whole(self._content.records())

    def pieces(self) -> Iterator[Piece]:
        """The same as ``records``, many at a time."""
        yield from self._whole(self._content.pieces(self.mapper))

    def _whole(self, content: Iterator[_T]) -> Iterator[_T]:
        with _named(self.file):
            yield from content
            if _fingerprint(self._handle) != self._before:
                raise InputRefused("changed while it was being read", "run it again when it rests")


@contextmanager
def open_source(file: InputFile, reading: Reading, spool: Path) -> Iterator[Source]:
    """Open an input. What cannot be read twice is first copied into the folder ``spool``.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), ``UsageError`` (2) for a delimiter that is
    none, and ``FolderUnusable`` (73) where ``spool`` cannot be written.
    """
    with _open(file, spool) as handle:
        with _named(file):
            source = Source(file, handle, reading)
        yield source


def read_header(file: InputFile, reading: Reading, spool: Path) -> tuple[str, ...]:
    """The column names of an input, whichever ids they name; raises as ``open_source`` does."""
    with _open(file, spool) as handle, _named(file):
        return _content(file, handle, reading).header


@contextmanager
def _named(file: InputFile) -> Iterator[None]:
    """Say which input a refusal is about."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(
            f"{file.display}: {refused.reason}", refused.remedy, lacking=refused.lacking
        ) from None


@contextmanager
def _open(file: InputFile, spool: Path) -> Iterator[BinaryIO]:
    if file.path == STDIN:
        with _spooled(_standard_input(), file.display, spool) as handle:
            yield handle
        return
    if file.url:
        with remote.copied(file.url, spool) as handle:
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
            with _spooled(given, file.display, spool) as handle:
                yield handle


def _standard_input() -> BinaryIO:
    if sys.stdin is None:  # a scheduler may start us without one
        raise InputMissing("standard input is closed", "give the path of a file")
    return sys.stdin.buffer


@contextmanager
def _spooled(stream: BinaryIO, display: str, spool: Path) -> Iterator[BinaryIO]:
    if _is_device(stream):  # /dev/zero would fill the disk
        raise InputRefused(f"{display} is a device, no file", "give the path of a file, or a pipe")
    with ExitStack() as stack:
        try:
            # 0600, and without a name where the system can do that: nothing is left behind
            handle = stack.enter_context(tempfile.TemporaryFile(dir=spool))
            shutil.copyfileobj(stream, handle, BLOCK_BYTES)
            handle.seek(0)
        except OSError as error:
            raise FolderUnusable(
                f"the input cannot be copied into {spool}: {error.strerror}", "make room there"
            ) from None
        yield handle


def _is_device(stream: BinaryIO) -> bool:
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except io.UnsupportedOperation:  # standard input was replaced by an object of Python's
        return False
    return stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not stream.isatty())


def _content(file: InputFile, handle: BinaryIO, reading: Reading) -> Records:
    handle.seek(0)
    head = handle.read(len(PARQUET_MAGIC))
    if head == PARQUET_MAGIC or file.path.lower().endswith(PARQUET_ENDINGS):
        from bulk_unenroll.inputs.formats.parquet_reader import (
            ParquetRecords,  # pyarrow is slow to import
        )

        return ParquetRecords(handle)
    if file.path.lower().endswith(XLSX_ENDINGS):
        return _workbook(handle, reading.sheet)
    if reading.sheet is not None:
        raise InputRefused("is no workbook, so it has no --sheet", "leave --sheet out")
    return CsvRecords(handle, file.path, reading)


def _workbook(handle: BinaryIO, sheet: str | None) -> Records:
    handle.seek(0)
    try:
        from bulk_unenroll.inputs.formats.excel_reader import XlsxRecords
    except ImportError:
        raise InputRefused(
            "workbooks need an extra", "pip install 'bulk-unenroll[xlsx]', or save it as CSV"
        ) from None
    return XlsxRecords(handle, sheet)


def _fingerprint(handle: BinaryIO) -> tuple[int, int]:
    found = os.fstat(handle.fileno())
    return found.st_size, found.st_mtime_ns


def _sha256(handle: BinaryIO) -> str:
    handle.seek(0)
    digest = hashlib.sha256()
    try:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    except OSError as error:
        raise InputRefused(f"cannot be read: {error.strerror}", "check the disk") from None
    return digest.hexdigest()
