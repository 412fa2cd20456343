"""``python -m bulk_unenroll.engines.tethered ARGS``: the program, ending when its starter does.

Standard input is a pipe that the starter holds open. However the starter ends, also by kill -9, the
pipe ends too. Then the program sends TERM to itself, and records what it has in flight.
"""

import os
import runpy
import signal
import threading

CHUNK_BYTES = 4096


def main() -> None:
    """Run the program, and watch the pipe meanwhile."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    runpy.run_module("bulk_unenroll", run_name="__main__", alter_sys=True)


def _end_with_starter() -> None:
    while os.read(0, CHUNK_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
