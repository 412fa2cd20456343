"""Commands as processes of their own: they go on when this server ends, and are found again."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from bulk_unenroll.ledger.folder import is_locked
from bulk_unenroll.web.jobs import MENDED, SENDING, Facts, Job

PROGRAM: Final = (sys.executable, "-P", "-m", "bulk_unenroll")
LOOK_BYTES: Final = 2 << 30
READ_BYTES: Final = 4 << 30
"""So much memory a look at an input, and a command that reads it all, may take."""
LOOK_S: Final = 60.0
SECRETS: Final = ("USERNAME", "PASSWORD", "CLIENT_KEY", "CLIENT_SECRET", "BASE_URL", "PROXY_SECRET")


def start(
    job: Job, what: str, words: Sequence[str], who: str, credentials: Mapping[str, str]
) -> None:
    """Start the command ``what`` of a job. ``who`` is noted in the ledger as who started it.

    What it prints at its end is in ``WHAT.json``, how far it is in ``now.json``; how far the last
    one came stays in ``child.json``. ``MENDED`` is a plan beside the results of the job.
    """
    kept = _kept(job, what)
    job.forget("now.json")
    with (
        _new(job.folder / f"{what}.json") as out,
        _new(job.folder / f"{what}.log") as log,
    ):
        child = subprocess.Popen(  # noqa: S603 - a list of our own words, without a shell
            [*PROGRAM, "plan" if what == MENDED else what, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            env=_environment(who, credentials),
            cwd=job.inputs,
            start_new_session=True,
        )
    if what in ("plan", MENDED):
        _limit(child.pid, READ_BYTES)
    begun = {"what": what, "pid": child.pid, "began": _began(child.pid)}
    job.write("child.json", {**begun, **kept})
    threading.Thread(target=child.wait, daemon=True).start()  # else it stays as a zombie


def _kept(job: Job, what: str) -> dict[str, object]:
    """What stays known of the commands before: which one sent last, and how far it came."""
    before, now = job.read("child.json") or {}, job.read("now.json") or {}
    known = now if now.get("states") else before.get("known")
    sent = what if what in SENDING else before.get("sent")
    return {"sent": sent, "known": known}


def ask(job: Job, words: Sequence[str], credentials: Mapping[str, str]) -> str:
    """Run a command that changes nothing; return what it printed. Raises ``TimeoutExpired``."""
    with subprocess.Popen(  # noqa: S603 - as above
        [*PROGRAM, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment("", credentials),
        cwd=job.inputs,
        text=True,
    ) as child:
        _limit(child.pid, LOOK_BYTES)
        try:
            return child.communicate(timeout=LOOK_S)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            raise


def works_on(job: Job) -> str | None:
    """The command that works on a job now; None if none does."""
    child = job.read("child.json")
    if child is None:
        return None
    began = _began(child["pid"])
    if began is None and not Path("/proc/self").exists():  # no such files on macOS
        return str(child["what"]) if job.run_folder.exists() and is_locked(job.run_folder) else None
    return str(child["what"]) if began is not None and began == child["began"] else None


def last_of(job: Job) -> tuple[str | None, Facts | None]:
    """The last command that sent, or sends now, and how far it was before the one that works now.

    If none ever sent, the one that planned.
    """
    child = job.read("child.json")
    if child is None:
        return None, None
    return str(child.get("sent") or child["what"]), child.get("known")


def _began(pid: int) -> str | None:
    """When a process began, in the clock ticks of ``proc(5)``; None for none, or a zombie.

    A number may be given to another process later, but not with the same time.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _limit(pid: int, memory_bytes: int) -> None:
    if hasattr(resource, "prlimit"):  # on Linux
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _environment(who: str, credentials: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the credentials of one destination alone."""
    hidden = {f"BULK_UNENROLL_{name}{ending}" for name in SECRETS for ending in ("", "_FILE")}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, **credentials, **({"LOGNAME": who} if who else {}), "NO_COLOR": "1"}


def _new(path: Path) -> BinaryIO:
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
