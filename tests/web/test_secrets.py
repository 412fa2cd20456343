"""Whatever fails, and whatever an API repeats: no secret is in an answer, a file or ``ps``."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.kit.command import Desk
from tests.proof.kit.rude_server import RudeServer
from tests.proof.test_secrets import (
    BASIC,
    CUSTOMER,
    FAILURES,
    HEADER,
    KEY,
    PASSWORD,
    SECRET,
    URL_PASSWORD,
    USERNAME,
    hits,
)
from tests.web.kit import Answer, PageServer, Visitor, serving
from tests.web.test_pages import job_json

pytestmark = pytest.mark.thorough
AT_ONCE: Final = 2
"""The page takes in no more files at once."""
FILES: Final = ("results.csv", "failed.csv", "report.html")
MANY: Final = 200
FAILED: Final = (
    "TLS fails",
    "401",
    "403",
    "in a message",
    "in a nested message",
    "in a code",
    "across the end of a code",
    "in a request id",
    "in a redirect",
    "in what blocks a target",
    "in what halts an org",
    "token refused",
    "two pairs",
)
MISNAMED: Final = "a password in the place of a name"
SENT: Final = {name for name in FAILED if FAILURES[name].environment is BASIC}
VARIABLES: Final = {
    "THE_USER": USERNAME,
    "THE_PASSWORD": PASSWORD,
    "THE_KEY": KEY,
    "THE_SECRET": SECRET,
    "http_proxy": f"http://u:{URL_PASSWORD}@127.0.0.1:9",
    "HTTPS_PROXY": f"http://u:{URL_PASSWORD}@127.0.0.1:9",
    "BULK_UNENROLL_NOTIFY_URLS": f"no-such-scheme://u:{URL_PASSWORD}@127.0.0.1/",
}
NAMED: Final = {
    "USERNAME": "THE_USER",
    "PASSWORD": "THE_PASSWORD",
    "CLIENT_KEY": "THE_KEY",
    "CLIENT_SECRET": "THE_SECRET",
}


@dataclass
class Reader(Visitor):
    """A visitor that keeps every answer whole."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        answer = super().raw(method, path, body, headers)
        said = f"{answer.headers} {answer.text} {html.unescape(answer.text)}".replace('\\"', '"')
        self.kept[f"{method} {path}"] = said.encode()
        return answer


def table(name: str, base_url: str, variables: Mapping[str, str]) -> str:
    named = "".join(f"{key.lower()}_env = '{value}'\n" for key, value in variables.items())
    return f"[[destination]]\nname = '{name}'\nbase_url = '{base_url}'\n{named}"


@contextmanager
def failing() -> Iterator[tuple[str, Mapping[str, RudeServer]]]:
    """A file with a destination for each failure, and the API of each."""
    tables, apis = [], {}
    with ExitStack() as stack:
        for name in FAILED:
            failure = FAILURES[name]
            apis[name] = api = stack.enter_context(RudeServer(*[failure.manner] * MANY))
            given = failure.environment
            base_url = given.get("BASE_URL", api.base_url).replace("{port}", str(api.port))
            named = {key: NAMED[key] for key in given if key in NAMED}
            tables.append(table(name, base_url, named))
        wrong = {"USERNAME": "THE_USER", "PASSWORD": PASSWORD}
        tables.append(table(MISNAMED, apis["401"].base_url, wrong))
        yield "\n".join(tables), apis


@contextmanager
def arguments_read() -> Iterator[dict[str, bytes]]:
    """What ``ps`` shows meanwhile of every process on this machine."""
    found: dict[str, bytes] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    found[f"ps {path.parent.name}"] = path.read_bytes()
                except OSError:  # it has just ended
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def carried_out(desk: Desk, server: PageServer, visitor: Reader, name: str, number: int) -> int:
    """A job for this destination, and a look at all that is told of it; how its run ended."""
    visitor.drop(desk.write(f"{number}.csv", [(CUSTOMER + 7 * number, 1001, 2001)]))
    visitor.plan(name, rate=60)
    visitor.confirm(1)
    visitor.end()
    job = visitor.job
    for page in ("plan", "now", *(f"files/{name}" for name in FILES)):
        visitor.get(f"{job}/{page}")
    visitor.post(f"{job}/customer", customer=CUSTOMER + 7 * number)
    visitor.at = job
    ended: Mapping[str, int] = job_json(server, visitor, "run.json")["exit"]  # type: ignore[assignment]
    return ended["code"]


def test_of_no_failure_a_secret_is_told(desk: Desk) -> None:
    desk.environment |= VARIABLES
    path = desk.folder / "destinations.toml"
    codes: dict[str, int] = {}
    with failing() as (tables, apis), arguments_read() as arguments:
        path.write_text(tables)
        with serving(desk, "--destinations", path) as server:
            session = server.visit().cookies
            names = [*FAILED, MISNAMED]
            readers = [Reader(server.address, dict(session)) for _ in names]

            def attack(number: int) -> None:
                name = names[number]
                codes[name] = carried_out(desk, server, readers[number], name, number)

            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(attack, range(len(names))))
            readers[0].get("/")
            written = {str(p): p.read_bytes() for p in server.root.rglob("*") if p.is_file()}
        told = {place: said for reader in readers for place, said in reader.kept.items()}
    assert codes == {**{name: FAILURES[name].exit_code for name in FAILED}, MISNAMED: 78}
    unsent = [name for name in SENT if f"Basic {HEADER}".encode() not in apis[name].read]
    assert unsent == [], "nothing secret was used"
    assert any(b"--base-url" in words for words in arguments.values())
    places = {**told, **written, **arguments, "log": server.said.encode()}
    assert hits(places) == []
    seen = {**told, **written, **arguments}
    assert [place for place, said in seen.items() if server.token.encode() in said] == []


@pytest.mark.parametrize(
    "lines",
    [
        [f"base_url = 'http://u:{URL_PASSWORD}@127.0.0.1:9/v3.1'"],
        [f"base_url = 'http://u:{URL_PASSWORD}@127.0.0.1:x/v3.1'"],
        ["base_url = 'https://127.0.0.1/v3.1'", f"password = '{PASSWORD}'"],
        ["base_url = 'https://127.0.0.1/v3.1'", f"password_env = {PASSWORD}"],
    ],
    ids=["in a URL", "in a URL with a bad port", "as it is", "without quotes"],
)
def test_a_secret_in_the_file_of_destinations_is_not_repeated(
    desk: Desk, lines: Sequence[str]
) -> None:
    path = desk.folder / "destinations.toml"
    path.write_text("\n".join(["[[destination]]", "name = 'EU'", *lines, ""]))
    ended = desk.do("serve", "jobs", "--no-open", "--destinations", path)
    assert ended.code == 78, ended.err
    assert hits({"out": ended.out.encode(), "err": ended.err.encode()}) == []
