"""Bytes of a text file, perhaps packed, as lines. Memory does not grow with the file.

Blocks are decoded here rather than by a text stream, so that a bad byte is known by its offset and
a line without end is refused before it fills the memory.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Final, NoReturn, cast

from bulk_unenroll.errors import InputRefused

BLOCK_BYTES: Final = 1 << 19
LINE_LIMIT_CHARS: Final = 1 << 23
XZ_MEMORY_BYTES: Final = 1 << 27
PACKED_ENDINGS: Final = (".gz", ".bz2", ".xz")

_Member = bz2.BZ2Decompressor | lzma.LZMADecompressor
_UNPACKERS: Final[dict[bytes, Callable[[BinaryIO], object]]] = {
    b"\x1f\x8b": lambda handle: gzip.GzipFile(fileobj=handle),
    b"BZh": lambda handle: _members(handle, bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": lambda handle: _members(handle, _xz_member),
}
_READ_ERRORS: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
_NO_TEXT: Final = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a packed Parquet file",
    b"\x1f\x8b": "a file that was packed twice",
}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose BOM it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES: Final = 8
# in these, digits can be written as other characters: an id would not stand in the file as it is
_ESCAPING: Final = {"utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna"}
_ENCODING_REMEDY: Final = "save the file as UTF-8, or give --encoding, such as cp1252"


class Text:
    """A text file open in binary. ``name`` is its path, for its ending; ``encoding`` if given.

    Raises ``InputRefused`` (65) where the file is no text, or cannot be unpacked or decoded.
    """

    def __init__(self, handle: BinaryIO, name: str, encoding: str | None) -> None:
        self._handle = handle
        handle.seek(0)
        magic = handle.read(_HEAD_BYTES)
        self._unpack = next((f for start, f in _UNPACKERS.items() if magic.startswith(start)), None)
        if self._unpack is None and name.lower().endswith(PACKED_ENDINGS):
            raise InputRefused("the file is not packed as its name says", "send it again")
        head = self._read(self._stream(), _HEAD_BYTES)
        for start, what in _NO_TEXT.items():
            if head.startswith(start):
                raise InputRefused(f"this is {what}, no text", "save it as CSV in UTF-8")
        self.encoding, self._bom_bytes = _tell_encoding(head, encoding)

    def lines(self) -> Lines:
        """The file from its beginning. Only one may be read at a time: they share the file."""
        return Lines(self._blocks(), self.encoding, self._bom_bytes)

    def _blocks(self) -> Iterator[bytes]:
        stream = self._stream()
        self._read(stream, self._bom_bytes)
        while block := self._read(stream, BLOCK_BYTES):
            yield block

    def _stream(self) -> BinaryIO:
        self._handle.seek(0)
        return self._handle if self._unpack is None else cast(BinaryIO, self._unpack(self._handle))

    def _read(self, stream: BinaryIO, size_bytes: int) -> bytes:
        try:
            return stream.read(size_bytes)
        except _READ_ERRORS as error:
            what = "read" if self._unpack is None else "unpacked"
            raise InputRefused(f"the file cannot be {what}: {error}", "send it again") from None


class _Members(io.RawIOBase):
    """The members of a ``.bz2`` or ``.xz`` file, one after another.

    The stdlib's own files take a member with a damaged beginning for the end of the file.
    """

    def __init__(self, handle: BinaryIO, begin: Callable[[], _Member]) -> None:
        self._handle = handle
        self._begin = begin
        self._member = begin()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack into ``buffer``; 0 at the end."""
        data = self._unpack(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _unpack(self, most_bytes: int) -> bytes:
        while True:
            packed = b""
            if self._member.eof:
                packed = self._after_padding(self._member.unused_data)
                if not packed:
                    return b""
                self._member = self._begin()
            elif self._member.needs_input:
                packed = self._handle.read(BLOCK_BYTES)
                if not packed:
                    raise EOFError("it ends in the middle")
            data = self._member.decompress(packed, most_bytes)
            if data:
                return data

    def _after_padding(self, packed: bytes) -> bytes:
        while not (rest := packed.lstrip(b"\0")):
            packed = self._handle.read(BLOCK_BYTES)
            if not packed:
                break
        return rest


def _members(handle: BinaryIO, begin: Callable[[], _Member]) -> io.BufferedReader:
    return io.BufferedReader(_Members(handle, begin), BLOCK_BYTES)


def _xz_member() -> lzma.LZMADecompressor:
    # a dictionary of gigabytes may be asked for; `xz -9` asks for 64 MiB
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES)


class Lines:
    """Lines with their ends, LF, CRLF or CR, in stretches of about one block each."""

    def __init__(self, blocks: Iterator[bytes], encoding: str, offset_bytes: int) -> None:
        self._blocks = blocks
        self._encoding = encoding
        self._offset_bytes = offset_bytes
        self._stretch = ""
        self._count_before = 0
        self._rest = ""
        self.has_nul = False
        """Whether a NUL was seen so far."""

    def __iter__(self) -> Iterator[str]:
        for text in self._texts():
            self.has_nul = self.has_nul or "\0" in text
            whole = self._rest + text
            # a CR at the end may be half of a CRLF
            end = whole.rfind("\n") + 1 or whole.rfind("\r", 0, -1) + 1
            self._rest = whole[end:]
            if len(self._rest) > LINE_LIMIT_CHARS:
                self._refuse_long_line(line_count(whole[:end]))
            if end:
                yield self._show(whole[:end])
        if self._rest:
            yield self._show(self._rest)

    def _show(self, stretch: str) -> str:
        self._count_before += line_count(self._stretch)
        self._stretch = stretch
        return stretch

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        for block in chain(self._blocks, (b"",)):
            pending_bytes = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                self._refuse_byte(error, pending_bytes)
            self._offset_bytes += len(block)
            if text:
                yield text

    def _refuse_byte(self, error: UnicodeError, pending_bytes: int) -> NoReturn:
        what = self._encoding.upper()
        if not isinstance(error, UnicodeDecodeError):
            raise InputRefused(f"the file is not {what}: {error}", _ENCODING_REMEDY) from None
        good = error.object[: error.start].decode(self._encoding, "ignore")
        # with one more character the line that the bad byte stands in is always counted
        lines = split_lines(f"{self._rest}{good}?")
        number = self._count_before + line_count(self._stretch) + len(lines)
        at = self._offset_bytes - pending_bytes + error.start
        raise InputRefused(
            f"byte {at} (0x{error.object[error.start]:02x}) in line {number} is not {what}",
            _ENCODING_REMEDY,
        ) from None

    def _refuse_long_line(self, lines_before: int) -> NoReturn:
        number = self._count_before + line_count(self._stretch) + lines_before + 1
        raise InputRefused(
            f"line {number} has more than {LINE_LIMIT_CHARS} characters: this is no table",
            "check how the file was made",
        )


def split_lines(text: str) -> list[str]:
    """The lines of a text, with their ends."""
    return io.StringIO(text, newline="").readlines()


def line_count(text: str) -> int:
    """How many lines end in a text."""
    carriage_returns = text.count("\r")
    return text.count("\n") + (carriage_returns and carriage_returns - text.count("\r\n"))


def _tell_encoding(head: bytes, given: str | None) -> tuple[str, int]:
    """The name of the codec, without BOM, and how many bytes the BOM takes."""
    found, bom_bytes = next(
        ((name, len(bom)) for bom, name in _BOMS if head.startswith(bom)), (None, 0)
    )
    if given is not None:
        return _given_encoding(given, found), bom_bytes
    if found is None and b"\0" in head[:4]:
        order = "be" if head[:1] == b"\0" else "le"
        raise InputRefused(
            "this looks like UTF-16 without a BOM", f"--encoding utf-16-{order}, or save as UTF-8"
        )
    if found is not None and found.startswith("utf-32"):
        raise InputRefused("this is UTF-32", "--encoding utf-32, or save the file as UTF-8")
    return found or "utf-8", bom_bytes


def _given_encoding(given: str, found: str | None) -> str:
    name = _codec_name(given)
    family = name.removesuffix("-sig")
    if found is not None and not found.startswith(family):
        raise InputRefused(
            f"the file begins with the BOM of {found.upper()}, not {name.upper()}",
            "leave out --encoding",
        )
    if found is None and family in ("utf-16", "utf-32"):
        raise InputRefused(
            f"the file has no BOM to tell the byte order of {name.upper()}",
            f"--encoding {family}-le or {family}-be",
        )
    return found or family


def _codec_name(given: str) -> str:
    try:
        name = codecs.lookup(given).name
        "a".encode(name)  # refuses codecs that are not of text
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError, TypeError):
        raise InputRefused(f"{given!r} is no encoding", "--encoding cp1252, for example") from None
    if name.replace("_", "-") in _ESCAPING:
        raise InputRefused(f"{given!r} is no encoding of tables", "save the file as UTF-8")
    return name
