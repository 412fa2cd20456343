"""``bulk-unenroll`` and ``python -m bulk_unenroll``."""

import sys
from typing import NoReturn

from bulk_unenroll import __version__
from bulk_unenroll.cli.help_text import USAGE
from bulk_unenroll.exits import ExitCode

WINDOWS: str = (
    "bulk-unenroll does not run on Windows: use it in WSL (https://learn.microsoft.com/windows/wsl),"
    " or the page on a server of your colleagues"
)


def main() -> NoReturn:
    """Run the command line and exit; ``--help`` alone needs nothing of it."""
    if sys.platform == "win32":  # before anything is imported that Windows does not have
        raise SystemExit(_refuse_windows())
    from bulk_unenroll import streams

    streams.set_up()
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        print(USAGE, end="", flush=True)  # noqa: T201 - click would have to be imported
        raise SystemExit(0 if sys.argv[1:] else int(ExitCode.USAGE))
    from bulk_unenroll.cli.main import main

    main()


def _refuse_windows() -> int:
    if sys.argv[1:] == ["--version"]:
        print(f"bulk-unenroll, version {__version__}")  # noqa: T201
        return 0
    print(WINDOWS, file=sys.stderr)  # noqa: T201
    return int(ExitCode.CONFIG)


if __name__ == "__main__":
    main()
