"""Notify people of the end of a run, through apprise. Needs the extra ``notify``.

A notification holds counts and codes only: customer ids must not leave this machine.
"""

from __future__ import annotations

import logging

import apprise

from bulk_unenroll.exits import EXIT_CODES, is_halt
from bulk_unenroll.log import get_logger
from bulk_unenroll.reports.summary import Summary

log = get_logger()


def notify(urls: str, summary: Summary, *, job: str | None, host: str) -> bool:
    """Send to every apprise URL of ``urls`` (separated by spaces); return whether all succeeded.

    Never raises, and never logs a URL, which may hold a token.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it prints URLs
    code = summary.exit.code
    notifier = apprise.Apprise()
    known = [bool(notifier.add(url)) for url in urls.split()]
    kind = apprise.NotifyType.FAILURE if is_halt(code) else apprise.NotifyType.INFO
    title = f"bulk-unenroll: {EXIT_CODES[code].title} (exit {code})"
    sent = bool(notifier.notify(body=body(summary, job, host), title=title, notify_type=kind))
    if not (sent and all(known)):
        log.warning("not_notified", urls=len(known), understood=sum(known))
    return sent and all(known)


def count_unknown(urls: str) -> int:
    """How many of these URLs apprise does not support."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it prints URLs
    notifier = apprise.Apprise()
    return sum(not notifier.add(url) for url in urls.split())


def body(summary: Summary, job: str | None, host: str) -> str:
    """The text of a notification: why it ended, where, counts, codes and the next command."""
    lines = [summary.exit.reason, f"folder {summary.folder or 'not known'} on {host}"]
    if job:
        lines.append(f"job {job}")
    if counts := summary.counts:
        lines += [
            f"{counts.read:,} rows = {counts.invalid:,} invalid + {counts.duplicate:,} duplicate"
            f" + {counts.unique:,} customers/targets",
            *(f"{state.value}: {number:,}" for state, number in counts.states.items() if number),
            *(f"code {code}: {number:,}" for code, number in sorted(counts.codes.items())),
        ]
    if summary.next:
        lines.append(f"next: {summary.next}")
    return "\n".join(lines)
