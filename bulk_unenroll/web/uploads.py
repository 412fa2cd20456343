"""A file from a browser to a new job: streamed to disk, so memory stays flat."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Final

from bulk_unenroll.inputs.finding import ENDINGS
from bulk_unenroll.inputs.formats.text import COMPRESSED_ENDINGS
from bulk_unenroll.web.jobs import Facts, Job, Jobs, append_audit

CHUNK_BYTES: Final = 1 << 18
OLD_EXCEL: Final = (".xls", ".xlsb", ".ods")
SHOWN_CHARS: Final = 120
STORED_CHARS: Final = 60
ROOM: Final = 4
"""The ledger and the results of a file take up to four times its size."""


class Unusable(Exception):
    """An upload that cannot be taken: the HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def stored_name(given: str) -> str:
    """A harmless name for a file that a browser calls ``given``; raises ``Unusable`` (415)."""
    name = PurePosixPath(given.replace("\\", "/")).name
    lower = name.lower()
    packed = next((ending for ending in COMPRESSED_ENDINGS if lower.endswith(ending)), "")
    ending = next((e for e in ENDINGS if lower.removesuffix(packed).endswith(e)), "")
    if lower.endswith(OLD_EXCEL):
        raise Unusable(415, "Open this file in Excel, save it as .xlsx, and give that.")
    if not ending:
        raise Unusable(415, "Choose a .csv, .tsv, .txt, .xlsx or .parquet file.")
    stem = name[: len(name) - len(ending + packed)]
    cleaned = re.sub(r"[^\w .-]", "_", stem)[:STORED_CHARS].strip(" .-_")
    return f"{cleaned or 'input'}{ending}{packed}"


def check_room(root: Path, size_bytes: int | None, most_bytes: int) -> None:
    """Raise ``Unusable`` where a file of this size is too large, or the disk too full for it."""
    if size_bytes is not None and size_bytes > most_bytes:
        raise Unusable(413, f"This file is larger than {most_bytes >> 20:,} MB.")
    if shutil.disk_usage(root).free < ROOM * (size_bytes or 0):
        raise Unusable(507, "The disk of this server is too full for this file. Nothing was kept.")


async def take_in(
    jobs: Jobs, who: str, given: str, chunks: AsyncIterator[bytes], most_bytes: int
) -> Job:
    """A new job with this file. Of an upload that breaks off nothing stays.

    Raises ``Unusable``.
    """
    stored, name = stored_name(given), jobs.new_name()
    part = jobs.root / f".part-{name}"
    part.mkdir(mode=0o700)
    (part / "in").mkdir(mode=0o700)
    try:
        size_bytes, sha256 = await _copy(chunks, part / "in" / stored, most_bytes)
        facts = {**_facts(given, stored, size_bytes, sha256), "by": who}
        job = Job(part)
        append_audit(part / "audit.jsonl", who, "uploaded", sha256=sha256, bytes=size_bytes)
        job.write("job.json", {**facts, "at": job.audited()[0]["at"]})
        part.rename(jobs.root / name)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Job(jobs.root / name)


async def add_to(
    job: Job, who: str, given: str, chunks: AsyncIterator[bytes], most_bytes: int
) -> Facts:
    """Store a file of mended rows beside a job's input; return its facts. Raises ``Unusable``."""
    stored = _free_name(job.inputs, stored_name(given))
    path = job.inputs / stored
    try:
        size_bytes, sha256 = await _copy(chunks, path, most_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    job.audit(who, "uploaded mended rows", sha256=sha256, bytes=size_bytes)
    return _facts(given, stored, size_bytes, sha256)


def _free_name(folder: Path, name: str) -> str:
    """``name``, with a number in front if it is taken."""
    names = chain([name], (f"{number}-{name}" for number in count(1)))
    return next(one for one in names if not (folder / one).exists())


def _facts(given: str, stored: str, size_bytes: int, sha256: str) -> Facts:
    shown = PurePosixPath(given.replace("\\", "/")).name[:SHOWN_CHARS]
    return {"file": stored, "shown": shown, "size_bytes": size_bytes, "sha256": sha256}


async def _copy(chunks: AsyncIterator[bytes], path: Path, most_bytes: int) -> tuple[int, str]:
    digest, size_bytes = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400)
    with os.fdopen(descriptor, "wb") as opened:
        try:
            async for chunk in chunks:
                size_bytes += len(chunk)
                if size_bytes > most_bytes:
                    raise Unusable(413, f"This file is larger than {most_bytes >> 20:,} MB.")
                digest.update(chunk)
                opened.write(chunk)
            opened.flush()
            await asyncio.to_thread(os.fsync, opened.fileno())
        except OSError as error:
            raise Unusable(507, f"The file could not be kept: {error.strerror}.") from None
    if not size_bytes:
        raise Unusable(400, "This file is empty.")
    return size_bytes, digest.hexdigest()
