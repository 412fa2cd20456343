"""Run a command and write down its peak memory.

``python -m tests.proof.kit.peak_memory FILE COMMAND...``: FILE gets the peak resident set, in kB.
It is a process of its own, because a child's peak begins with that of the process that started it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def measuring(file: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that runs ``command`` and measures it."""
    return (sys.executable, "-m", "tests.proof.kit.peak_memory", str(file), *command)


if __name__ == "__main__":
    process = subprocess.Popen(sys.argv[2:])
    _, status, usage = os.wait4(process.pid, 0)
    Path(sys.argv[1]).write_text(str(usage.ru_maxrss))
    raise SystemExit(os.waitstatus_to_exitcode(status))
