"""CSV, TSV and their packed forms as numbered records.

The stdlib's ``csv`` frames the records, strictly, so that a damaged quote is seen and no row is
swallowed in silence.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, NoReturn

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.model import Invalid, Record
from bulk_unenroll.rows import _BY_HEADER, Mapper, Reading, normal

DELIMITERS: Final = (",", ";", "\t", "|")
FIELD_LIMIT_CHARS: Final = 1 << 20
BLOCK_BYTES: Final = 1 << 16
QUOTE_REMEDY: Final = "close the quote, or double the quotes inside the cell"
UNPACKERS: Final[dict[bytes, Callable[[BinaryIO], Any]]] = {
    b"\x1f\x8b": lambda handle: gzip.GzipFile(fileobj=handle),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
PACKED_ERRORS: Final = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)
ENCODING_REMEDY: Final = "save the file as UTF-8, or give --encoding, such as cp1252"


class CsvRecords:
    """One CSV file, open in binary. Raises ``InputRefused`` where it cannot be trusted."""

    def __init__(self, handle: BinaryIO, reading: Reading) -> None:
        self._handle = handle
        self._encoding = _encoding(handle, reading.encoding)
        self._delimiter = reading.delimiter or self._tell_delimiter(reading)
        self.header = self._read_header()

    def check(self, mapper: Mapper) -> None:
        """Text columns can all hold ids."""

    def records(self) -> Iterator[Record]:
        """Every record but the header; empty lines are none."""
        lines = self._lines()
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        rows = _Rows(reader, lines)
        rows.skip_header()
        with _field_limit():
            yield from rows

    def _read_header(self) -> tuple[str, ...]:
        lines = self._lines()
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        try:
            for cells in reader:
                if cells:
                    return tuple(cells)
        except csv.Error:
            raise InputRefused("a quote in the header never closes", QUOTE_REMEDY) from None
        raise InputRefused(
            "the file is empty: there is no header", "put customerId into its first row"
        )

    def _tell_delimiter(self, reading: Reading) -> str:
        """The delimiter that gives the most id columns in the header, then the most columns."""
        first = next((line for line in self._lines() if line.strip("\r\n")), "")
        mapped = {normal(header) for _, header in reading.columns}

        def merit(delimiter: str) -> tuple[int, int]:
            cells = next(csv.reader([first], delimiter=delimiter), [])
            names = [normal(cell) for cell in cells]
            return sum(name in _BY_HEADER or name in mapped for name in names), len(cells)

        return max(DELIMITERS, key=merit)

    def _lines(self) -> _Lines:
        return _Lines(self._handle, self._encoding)


class _Lines:
    """Decoded lines, ends kept; ``last`` is the one given last."""

    def __init__(self, handle: BinaryIO, encoding: str) -> None:
        handle.seek(0)
        self._handle = handle
        self._encoding = encoding
        self._text = io.TextIOWrapper(
            io.BufferedReader(_Kept(_unpacked(handle))), encoding=encoding, newline=""
        )
        self.last = ""

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            self.last = next(self._text)
        except UnicodeError:
            self._refuse_encoding()
        except PACKED_ERRORS as error:
            raise InputRefused(f"the file cannot be unpacked: {error}", "send it again") from None
        return self.last

    def _refuse_encoding(self) -> NoReturn:
        offset, byte = _first_bad_byte(self._handle, self._encoding)
        raise InputRefused(
            f"byte {offset} (0x{byte:02x}) is not {self._encoding.removesuffix('-sig').upper()}",
            ENCODING_REMEDY,
        )


class _Rows:
    """Frames records and numbers them; knows where a record began."""

    def __init__(self, reader: Iterator[list[str]], lines: _Lines) -> None:
        self._reader = reader
        self._lines = lines
        self._row = 0

    def skip_header(self) -> None:
        while not next(self._reader):
            pass

    def __iter__(self) -> Iterator[Record]:
        while True:
            before = self._line_num()
            try:
                for cells in self._reader:
                    if cells:
                        self._row += 1
                        yield Record(self._row, tuple(cells))
                    before = self._line_num()
            except csv.Error as error:
                yield self._flawed(error, self._line_num() - before)
                continue
            return

    def _flawed(self, error: csv.Error, lines: int) -> Record:
        """A single line with damaged quotes is one row; across lines, rows were swallowed."""
        self._row += 1
        if lines > 1 or "unexpected end" in str(error):
            raise InputRefused(f"a quote that opens in row {self._row} never closes", QUOTE_REMEDY)
        if "field limit" in str(error):
            raise InputRefused(
                f"a cell in row {self._row} has more than {FIELD_LIMIT_CHARS} characters",
                QUOTE_REMEDY,
            )
        line = self._lines.last.rstrip("\r\n")
        flaw = Invalid("malformed_quotes", f"damaged quotes: {line[:60]}")
        return Record(self._row, (line,), flaw)

    def _line_num(self) -> int:
        return self._reader.line_num  # type: ignore[attr-defined,no-any-return]


class _field_limit:  # noqa: N801 - reads as a statement
    """The csv module's limit is global: set it while a file is read."""

    def __enter__(self) -> None:
        self._before = csv.field_size_limit(FIELD_LIMIT_CHARS)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._before)


# ── bytes and text ───────────────────────────────────────────────────────────────────────────────


class _Kept(io.RawIOBase):
    """Reads through to a file that stays open when this is closed."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        content = self._handle.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _unpacked(handle: BinaryIO) -> BinaryIO:
    head = handle.read(6)
    handle.seek(0)
    for magic, unpack in UNPACKERS.items():
        if head.startswith(magic):
            opened: BinaryIO = unpack(handle)
            return opened
    return handle


def _encoding(handle: BinaryIO, given: str | None) -> str:
    try:
        head = _unpacked(handle).read(4)
    except PACKED_ERRORS as error:
        raise InputRefused(f"the file cannot be unpacked: {error}", "send it again") from None
    if given is not None:
        return _known(given, head)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[1:2] == b"\0" or head[:1] == b"\0":
        raise InputRefused("this looks like UTF-16 without a BOM", "--encoding utf-16-le")
    return "utf-8-sig"


def _known(name: str, head: bytes) -> str:
    try:
        codec = codecs.lookup(name)
        "a".encode(codec.name)
    except (LookupError, UnicodeError, TypeError):
        raise InputRefused(f"{name!r} is no encoding", "--encoding cp1252, for example") from None
    return "utf-8-sig" if codec.name == "utf-8" and head.startswith(codecs.BOM_UTF8) else codec.name


def _first_bad_byte(handle: BinaryIO, encoding: str) -> tuple[int, int]:
    """Offset and value of the first byte (of the unpacked text) that does not decode."""
    handle.seek(0)
    stream = _unpacked(handle)
    decoder = codecs.getincrementaldecoder(encoding)()
    offset = 0
    while True:
        block = stream.read(BLOCK_BYTES)
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            bad = offset - pending + error.start
            return bad, error.object[error.start]
        except UnicodeError:
            return offset, block[0] if block else 0
        if not block:
            return offset, 0
        offset += len(block)
