"""Finds the files that the names on the command line refer to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Final

from bulk_unenroll import remote
from bulk_unenroll.errors import InputMissing, InputRefused
from bulk_unenroll.inputs.formats.text import COMPRESSED_ENDINGS
from bulk_unenroll.inputs.ids import shown
from bulk_unenroll.inputs.tables import TableWatch, local_names, remote_names
from bulk_unenroll.model import XLSX_ENDINGS
from bulk_unenroll.urls import is_remote, without_secrets

STDIN: Final = "-"
PARQUET_ENDINGS: Final = (".parquet", ".parq", ".pq")
TEXT_ENDINGS: Final = (".csv", ".tsv", ".txt")
ENDINGS: Final = (*TEXT_ENDINGS, *PARQUET_ENDINGS, *XLSX_ENDINGS)
RUN_FOLDER_ENDING: Final = ".unenroll"
REHEARSAL: Final = "-rehearsal"


@dataclass(frozen=True, slots=True)
class InputFile:
    """``path``: absolute, links as they are, or ``-``. ``display``: as the user wrote it.

    A link stays a link, because it is the name under which the user will give the next content.
    ``part_of`` is the folder or glob that the file was found by, absolute, or empty.
    For a remote file, both are its address without query, and ``url`` is the whole address: what
    follows the ``?`` may be a signature, which is never kept or shown.
    """

    path: str
    display: str
    url: str = field(default="", repr=False)
    part_of: str = ""


def find_inputs(names: Sequence[str]) -> list[InputFile]:
    """Return the files of paths, globs, folders of Parquet parts and addresses: each once, ordered.

    The name of an existing file is not treated as a glob. Raises ``InputMissing`` (66), and
    ``InputRefused`` (65) for a name that is not UTF-8 and for addresses that differ in their query.
    """
    found: dict[str, InputFile] = {}
    watch = TableWatch(local_names), TableWatch(remote_names)
    for name in names:
        try:
            for file in _resolve(name, *watch):
                known = found.setdefault(_real_path(file), file)
                _check_same(known, file)
        except OSError as error:
            raise InputMissing(f"input {shown(name)}: {error.strerror}", "check the path") from None
    return list(found.values())


def _resolve(name: str, local: TableWatch, away: TableWatch) -> Iterator[InputFile]:
    if is_remote(name):
        for url in remote.find(name):
            path = without_secrets(url)
            away.check_file(path, path, is_text=_is_text(path))
            part_of = without_secrets(name)
            yield InputFile(path, path, url, "" if part_of == path else part_of)
        return
    if name and Path(name).is_dir():
        local.check_folder(name)
    for path, display in _expand(name):
        _check_name(path)
        file = InputFile(path, display, part_of="" if display == name else _absolute(name))
        if path != STDIN:
            for one in dict.fromkeys((path, _real_path(file))):
                local.check_file(one, display, is_text=_is_text(one))
        yield file


def _is_text(path: str) -> bool:
    return path.lower().endswith((*TEXT_ENDINGS, *COMPRESSED_ENDINGS, *XLSX_ENDINGS))


def _check_same(known: InputFile, file: InputFile) -> None:
    if known.url != file.url:
        raise InputRefused(
            f"{file.display} is given twice, but differs in what follows the ?",
            "download the files and give their paths",
        )


def _expand(name: str) -> Iterator[tuple[str, str]]:
    if name == STDIN:
        yield STDIN, STDIN
        return
    if not name:  # an empty variable in a script: Path("") is the current folder
        raise InputMissing("the name of an input is empty", "give the path of a file")
    path = Path(name)
    if path.is_dir():
        matches = [str(part) for part in _parts(path)]
        problem = f"there is no Parquet file in folder {name}"
    elif path.exists():
        matches, problem = [name], ""
    else:
        matches = _matches(name)
        is_glob = has_magic(name)
        problem = f"no file matches {name}" if is_glob else f"input {name} does not exist"
    if not matches:
        raise InputMissing(problem, "check the path")
    for match in matches:
        if match != name and Path(match).is_dir():
            yield from _expand(match)
        else:
            yield _absolute(match), match


def _absolute(name: str) -> str:
    """The name as it was given, from the root on; without ``..`` where that is the same file."""
    short, plain = Path(os.path.abspath(name)), Path(name).absolute()  # noqa: PTH100
    is_same = not plain.exists() or (short.exists() and short.samefile(plain))
    return str(short if is_same else plain)


def _real_path(file: InputFile) -> str:
    """The file that a name leads to, so that one given twice is read once."""
    path = Path(file.path)
    # the link /dev/fd/N of a pipe resolves to a name that cannot be opened
    return str(path.resolve()) if not file.url and path.is_file() else file.path


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputRefused(f"the file name {name!a} is not UTF-8", "rename the file") from None


def _parts(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PARQUET_ENDINGS
        and path.is_file()
        and not any(map(_is_skipped, path.relative_to(folder).parts))
    )


def _is_skipped(name: str) -> bool:
    # an export in a run folder has the columns of an input, but it is a result
    return name.startswith((".", "_")) or name.endswith(RUN_FOLDER_ENDING)


def default_folder(names: Sequence[str], *, rehearsal: bool = False) -> Path:
    """Return ``./<name of the first input without its ending>.unenroll``.

    That of a rehearsal is ``<name>-rehearsal.unenroll``.
    """
    return twin(_named_after(names[0]), rehearsal=True) if rehearsal else _named_after(names[0])


def twin(folder: Path, *, rehearsal: bool) -> Path:
    """The folder beside ``folder`` for a rehearsal of it, or for what it is a rehearsal of."""
    folder = folder if folder.name not in ("", "..") else folder.resolve()
    name = folder.name.removesuffix(RUN_FOLDER_ENDING)
    ending = folder.name[len(name) :]
    if rehearsal:
        return folder.with_name(f"{name}{REHEARSAL}{ending}")
    real = name.removesuffix(REHEARSAL)
    return folder.with_name(f"{real if real not in ('', name) else f'{name}-real'}{ending}")


def _named_after(name: str) -> Path:
    if name == STDIN:
        return Path(f"stdin{RUN_FOLDER_ENDING}")
    if is_remote(name):
        name = PurePosixPath(without_secrets(remote.find(name)[0])).name
    if has_magic(name) and not Path(name).exists():
        name = next(iter(_matches(name)), name)
    path = Path(name)
    bare = path.resolve().name if path.name in ("", ".", "..") else path.name
    if bare.lower().endswith(COMPRESSED_ENDINGS):
        bare = bare[: bare.rindex(".")]
    stem, _, ending = bare.rpartition(".")
    known = f".{ending.lower()}" in ENDINGS or not path.is_dir()
    folder = Path(f"{stem if stem and known else bare}{RUN_FOLDER_ENDING}")
    # a relative path with a leading - would be read as an option
    return folder.absolute() if folder.name.startswith("-") else folder


def _matches(name: str) -> list[str]:
    if not has_magic(name):
        return []
    # the glob module, because pathlib's glob does not accept absolute patterns
    found = sorted(glob(name, recursive=True))  # noqa: PTH207
    return [path for path in found if Path(path).suffix != RUN_FOLDER_ENDING]
