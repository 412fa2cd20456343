"""A thread that does one task after the other, and an iterator that reads ahead in one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Self, TypeVar

T = TypeVar("T")


class Worker:
    """Does one task after the other, in a thread called ``name``. A context manager.

    A ``ThreadPoolExecutor`` takes no more tasks once the main thread has ended; a run in another
    thread must still be able to record its calls. A signal may raise as the block is entered, which
    then is never left: so the thread alone does not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.put(None)
        self._thread.join()

    def submit(self, task: Callable[[], T]) -> Future[T]:
        """Do ``task`` after those submitted before."""
        done: Future[T] = Future()

        def execute() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                done.set_result(task())
            except BaseException as error:  # whoever waits for it raises it
                done.set_exception(error)

        self._tasks.put(execute)
        return done

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


def ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield ``items``; each is made in another thread while the one before is in use.

    To be closed: a thread that goes on waiting would keep the process from ending.
    """
    end = object()
    with Worker("reading") as worker:
        coming = worker.submit(partial(next, items, end))
        while (item := coming.result()) is not end:
            coming = worker.submit(partial(next, items, end))
            yield item
