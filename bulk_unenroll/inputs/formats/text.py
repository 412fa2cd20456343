"""Reads a text file, compressed or not, as lines. Memory does not grow with the file.

Blocks are decoded here and not by a text stream, so that the offset of a bad byte is known, and a
line without an end is refused before it fills the memory.
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
UNPACKED_BYTES: Final = 20 * 10**9
"""A packed file may unpack to this much; a few kilobytes can make terabytes."""
LINE_LIMIT_CHARS: Final = 1 << 23
XZ_MEMORY_BYTES: Final = 1 << 27
COMPRESSED_ENDINGS: Final = (".gz", ".bz2", ".xz")

_Member = bz2.BZ2Decompressor | lzma.LZMADecompressor
_DECOMPRESSORS: Final[dict[bytes, Callable[[BinaryIO], object]]] = {
    b"\x1f\x8b": lambda handle: gzip.GzipFile(fileobj=handle),
    b"BZh": lambda handle: _open_members(handle, bz2.BZ2Decompressor),
    b"\xfd7zXZ\x00": lambda handle: _open_members(handle, _xz_member),
}
_READ_ERRORS: Final = (OSError, EOFError, zlib.error, lzma.LZMAError)
_NOT_TEXT: Final = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"PAR1": "a compressed Parquet file",
    b"\x1f\x8b": "a file that was compressed twice",
}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, because it begins with that BOM
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES: Final = 8
# in these, a digit can be written as other characters, so the file would not show the id itself
_ESCAPING: Final = {"utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna"}
_ENCODING_REMEDY: Final = "save the file as UTF-8, or give its --encoding, such as cp1252"


class Text:
    """A text file, open in binary mode; ``name`` is its path, whose ending counts.

    ``encoding`` is the codec that the user gave, if any. Raises ``InputRefused`` (65) if the file
    is not text, or cannot be decompressed or decoded.
    """

    def __init__(self, handle: BinaryIO, name: str, encoding: str | None) -> None:
        self._handle = handle
        handle.seek(0)
        magic = handle.read(_HEAD_BYTES)
        self._decompressor = next(
            (f for start, f in _DECOMPRESSORS.items() if magic.startswith(start)), None
        )
        if self._decompressor is None and name.lower().endswith(COMPRESSED_ENDINGS):
            raise InputRefused(
                "the file is not compressed as its name says", "rename it, or copy it again"
            )
        head = self._read(self._stream(), _HEAD_BYTES)
        for start, kind in _NOT_TEXT.items():
            if head.startswith(start):
                raise InputRefused(f"this is {kind}, not text", "save it as CSV in UTF-8")
        self.encoding, self._bom_bytes = _detect_encoding(head, encoding)
        self.has_bom = self._bom_bytes > 0

    def lines(self) -> Lines:
        """Return the lines from the beginning. Read one at a time: they share the open file."""
        return Lines(self._blocks(), self.encoding, self._bom_bytes)

    def _blocks(self) -> Iterator[bytes]:
        stream = self._stream()
        self._read(stream, self._bom_bytes)
        read_bytes = 0
        while block := self._read(stream, BLOCK_BYTES):
            read_bytes += len(block)
            if self._decompressor is not None and read_bytes > UNPACKED_BYTES:
                raise InputRefused(
                    f"the file unpacks to more than {UNPACKED_BYTES:,} bytes",
                    "check how it was made; if it is right, unpack it and give it unpacked",
                )
            yield block

    def _stream(self) -> BinaryIO:
        self._handle.seek(0)
        if self._decompressor is None:
            return self._handle
        return cast(BinaryIO, self._decompressor(self._handle))

    def _read(self, stream: BinaryIO, size_bytes: int) -> bytes:
        try:
            return stream.read(size_bytes)
        except _READ_ERRORS as error:
            verb = "read" if self._decompressor is None else "decompressed"
            raise InputRefused(f"the file cannot be {verb}: {error}", "copy it again") from None


class _Members(io.RawIOBase):
    """The members of a ``.bz2`` or ``.xz`` file, one after another.

    The stdlib's classes take a member with a damaged beginning for the end of the file.
    """

    def __init__(self, handle: BinaryIO, new_member: Callable[[], _Member]) -> None:
        self._handle = handle
        self._new_member = new_member
        self._member = new_member()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Decompress into ``buffer``. Return the number of bytes, 0 at the end of the file."""
        data = self._decompress(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _decompress(self, max_bytes: int) -> bytes:
        while True:
            compressed = b""
            if self._member.eof:
                compressed = self._after_padding(self._member.unused_data)
                if not compressed:
                    return b""
                self._member = self._new_member()
            elif self._member.needs_input:
                compressed = self._handle.read(BLOCK_BYTES)
                if not compressed:
                    raise EOFError("it is cut short")
            data = self._member.decompress(compressed, max_bytes)
            if data:
                return data

    def _after_padding(self, compressed: bytes) -> bytes:
        while not (rest := compressed.lstrip(b"\0")):
            compressed = self._handle.read(BLOCK_BYTES)
            if not compressed:
                break
        return rest


def _open_members(handle: BinaryIO, new_member: Callable[[], _Member]) -> io.BufferedReader:
    return io.BufferedReader(_Members(handle, new_member), BLOCK_BYTES)


def _xz_member() -> lzma.LZMADecompressor:
    # a file may require a dictionary of gigabytes; `xz -9` requires 64 MiB
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES)


class Lines:
    """Yields chunks of whole lines, about one block each. Lines end with LF, CRLF or CR."""

    def __init__(self, blocks: Iterator[bytes], encoding: str, offset_bytes: int) -> None:
        self._blocks = blocks
        self._encoding = encoding
        self._offset_bytes = offset_bytes
        self._chunk = ""
        self._count_before = 0
        self._rest = ""
        self.has_nul = False
        """Whether the text so far contains a NUL."""
        self.unended = ""
        """The last line, once all is read, if it has no end."""

    def __iter__(self) -> Iterator[str]:
        for text in self._texts():
            self.has_nul = self.has_nul or "\0" in text
            pending = self._rest + text
            # a CR at the end may be half of a CRLF
            end = pending.rfind("\n") + 1 or pending.rfind("\r", 0, -1) + 1
            self._rest = pending[end:]
            if len(self._rest) > LINE_LIMIT_CHARS:
                self._refuse_long_line(line_count(pending[:end]))
            if end:
                yield self._remember(pending[:end])
        if self._rest:
            self.unended = "" if self._rest.endswith("\r") else self._rest
            yield self._remember(self._rest)

    def _remember(self, chunk: str) -> str:
        self._count_before += line_count(self._chunk)
        self._chunk = chunk
        return chunk

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
        name = self._encoding.upper()
        if not isinstance(error, UnicodeDecodeError):
            raise InputRefused(f"the file is not {name}: {error}", _ENCODING_REMEDY) from None
        good = error.object[: error.start].decode(self._encoding, "ignore")
        # one more character, so that the line of the bad byte is always counted
        lines = split_lines(f"{self._rest}{good}?")
        number = self._count_before + line_count(self._chunk) + len(lines)
        at = self._offset_bytes - pending_bytes + error.start
        raise InputRefused(
            f"byte {at} (0x{error.object[error.start]:02x}) in line {number} is not {name}",
            _ENCODING_REMEDY,
        ) from None

    def _refuse_long_line(self, lines_before: int) -> NoReturn:
        number = self._count_before + line_count(self._chunk) + lines_before + 1
        raise InputRefused(
            f"line {number} has more than {LINE_LIMIT_CHARS} characters, so this is not a table",
            "check how the file was made",
        )


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, with their ends."""
    return io.StringIO(text, newline="").readlines()


def line_count(text: str) -> int:
    """Return how many lines end in a text."""
    carriage_returns = text.count("\r")
    return text.count("\n") + (carriage_returns and carriage_returns - text.count("\r\n"))


def _detect_encoding(head: bytes, given: str | None) -> tuple[str, int]:
    """The name of the codec that does not read a BOM, and the length of the BOM in bytes."""
    found, bom_bytes = next(
        ((name, len(bom)) for bom, name in _BOMS if head.startswith(bom)), (None, 0)
    )
    if given is not None:
        return _given_encoding(given, found), bom_bytes
    if found is None and b"\0" in head[:4]:
        order = "be" if head[:1] == b"\0" else "le"
        raise InputRefused(
            "this looks like UTF-16 without a BOM",
            f"give --encoding utf-16-{order}, or save it as UTF-8",
        )
    if found is not None and found.startswith("utf-32"):
        raise InputRefused("this is UTF-32", "give --encoding utf-32, or save it as UTF-8")
    return found or "utf-8", bom_bytes


def _given_encoding(given: str, found: str | None) -> str:
    name = _codec_name(given)
    family = name.removesuffix("-sig")
    if found is not None and not found.startswith(family):
        raise InputRefused(
            f"the file begins with the BOM of {found.upper()}, not {name.upper()}",
            "remove --encoding",
        )
    if found is None and family in ("utf-16", "utf-32"):
        raise InputRefused(
            f"the file has no BOM, so the byte order of {name.upper()} is unknown",
            f"give --encoding {family}-le or {family}-be",
        )
    return found or family


def _codec_name(given: str) -> str:
    try:
        name = codecs.lookup(given).name
        "a".encode(name)  # fails for codecs that do not encode text
        codecs.getincrementaldecoder(name)
    except (LookupError, ValueError, TypeError):
        raise InputRefused(
            f"{given!r} is not a valid encoding", "give one such as --encoding cp1252"
        ) from None
    if name.replace("_", "-") in _ESCAPING:
        raise InputRefused(f"{given!r} is not an encoding for tables", "save the file as UTF-8")
    return name
