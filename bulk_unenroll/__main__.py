"""``bulk-unenroll`` and ``python -m bulk_unenroll``."""

import sys
from typing import NoReturn

from bulk_unenroll.cli.help_text import USAGE


def main() -> NoReturn:
    """Run the command line and exit; ``--help`` alone needs nothing of it."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        raise SystemExit(_show_usage())
    from bulk_unenroll.cli.main import main

    main()


def _show_usage() -> int:
    try:
        print(USAGE, end="", flush=True)  # noqa: T201 - click would have to be imported
    except BrokenPipeError:
        sys.stdout = None  # so that nobody flushes it at the end
    return 0


if __name__ == "__main__":
    main()
