"""A whole run over real sockets: who may stop it, and what it leaves alone."""

from __future__ import annotations

import asyncio
import gc
import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from bulk_unenroll import sandbox
from bulk_unenroll.capillary.credentials import Basic, Endpoint
from bulk_unenroll.model import Call, Decision, Enrollment, State
from bulk_unenroll.option_values import Rate
from bulk_unenroll.sending.send import RunRequest, send
from bulk_unenroll.sending.stopping import StopRequest
from bulk_unenroll.signals import SIGNALS
from tests.sending.scripted import Job, Watcher, keys, sending

ROWS = 40
SLOW = Rate(20, 1.0)
FAST = Rate(2000, 1.0)


FIRST = itertools.count(1, ROWS)


def new_rows() -> list[Enrollment]:
    """Of customers whom no other test calls: they share a sandbox."""
    first = next(FIRST)
    return keys(range(first, first + ROWS))


@pytest.fixture(scope="module")
def api() -> Iterator[Endpoint]:
    base_url, stop = sandbox.start_in_thread()
    username, password = SecretStr(sandbox.SANDBOX_USERNAME), SecretStr(sandbox.SANDBOX_PASSWORD)
    yield Endpoint(base_url, Basic.of(username, password))
    stop()


@dataclass
class Process(Watcher):
    """Looks at the process while a run is under way, and acts ``at_first`` in its thread."""

    at_first: Callable[[], object] = lambda: None
    handlers: list[object] = field(default_factory=list)
    collects_after: int = 0

    def recorded(self, call: Call, decision: Decision) -> None:
        super().recorded(call, decision)
        if len(self.decisions) == 1:
            self.handlers = handlers()
            self.collects_after = gc.get_threshold()[0]
            self.at_first()


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def sent(
    job: Job,
    api: Endpoint,
    observer: Watcher,
    rate: Rate,
    *,
    stop: StopRequest | None = None,
    end_now: Callable[[int], None] | None = None,
) -> Mapping[int, str]:
    """Send what is confirmed; why it stopped early."""
    job.runs += 1
    sources = job.confirmed()
    request = RunRequest(f"run-{job.runs}", "run", "test", sources, stop=stop, end_now=end_now)
    return send(job.ledger, api, sending(rate=rate), request, observer)


def fail(code: int) -> None:
    raise AssertionError(f"ended at once with {code}")


async def test_it_runs_in_a_thread_beside_a_running_loop(job: Job, api: Endpoint) -> None:
    job.plan(new_rows())
    assert await asyncio.to_thread(sent, job, api, Watcher(), FAST) == {}
    assert job.states() == {State.SUCCEEDED: ROWS}


async def test_two_runs_at_once_in_one_process(
    job: Job, api: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Job(tmp_path_factory.mktemp("other")) as other:
        for one in (job, other):
            one.plan(new_rows())
        await asyncio.gather(
            *(asyncio.to_thread(sent, one, api, Watcher(), FAST) for one in (job, other))
        )
        assert job.states() == other.states() == {State.SUCCEEDED: ROWS}


async def test_another_thread_stops_it_cleanly(job: Job, api: Endpoint) -> None:
    job.plan(new_rows())
    began, request = threading.Event(), StopRequest()
    run = asyncio.create_task(
        asyncio.to_thread(sent, job, api, Process(at_first=began.set), SLOW, stop=request)
    )
    await asyncio.to_thread(began.wait)
    request.stop()
    assert await run == {3: "stopped by the caller"}
    states = job.states()
    assert set(states) == {State.SUCCEEDED, State.PENDING}
    assert sum(states.values()) == ROWS


def test_the_run_itself_may_ask_for_a_stop(job: Job, api: Endpoint) -> None:
    """An observer does, in the run's own thread."""
    job.plan(new_rows())
    request = StopRequest()
    observer = Process(at_first=request.stop)
    assert sent(job, api, observer, SLOW, stop=request) == {3: "stopped by the caller"}
    assert set(job.states()) == {State.SUCCEEDED, State.PENDING}


def test_a_stop_before_the_beginning_sends_nothing(job: Job, api: Endpoint) -> None:
    job.plan(new_rows())
    request = StopRequest()
    request.stop()
    assert list(sent(job, api, Watcher(), FAST, stop=request)) == [3]
    assert job.states() == {State.PENDING: ROWS}


def test_a_stop_after_the_end_does_nothing(job: Job, api: Endpoint) -> None:
    job.plan(new_rows())
    request = StopRequest()
    assert sent(job, api, Watcher(), FAST, stop=request) == {}
    request.stop()


class TestTheProcess:
    @pytest.fixture(autouse=True)
    def _handlers(self) -> Iterator[None]:
        """Somebody else's, so that whoever replaces them is seen."""
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        yield
        for number, handler in before.items():
            signal.signal(number, handler)

    def test_a_caller_keeps_signals_and_the_garbage_collector(
        self, job: Job, api: Endpoint
    ) -> None:
        before, process = handlers(), Process()
        job.plan(new_rows())
        sent(job, api, process, FAST)
        assert process.handlers == handlers() == before
        assert process.collects_after == gc.get_threshold()[0]

    async def test_so_does_one_that_runs_in_a_thread_whatever_it_asks_for(
        self, job: Job, api: Endpoint
    ) -> None:
        before, process = handlers(), Process()
        job.plan(new_rows())
        await asyncio.to_thread(sent, job, api, process, FAST, end_now=fail)
        assert process.handlers == handlers() == before
        assert process.collects_after == gc.get_threshold()[0]

    def test_a_command_takes_both_and_gives_both_back(self, job: Job, api: Endpoint) -> None:
        before, collects_after, process = handlers(), gc.get_threshold()[0], Process()
        job.plan(new_rows())
        sent(job, api, process, FAST, end_now=fail)
        assert all(one != other for one, other in zip(process.handlers, before, strict=True))
        assert process.collects_after > gc.get_threshold()[0] == collects_after
        assert handlers() == before, "what a command does with a signal while it writes results"

    def test_a_signal_stops_a_command(self, job: Job, api: Endpoint) -> None:
        job.plan(new_rows())
        observer = Process(at_first=lambda: signal.raise_signal(signal.SIGTERM))
        assert sent(job, api, observer, SLOW, end_now=fail) == {143: "stopped by SIGTERM"}
        assert set(job.states()) == {State.SUCCEEDED, State.PENDING}
