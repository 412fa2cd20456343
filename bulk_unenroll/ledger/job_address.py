"""A job whose ledger is in PostgreSQL: a run folder names it, and keeps all else of the job.

So results, reports and copies of inputs lie where they always do, on each machine in a folder of
its own. An address with a password is never written down: it comes from the environment each time.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from bulk_unenroll.errors import Misconfigured, UsageError
from bulk_unenroll.files import replacing, sync_directory
from bulk_unenroll.ledger.folder import writing

NAME: Final = "ledger.json"
VARIABLE: Final = "BULK_UNENROLL_LEDGER_URL"
FILE_VARIABLE: Final = f"{VARIABLE}_FILE"
SCHEMES: Final = ("postgresql", "postgres")
EXAMPLE: Final = "postgresql://USER@HOST/DATABASE"
_NOT_IN_NAMES: Final = re.compile("[^a-z0-9]+")
NAME_CHARS: Final = 40
_JOB: Final = re.compile("[a-z0-9_][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class SharedJob:
    """A job, and the address of its ledger, which may hold a password and is never shown.

    ``move`` is the mark of a move to it that has still to be ended, see ``moving``.
    """

    job: str
    url: str = field(repr=False)
    move: str = ""


def job_named_after(name: str) -> str:
    """A name of a job after that of an input: ``members June (2).xlsx`` is ``members-june-2``."""
    stem = Path(name).name.partition(".")[0].lower()
    return _NOT_IN_NAMES.sub("-", stem).strip("-")[:NAME_CHARS] or "job"


def check_name(job: str) -> None:
    """Raise ``UsageError`` (2) for what no job can be called."""
    if not _JOB.fullmatch(job):
        raise UsageError(
            f"{job!r} is not a name of a job",
            "use 1 to 40 of the letters a to z, digits, - and _, and no - first",
        )


def given_url(given: str | None, option: str = "--ledger") -> str | None:
    """The address given by ``option``, else that of the environment, None if there is none.

    Raises ``Misconfigured`` (78) for a password in the option, where ``ps`` shows it, and for what
    is no address of PostgreSQL.
    """
    if given is not None:
        _check(given, option)
        if has_password(given):
            raise Misconfigured(
                f"{option} has a password, which everybody on this machine can see",
                f"name it in PGPASSFILE, or write the whole address into {VARIABLE} or a file that"
                f" {FILE_VARIABLE} names",
            )
        return given
    return _of_environment()


def shared_job(folder: Path) -> SharedJob | None:
    """The job that a run folder names; None for a folder with a ledger of its own.

    Raises ``Misconfigured`` (78) where its address is not known.
    """
    named = named_job(folder)
    if named is None:
        return None
    known = _of_environment() or named.url
    if not known:
        raise Misconfigured(
            f"{folder} does not say where its ledger is, for that address has a password",
            f"set {VARIABLE} or {FILE_VARIABLE}",
        )
    return replace(named, url=known)


def named_job(folder: Path) -> SharedJob | None:
    """The job as the folder names it: without its address if that has a password."""
    try:
        named: dict[str, Any] = json.loads((folder / NAME).read_text("utf-8"))
        return SharedJob(str(named["job"]), str(named["url"]), str(named.get("move", "")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise Misconfigured(
            f"{folder / NAME} does not say where the ledger is",
            "give --ledger and --job instead of the folder",
        ) from None


def name_job(folder: Path, shared: SharedJob) -> None:
    """Write into an existing run folder, durably, which job has its ledger.

    Raises ``LedgerFailed`` (74).
    """
    url = "" if has_password(shared.url) else shared.url
    named = {"job": shared.job, "url": url} | ({"move": shared.move} if shared.move else {})
    text = json.dumps(named) + "\n"
    path = folder / NAME
    if not path.is_file() or path.read_text("utf-8") != text:
        with writing(NAME, folder):
            with replacing(path) as part:
                part.write_text(text, "utf-8")
            sync_directory(folder)


def has_password(url: str) -> bool:
    """Whether an address of a server may hold a password, in either place (libpq-connect, 34.1.1).

    One with a / ? or # that was typed as it is reaches beyond the host: an @ there gives it away.
    """
    parts = urlsplit(url)
    asked = any("password" in name for name in parse_qs(parts.query, keep_blank_values=True))
    return bool(parts.password) or asked or "@" in parts.path + parts.query + parts.fragment


def shown(url: str) -> str:
    """The host and the database of an address, for a person."""
    parts = urlsplit(url)
    place = parts.hostname or parse_qs(parts.query).get("host", ["this machine"])[0]
    return f"{place}{unquote(parts.path)}"


def _of_environment() -> str | None:
    url, path = os.environ.get(VARIABLE), os.environ.get(FILE_VARIABLE)
    if url and path:
        raise Misconfigured(f"both {VARIABLE} and {FILE_VARIABLE} are set", "unset one of them")
    if path:
        try:
            url = Path(path).read_text("utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Misconfigured(
                f"cannot read the file that {FILE_VARIABLE} names: {why}",
                "check its path and permissions",
            ) from None
    if url:
        _check(url, FILE_VARIABLE if path else VARIABLE)
    return url or None


def _check(url: str, where: str) -> None:
    try:
        is_known = urlsplit(url).scheme in SCHEMES
    except ValueError:
        is_known = False
    if not is_known:
        kind: type[UsageError | Misconfigured] = UsageError if where[0] == "-" else Misconfigured
        raise kind(f"{where} is no address of PostgreSQL", f"write {EXAMPLE}")
