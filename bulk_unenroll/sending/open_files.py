"""Raises the limit of open files: every call in flight needs one."""

from __future__ import annotations

import resource
from typing import Final

from bulk_unenroll.errors import Misconfigured

OTHERS: Final = 64
"""The ledger, the log, the results, and what Python keeps open."""


def allow_open_files(concurrency: int) -> None:
    """See to it that ``concurrency`` calls can be in flight; raises ``Misconfigured`` (78)."""
    needed = concurrency + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if allowed < needed:
        raise Misconfigured(
            f"--concurrency {concurrency} needs {needed} open files, and this process may have"
            f" {allowed}",
            "raise `ulimit -n`, or give a lower --concurrency",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
