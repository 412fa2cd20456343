"""What a person sees: a module for each command. Plain text where there is no terminal."""

from __future__ import annotations

from bulk_unenroll.cli.screens.console import err, out
from bulk_unenroll.cli.screens.explain import show_codes, show_explained
from bulk_unenroll.cli.screens.following import Following
from bulk_unenroll.cli.screens.peek import show_peek
from bulk_unenroll.cli.screens.plan import show_alarms, show_plan
from bulk_unenroll.cli.screens.summary import show_summary

__all__ = [
    "Following",
    "err",
    "out",
    "show_alarms",
    "show_codes",
    "show_explained",
    "show_peek",
    "show_plan",
    "show_summary",
]
