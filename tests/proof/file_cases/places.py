"""Where a file is, what it is called, and what is not a file."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.proof.file_cases.case import A, Case, Refused, Rows, nothing, table

ONE: Final = Rows((A,))


def names() -> Iterator[Case]:
    for name, file in (
        ("a line break", "two\nlines.csv"),
        ("accents", "Zoë 顧客 😀.csv"),
        ("a leading dash", "-x.csv"),
        ("the look of an option", "--out"),
        ("a percent sign", "100%20%s.csv"),
        ("a question mark", "what?mode=memory.csv"),
        ("a hash", "a#b.csv"),
        ("brackets", "a[1].csv"),
        ("rich's markup", "[bold]a[x].csv"),
        ("quotes", 'it\'s "a" $HOME `x`.csv'),
        ("spaces around", " a .csv"),
        ("an escape sequence", "\x1b[2J.csv"),
        ("no ending", "input"),
        ("a hidden file", ".csv"),
    ):
        yield Case(f"name with {name}", table(A), ONE, file)
    longest = "x" * 251 + ".csv"
    yield Case("longest name", table(A), ONE, longest, ("--out", "job.unenroll"))
    no_folder = Refused(("File name too long", "--out"), 73)
    yield Case("longest name, no room for its folder's", table(A), no_folder, longest)
    yield Case(
        "refused, name with a line break", b"", Refused(("two lines.csv",)), "two\nlines.csv"
    )


def places() -> Iterator[Case]:
    def link(path: Path) -> None:
        (path.parent / "real").mkdir()
        (path.parent / "real" / "a.csv").write_bytes(table(A))
        path.symlink_to("real/a.csv")

    yield Case("symlink to a file", link, ONE)
    dangling = Refused(("input.csv", "does not exist"), 66)
    yield Case("symlink to nothing", lambda path: path.symlink_to("nowhere"), dangling)
    loop = Refused(("input.csv",), 66)
    yield Case("symlink to itself", lambda path: path.symlink_to(path.name), loop)
    yield Case("missing file", nothing, Refused(("input.csv", "does not exist"), 66))
    yield Case("missing folder", nothing, Refused(("no/input.csv",), 66), "no/input.csv")
    yield Case("empty name", nothing, Refused(("is empty",), 66), "")
    yield Case("name with a NUL's look", nothing, Refused(("a\\0b.csv",), 66), "a\\0b.csv")
    yield Case("device without end", nothing, Refused(("/dev/zero", "device")), "/dev/zero")
    yield Case("device that is empty", nothing, Refused(("/dev/null", "device")), "/dev/null")
    broken = Refused(("/proc/self/mem", "Input/output error"))
    yield Case("disk that does not answer", nothing, broken, "/proc/self/mem")


def standard_input() -> Iterator[Case]:
    yield Case("standard input", nothing, ONE, "-", stdin=table(A))
    yield Case("packed standard input", nothing, ONE, "-", stdin=gzip.compress(table(A)))
    yield Case("empty standard input", nothing, Refused(("empty", "header")), "-", stdin=b"")
    cut = Refused(("cannot be decompressed",))
    yield Case("cut standard input", nothing, cut, "-", stdin=gzip.compress(table(A))[:-1])


CASES: Final = (*names(), *places(), *standard_input())
