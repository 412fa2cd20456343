"""The program with one or more of its laws broken on purpose, for control arms.

``python -m tests.proof.controls.sabotaged MODULE:FUNCTION run a.csv --yes`` calls the function,
which breaks something, and then runs the command. Several functions are separated by commas.
"""

from __future__ import annotations

import sys
from importlib import import_module

from bulk_unenroll.cli.main import main


def program(*breaks: str) -> tuple[str, ...]:
    """The command line of the program with these ``breaks``, for ``Desk(folder, program)``."""
    return (sys.executable, "-m", "tests.proof.controls.sabotaged", ",".join(breaks))


if __name__ == "__main__":
    for name in sys.argv.pop(1).split(","):
        module, _, function = name.partition(":")
        getattr(import_module(module), function)()
    main()
