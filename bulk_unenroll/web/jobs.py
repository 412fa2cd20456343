"""A job of the page: a folder on disk, which holds all there is to know about it.

JOB/  job.json      what was uploaded, how it is read, where its calls go
      audit.jsonl   who did what; each line holds a hash of the one before
      in/NAME       the input, for reading only
      run/          the run folder, as every run folder
      plan.json run.json …   what a command printed at its end; *.log what it logged
      mended.json   what the plan of mended rows said, which job.json names under ``mended``
      called.json   the same of those that were called last
      looked.json   what the last look at the input found
      draft.json    a form that was sent with a mistake
      answer.json   a wrong answer to the plan, and whose it was
      whole.json    how the whole job stands after a run of mended rows alone
      now.json      how far the command is that works now: --progress-file
      child.json    which process that is
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.files import replacing

NAME: Final = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
REHEARSAL: Final = "rehearsal"
"""The destination of a rehearsal; no other may have this name."""
SENDING: Final = ("run", "resume", "retry")
"""The commands that send."""
MENDED: Final = "mended"
"""A plan of mended rows, beside the results of its job."""
Facts = dict[str, Any]


def current(facts: Mapping[str, Any]) -> Facts:
    """The facts of the file that is planned: of the mended rows, or of the job's own file."""
    return {**facts, **(facts.get("mended") or {})}


@dataclass(frozen=True, slots=True)
class Job:
    """A job by its folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Its name, which is part of its address."""
        return self.folder.name

    @property
    def run_folder(self) -> Path:
        """Its run folder."""
        return self.folder / "run"

    @property
    def inputs(self) -> Path:
        """The folder of its input, in which commands work: so no path of the server is shown."""
        return self.folder / "in"

    @property
    def facts(self) -> Facts:
        """``job.json``."""
        found: Facts = json.loads((self.folder / "job.json").read_text("utf-8"))
        return found

    def note(self, **more: Any) -> None:
        """Add to ``job.json``."""
        _write(self.folder / "job.json", {**self.facts, **more})

    def read(self, name: str) -> Facts | None:
        """One of its JSON files; None while it is not there, or not complete."""
        try:
            found: Facts = json.loads((self.folder / name).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace one of its JSON files."""
        _write(self.folder / name, value)

    def moment(self, name: str) -> int:
        """When one of its files was written, in nanoseconds; 0 if it is not there."""
        try:
            return (self.folder / name).stat().st_mtime_ns
        except OSError:
            return 0

    def forget(self, name: str) -> None:
        """Remove one of its files, if it is there."""
        (self.folder / name).unlink(missing_ok=True)

    # ── who did what ─────────────────────────────────────────────────────────────────────────────

    def audit(self, who: str, what: str, **more: object) -> None:
        """Note durably that somebody did something. Names no customer."""
        append_audit(self.folder / "audit.jsonl", who, what, **more)

    def audited(self) -> list[Facts]:
        """What was noted, oldest first; but for a line that a full disk cut short."""
        try:
            lines = (self.folder / "audit.jsonl").read_bytes().splitlines()
        except OSError:
            return []
        return [noted for line in lines if (noted := _noted(line))]


def append_audit(path: Path, who: str, what: str, **more: object) -> None:
    """Add a line with a hash of the line before, so that a change in between can be seen."""
    try:
        *_, before = path.read_bytes().splitlines(keepends=True)
    except (OSError, ValueError):
        before = b""
    line = {"at": _now(), "who": who, "what": what, **more}
    line["after"] = hashlib.sha256(before.rstrip(b"\n")).hexdigest()[:16]
    was_cut = bool(before) and not before.endswith(b"\n")  # by a full disk
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "ab") as opened:
        opened.write(b"\n" * was_cut + json.dumps(line, ensure_ascii=False).encode() + b"\n")
        opened.flush()
        os.fsync(opened.fileno())


def _noted(line: bytes) -> Facts | None:
    try:
        found: Facts = json.loads(line)
    except ValueError:
        return None
    return found


# ── the folder of all jobs ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Jobs:
    """All jobs under ``root``."""

    root: Path

    def all(self) -> Iterator[Job]:
        """Every job, the newest first."""
        names = [path.name for path in self.root.iterdir() if NAME.fullmatch(path.name)]
        return (Job(self.root / name) for name in sorted(names, reverse=True))

    def find(self, name: str) -> Job | None:
        """The job of this name."""
        if not NAME.fullmatch(name) or not (self.root / name / "job.json").is_file():
            return None
        return Job(self.root / name)

    def new_name(self) -> str:
        """A name that no job has."""
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"

    def copy(self, job: Job, **more: Any) -> Job:
        """A new job with the same input, read in the same way."""
        name = self.new_name()
        part = self.root / f".part-{name}"
        part.mkdir(mode=0o700)
        (part / "in").mkdir(mode=0o700)
        facts = job.facts
        os.link(job.inputs / facts["file"], part / "in" / facts["file"])
        _write(part / "job.json", {**facts, **more, "at": _now()})
        part.rename(self.root / name)
        return Job(self.root / name)

    def delete(self, job: Job, who: str) -> None:
        """Delete a job; that somebody did so stays noted beside the others."""
        facts = job.facts
        shown = {"job": job.name, "file": facts["shown"], "sha256": facts["sha256"]}
        append_audit(self.root / "audit.jsonl", who, "deleted a job", **shown)
        gone = job.folder.with_name(f".gone-{job.name}")
        job.folder.rename(gone)
        shutil.rmtree(gone)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    with replacing(path) as part:
        part.write_text(json.dumps(value, ensure_ascii=False), "utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
