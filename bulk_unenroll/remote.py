"""Files elsewhere: copied here before they are read, copied there after they were written.

A copy is hashed and parsed like any local file, so that what was hashed is what is read, whatever
happens to the original. Needs fsspec, and for each scheme an extra. Credentials are those of the
provider's usual places (environment, profile, instance role, ``.netrc``), never of the address.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from bulk_unenroll.errors import (
    FolderUnusable,
    InputMissing,
    InputRefused,
    Interrupted,
    Stop,
    UsageError,
)
from bulk_unenroll.settings import is_loopback
from bulk_unenroll.urls import has_userinfo, scheme_of, without_secrets

EXTRAS: Final = {"s3": "s3", "gs": "gcs", "https": "http", "http": "http"}
WRITABLE: Final = ("s3", "gs")
READ_TIMEOUT_S: Final = 60
MISSING: Final = (404, 410)
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REMEDY: Final = "check the address, the network and the provider's credentials in the environment"
VERSION: Final = (
    *("size", "etag", "ETag", "Content-MD5", "generation", "VersionId"),
    *("updated", "LastModified", "Last-Modified"),
)
"""What tells one content of a file from the next, as far as its provider says it."""


def find(url: str) -> list[str]:
    """The addresses behind ``url``: itself, or in a bucket what a glob matches.

    Raises ``UsageError`` (2) for an address that must not be used, ``InputMissing`` (66).
    """
    check_address(url)
    if scheme_of(url) not in WRITABLE or not has_magic(url):
        return [url]
    with _translated(url):
        files, path = _open_system(url)
        found = [path] if files.exists(path) else sorted(files.glob(path))
    if not found:
        raise InputMissing(f"no file matches {without_secrets(url)}", "check the path")
    return [files.unstrip_protocol(match) for match in found]


def check_address(url: str) -> None:
    """Refuse addresses that show a secret to everyone, or let anyone on the way change a file."""
    if has_userinfo(url):
        raise UsageError(
            f"{without_secrets(url)}: a name or password in an address is seen by everyone",
            "take it out, and change it; credentials belong into the environment or .netrc",
        )
    if scheme_of(url) == "http" and not is_loopback(_host(url)):
        raise UsageError(
            f"{without_secrets(url)}: over http:// anyone on the way can change who is called",
            "use https://",
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # no address at all
        return ""


@contextmanager
def copied(url: str, spool: Path) -> Iterator[BinaryIO]:
    """The file at ``url``, copied into the folder ``spool`` for as long as it is used.

    Raises ``InputMissing`` (66), ``InputRefused`` (65) also where it changed meanwhile, and
    ``FolderUnusable`` (73) where there is no room.
    """
    with _folder_in(spool) as folder:
        copy = folder / "input"
        with _translated(url):
            _copy(url, copy)
        with copy.open("rb") as handle:
            yield handle


@contextmanager
def _folder_in(spool: Path) -> Iterator[Path]:
    folder = spool / ".copy"
    shutil.rmtree(folder, ignore_errors=True)  # left by a killed process: nobody else is here
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise FolderUnusable(
            f"the input cannot be copied into {spool}: {error.strerror}", "make room there"
        ) from None
    try:
        yield folder
    finally:
        # a download that a signal ended may still write into it
        shutil.rmtree(folder, ignore_errors=True)


def _copy(url: str, to: Path) -> None:
    files, path = _open_system(url)
    before = _version(files, path)
    if before["size"] is None:
        raise InputRefused(
            f"{without_secrets(url)}: its length is not told, so it could be cut short unnoticed",
            "download it, and give the path of the file",
        )
    _check_still_private(url, files.info(path).get("url"))
    files.get_file(path, str(to))
    if to.stat().st_size != before["size"] or _version(files, path) != before:
        raise InputRefused(
            f"{without_secrets(url)}: changed while it was being read", "run it again when it rests"
        )


def _version(files: Any, path: str) -> dict[str, object]:
    files.invalidate_cache()
    found = files.info(path)
    return {key: found.get(key) for key in VERSION}


def _check_still_private(url: str, redirected: str | None) -> None:
    if redirected and scheme_of(url) == "https" and scheme_of(redirected) != "https":
        raise InputRefused(f"{without_secrets(url)}: leads to http://", "give the final https://")


def upload(path: Path, url: str) -> None:
    """Copy the file at ``path`` to ``url``, whole or not at all; raises ``UsageError`` (2)."""
    try:
        with _translated(url):
            files, target = _open_system(url)
            files.put_file(str(path), target)
    except (InputMissing, InputRefused) as refused:
        raise UsageError(refused.reason.replace("be read", "be written"), refused.remedy) from None


def check_writable(url: str) -> None:
    """Raise ``UsageError`` (2) where nothing can be written to ``url``."""
    check_address(url)
    if scheme_of(url) not in WRITABLE:
        schemes = " or ".join(f"{scheme}://" for scheme in WRITABLE)
        raise UsageError(f"{without_secrets(url)} cannot be written to", f"give {schemes}")
    with _translated(url):
        _open_system(url)


def _open_system(url: str) -> tuple[Any, str]:
    """The file system of ``url``, and the path in it."""
    scheme = scheme_of(url)
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url, **_options(scheme))
    except ImportError:
        raise UsageError(
            f"{scheme}:// needs an extra", f"pip install 'bulk-unenroll[{EXTRAS[scheme]}]'"
        ) from None
    return files, path


def _options(scheme: str) -> dict[str, Any]:
    if scheme == "s3":
        return {"max_concurrency": 1}  # or ten blocks of 50 MiB are in memory at once
    if scheme == "gs":
        return {}
    from aiohttp import ClientTimeout

    return {
        "encoded": True,  # a signature is of the address as it was given
        "client_kwargs": {
            # its own default ends any download after five minutes
            "timeout": ClientTimeout(total=None, sock_read=READ_TIMEOUT_S),
            "headers": {"Accept-Encoding": "identity"},  # the file's own bytes
            "trust_env": True,  # proxies and .netrc
        },
    }


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Say what went wrong in our words alone: a library's may hold the address with its secrets."""
    name = without_secrets(url)
    try:
        yield
    except Interrupted:
        # the download goes on in a thread until the process ends, and asyncio would complain of it
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    except Stop:
        raise
    except Exception as error:  # each provider's library has a tree of its own
        status = getattr(error.__cause__ or error, "status", None)
        # of the web, fsspec says that of every failure
        told = status in MISSING or scheme_of(url) in WRITABLE
        if isinstance(error, FileNotFoundError) and told:
            raise InputMissing(f"{name} is not there", "check the address") from None
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise FolderUnusable(f"there is no room for a copy of {name}", "free some") from None
        said = f"HTTP {status}" if status else type(error.__cause__ or error).__name__
        raise InputRefused(f"{name} cannot be read: {said}", REMEDY) from None
