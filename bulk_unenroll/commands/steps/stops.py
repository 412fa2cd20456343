"""When a run must not begin, and why it must end."""

from __future__ import annotations

import datetime
from pathlib import Path

from bulk_unenroll.clocks import elapsed_s
from bulk_unenroll.errors import OutsideWindow
from bulk_unenroll.ledger.folder import STOPPED, is_asked_to_stop
from bulk_unenroll.option_values import ALWAYS
from bulk_unenroll.settings import RunSettings


def why_stop(folder: Path, settings: RunSettings) -> str:
    """Why a run that goes on must end now; "" if it need not."""
    if is_asked_to_stop(folder):
        return STOPPED
    return "time is up" if settings.time_is_up(datetime.datetime.now(), elapsed_s()) else ""


def check_window(settings: RunSettings) -> None:
    """Raise ``OutsideWindow`` (3) if calls may not be made at this time of day."""
    now, window = datetime.datetime.now(), settings.window
    if window is not None and now.time() not in window:
        raise OutsideWindow(
            f"it is {now:%H:%M}, outside the window {window}; nothing was sent",
            f"it opens at {window.begins:%H:%M}; to send now, add --window {ALWAYS}",
        )
