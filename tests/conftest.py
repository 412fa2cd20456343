"""Shared fixtures: a desk and a witness; a seed that replays; figures that are written down."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from tests.kit.command import CREDENTIALS, Desk, Witness
from tests.kit.in_process import EITHER
from tests.kit.notifications import Inbox
from tests.kit.postgres import Server, programs, running_server
from tests.proof.kit.figures import PAGE, Figures

DEFAULT_SEED = 20260101
"""The same attacks and examples for everybody, so that a red suite is the change's doing.

Search with others: with any other seed, examples are new ones each time.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    missing = "fail, and do not skip, where a package is missing that a test `needs`"
    parser.addoption("--all-extras", action="store_true", help=missing)
    group = parser.getgroup("proof")
    group.addoption("--seed", default=str(DEFAULT_SEED), help="a number, or `random`")
    group.addoption("--write-proof", action="store_true", help=f"write the figures into {PAGE}")


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: many tests wait for processes of their own."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "attack(name, promise): a law that the test attacks")
    given: str = config.getoption("--seed")
    config.stash[SEED] = random.SystemRandom().getrandbits(32) if given == "random" else int(given)
    config.stash[FIGURES] = Figures()
    settings.register_profile("here", derandomize=given == str(DEFAULT_SEED), deadline=None)
    settings.load_profile("here")
    heed_signals()


def heed_signals() -> None:
    """Commands inherit what is ignored: by ``nohup``, or by a shell for what goes on behind it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.stash[SEED]} (again: --seed {config.stash[SEED]})"


def pytest_sessionfinish(session: pytest.Session) -> None:
    figures = session.config.stash[FIGURES]
    if session.config.getoption("--write-proof") and figures.found:
        figures.write()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "desk" in metafunc.fixturenames and metafunc.definition.get_closest_marker("in_process"):
        metafunc.parametrize("desk", EITHER, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("needs"):
            item.add_marker("thorough")
            if not (find_spec(mark.args[0]) or config.getoption("--all-extras")):
                reason = f"{mark.args[0]} is not installed: pip install -e '.[dev]'"
                item.add_marker(pytest.mark.skip(reason=reason))


SEED = pytest.StashKey[int]()
FIGURES = pytest.StashKey[Figures]()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of all dice of a test; the same one replays it."""
    found = request.config.stash[SEED]
    print(f"seed: {found}")
    return found


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Record the figures of an attack: ``proof(kills=100, lost=0)``.

    The test's mark ``attack`` says which attack it is, and what must hold. Names of figures that
    are not Python names are passed as ``**{"sends a row": 1.02}``.
    """
    mark = request.node.get_closest_marker("attack")
    assert mark is not None, "a test that proves something is marked with `attack`"
    name, promise = mark.args
    tiers = ("long", "thorough")
    tier = next((tier for tier in tiers if request.node.get_closest_marker(tier)), "quick")
    figures, seed = request.config.stash[FIGURES], request.config.stash[SEED]

    def write(**measured: object) -> None:
        print(f"{name}: {measured}")
        figures.add(name, promise, tier, request.node.nodeid, seed, measured)

    return write


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the user's programs remember: of this test alone."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which must end first
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; without one, or without psycopg, tests that need it are skipped."""
    bin_ = programs()
    if bin_ is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install -e '.[test]'")
    with running_server(bin_) as running:
        yield running


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """Where commands are processes, unless a test is marked ``in_process``."""
    kind: type[Desk] = getattr(request, "param", Desk)
    folder = tmp_path / "desk"
    folder.mkdir()
    return kind(folder)


@pytest.fixture
def kind_of_witness() -> type[Witness]:
    return Witness


@pytest.fixture
def witness(
    tmp_path: Path, desk: Desk, kind_of_witness: type[Witness]
) -> Iterator[Callable[..., Witness]]:
    """Starts a sandbox, and points the desk at it."""
    started: list[Witness] = []

    def start(scenario: str = "") -> Witness:
        made = kind_of_witness(tmp_path, scenario)
        started.append(made)
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": made.base_url}
        return made

    yield start
    for made in started:
        made.stop()


@pytest.fixture
def inbox(desk: Desk) -> Iterator[Inbox]:
    """An address for notifications, which the desk knows."""
    made = Inbox()
    desk.environment["BULK_UNENROLL_NOTIFY_URLS"] = made.url
    yield made
    made.close()
