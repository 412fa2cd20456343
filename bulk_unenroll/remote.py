"""Remote files: downloaded before they are read, uploaded after they are written.

The copy is hashed and parsed like any local file, so that what is hashed is what is read, whatever
happens to the original. Needs fsspec, and an extra for each scheme. Credentials come from the
provider's usual places (environment, profile, instance role, ``.netrc``), never from the address.
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
from bulk_unenroll.urls import has_userinfo, is_loopback, scheme_of, without_secrets

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
"""Properties that change with the content of a file, as far as its provider has them."""


def find(url: str) -> list[str]:
    """Return ``[url]``, or for a glob in a bucket the addresses that match it.

    Raises ``UsageError`` (2) for an address that must not be used, and ``InputMissing`` (66).
    """
    check_address(url)
    if scheme_of(url) not in WRITABLE or not has_magic(url):
        return [url]
    with _own_errors(url):
        files, path = _open_system(url)
        found = [path] if files.exists(path) else sorted(files.glob(path))
    if not found:
        raise InputMissing(f"no file matches {without_secrets(url)}", "check the path")
    return [files.unstrip_protocol(match) for match in found]


def listed(pattern: str) -> list[str]:
    """Return the paths in a bucket that match; none where it may not be listed, or is no bucket."""
    if scheme_of(pattern) not in WRITABLE:
        return []
    with _own_errors(pattern):
        files, path = _open_system(pattern)
        try:
            if has_magic(pattern):
                return sorted(files.glob(path))
            return [path] if files.exists(path) else []
        except (FileNotFoundError, PermissionError):
            return []


def check_address(url: str) -> None:
    """Raise ``UsageError`` (2) for an address that shows a secret or is not safe from changes."""
    if has_userinfo(url):
        raise UsageError(
            f"{without_secrets(url)}: others can see a username or password in an address",
            "remove it and change it; put credentials into the environment or .netrc",
        )
    if scheme_of(url) == "http" and not is_loopback(_host(url)):
        raise UsageError(
            f"{without_secrets(url)}: over http:// anyone on the network can change the file",
            "use https://",
        )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # not an address
        return ""


@contextmanager
def copied(url: str, spool: Path) -> Iterator[BinaryIO]:
    """Download ``url`` into the folder ``spool``, and yield the copy open for reading.

    Raises ``InputMissing`` (66), ``InputRefused`` (65), also if the file changed meanwhile, and
    ``FolderUnusable`` (73) if the disk is full.
    """
    with _folder_in(spool) as folder:
        copy = folder / "input"
        with _own_errors(url):
            _copy(url, copy)
        with copy.open("rb") as handle:
            yield handle


@contextmanager
def _folder_in(spool: Path) -> Iterator[Path]:
    folder = spool / ".copy"
    shutil.rmtree(
        folder, ignore_errors=True
    )  # left by a killed process: only one works in this folder
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise FolderUnusable(
            f"cannot copy the input into {spool}: {error.strerror}",
            "free some space or check the permissions",
        ) from None
    try:
        yield folder
    finally:
        # a download that was interrupted may still write to it
        shutil.rmtree(folder, ignore_errors=True)


def _copy(url: str, to: Path) -> None:
    files, path = _open_system(url)
    before = _version(files, path)
    if before["size"] is None:
        raise InputRefused(
            f"{without_secrets(url)}: its length is unknown, so it could be cut short unnoticed",
            "download the file and give its path",
        )
    _check_still_private(url, files.info(path).get("url"))
    files.get_file(path, str(to))
    if to.stat().st_size != before["size"] or _version(files, path) != before:
        raise InputRefused(
            f"{without_secrets(url)}: the file changed while it was being read",
            "run again when it no longer changes",
        )


def version(url: str) -> dict[str, object]:
    """Return what tells this content of ``url`` from others; raises as ``copied``."""
    with _own_errors(url):
        return {name: str(value) for name, value in _version(*_open_system(url)).items()}


def _version(files: Any, path: str) -> dict[str, object]:
    files.invalidate_cache()
    found = files.info(path)
    return {key: found.get(key) for key in VERSION}


def _check_still_private(url: str, redirected: str | None) -> None:
    if redirected and scheme_of(url) == "https" and scheme_of(redirected) != "https":
        raise InputRefused(
            f"{without_secrets(url)}: redirects to http://", "give an https:// address"
        )


def upload(path: Path, url: str) -> None:
    """Copy the file at ``path`` to ``url``, completely or not at all; raises ``UsageError`` (2)."""
    try:
        with _own_errors(url):
            files, target = _open_system(url)
            files.put_file(str(path), target)
    except (InputMissing, InputRefused) as refused:
        raise UsageError(refused.reason.replace("be read", "be written"), refused.remedy) from None


def check_writable(url: str) -> None:
    """Raise ``UsageError`` (2) if ``url`` cannot be written to."""
    check_address(url)
    if scheme_of(url) not in WRITABLE:
        schemes = " or ".join(f"{scheme}://" for scheme in WRITABLE)
        raise UsageError(f"{without_secrets(url)} cannot be written to", f"give {schemes}")
    with _own_errors(url):
        _open_system(url)


def _open_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of ``url``, and the path in it."""
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
        return {"max_concurrency": 1}  # the default keeps ten blocks of 50 MiB in memory
    if scheme == "gs":
        return {}
    from aiohttp import ClientTimeout

    return {
        "encoded": True,  # a signature is valid for the address as given
        "client_kwargs": {
            # the default ends any download after five minutes
            "timeout": ClientTimeout(total=None, sock_read=READ_TIMEOUT_S),
            "headers": {"Accept-Encoding": "identity"},  # the bytes of the file itself
            "trust_env": True,  # proxies and .netrc
        },
    }


@contextmanager
def _own_errors(url: str) -> Iterator[None]:
    """Raise our own errors in place of a library's, which may show the address with its secrets."""
    name = without_secrets(url)
    try:
        yield
    except Interrupted:
        # the download continues in a thread until the process ends, and asyncio would log that
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        raise
    except Stop:
        raise
    except Exception as error:  # each provider's library has its own exceptions
        status = getattr(error.__cause__ or error, "status", None)
        # over HTTP, fsspec raises FileNotFoundError for every failure
        is_missing = status in MISSING or scheme_of(url) in WRITABLE
        if isinstance(error, FileNotFoundError) and is_missing:
            raise InputMissing(f"{name} does not exist", "check the address") from None
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise FolderUnusable(f"no space left for a copy of {name}", "free some space") from None
        why = f"HTTP {status}" if status else type(error.__cause__ or error).__name__
        raise InputRefused(f"{name} cannot be read: {why}", REMEDY) from None
