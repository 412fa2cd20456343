"""The thread that does one task after the other."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from bulk_unenroll.worker import Worker

ENTERED = "from bulk_unenroll.worker import Worker; Worker('reading').__enter__()"


def test_tasks_are_done_in_their_order_and_results_come_back() -> None:
    done: list[int] = []

    def note(number: int) -> int:
        done.append(number)
        return number

    with Worker("ledger") as worker:
        futures = [worker.submit(partial(note, number)) for number in range(50)]
        assert [future.result() for future in futures] == list(range(50))
    assert done == list(range(50))


def test_what_a_task_raises_is_raised_where_it_is_waited_for() -> None:
    def broken() -> None:
        raise ValueError("broken")

    with Worker("ledger") as worker:
        failed, next_one = worker.submit(broken), worker.submit(lambda: 7)
        with pytest.raises(ValueError, match="broken"):
            failed.result()
        assert next_one.result() == 7


def test_one_that_was_never_closed_does_not_keep_the_process_from_ending() -> None:
    """As after a signal that raised while its block was entered."""
    done = subprocess.run([sys.executable, "-c", ENTERED], timeout=30, check=False)
    assert done.returncode == 0
