"""No secret comes out, whatever fails and whatever a server repeats of what it was sent."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from bulk_unenroll.commands.export import export
from tests.kit.command import PROGRAM, Desk, Ended
from tests.kit.tiers import long, thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.rude_server import PATIENCE_S, Manner, RudeServer, Talk, answer, replies, says

USERNAME: Final = "till-of-shop-7"
PASSWORD: Final = 'Quokka"87/plain&word'
DIGEST: Final = hashlib.md5(PASSWORD.encode()).hexdigest()
HEADER: Final = base64.b64encode(f"{USERNAME}:{DIGEST}".encode()).decode()
KEY, SECRET, TOKEN = "Numbat-key-4417", "Bilby/secret+9921", "Potoroo.token-5580"
URL_PASSWORD: Final = "Wombat-url-3306"
SECRETS: Final = (PASSWORD, DIGEST, HEADER, SECRET, TOKEN, URL_PASSWORD)
BEGINNING_CHARS: Final = 10
"""So much of a secret at its beginning gives it away; an earlier cut leaves less than this."""

CUSTOMER: Final = 423789336
AT_ONCE: Final = 3
ALL: Final = f"Basic {HEADER} {DIGEST} {PASSWORD}"
"""What a server knows of a caller with a password."""

PAIR: Final = json.dumps({"key": KEY, "secret": SECRET})
BASIC: Final = {"USERNAME": USERNAME, "PASSWORD": PASSWORD}
OAUTH: Final = {"CLIENT_KEY": KEY, "CLIENT_SECRET": SECRET}

LOGGING: Final = (
    (),
    ("-v",),
    ("-q",),
    ("--json", "-v"),
    ("--log-format", "json"),
    ("--log-format", "console", "-v"),
    ("--log-file", "log.txt", "-v"),
)


# ── what fails, and how it is reported ───────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Failure:
    """What a server says to every call, with which credentials, and how the command is started.

    ``{port}`` in a value of ``environment`` is the server's.
    """

    manner: Manner
    exit_code: int
    environment: Mapping[str, str] = field(default_factory=lambda: BASIC)
    program: tuple[str, ...] = PROGRAM


def hang_up(talk: Talk) -> None:
    talk.arrival()
    talk.close()


def told(message: object, code: object = 7, status: str = "200 OK", *headers: str) -> Manner:
    document = {"data": None, "errors": [{"code": code, "message": message}]}
    return replies(answer(json.dumps(document).encode(), *headers, status=status))


def with_token(*, message: str) -> Manner:
    """Give tokens; refuse every call, and repeat what was sent."""
    token = {"data": {"accessToken": TOKEN, "ttlSeconds": 300}}

    def manner(talk: Talk) -> None:
        if b"oauth/token" in talk.head():
            talk.send(answer(json.dumps(token).encode()))
        else:
            refusal = {"errors": [{"code": 498, "message": message}]}
            talk.send(answer(json.dumps(refusal).encode(), f"X-CAP-REQUEST-ID: {TOKEN}"))

    return manner


def good_with(*headers: str, data: object = CUSTOMER) -> Manner:
    return replies(answer(json.dumps({"data": data, "errors": None}).encode(), *headers))


FAILURES: Final[Mapping[str, Failure]] = {
    "401": Failure(told(ALL, 401, "401 Unauthorized"), 77),
    "403": Failure(told(ALL, 9, "403 Forbidden"), 77),
    "in a message": Failure(told(ALL, 310011), 1),
    "across the end of a message": Failure(told("x" * 1985 + ALL, 310011), 1),
    "in a nested message": Failure(told([{"sent": ALL}], 310011), 1),
    "in a code": Failure(told("m", f"E {ALL}"), 1),
    "across the end of a code": Failure(told("m", "x" * 40 + HEADER), 1),
    "in a request id": Failure(good_with(f"X-CAP-REQUEST-ID: {ALL}"), 0),
    "across the end of a request id": Failure(
        good_with(f"X-Cap-Requestid: {'x' * 180}{HEADER}"), 0
    ),
    "for a customer": Failure(good_with(data=ALL), 0),
    "in the status line": Failure(replies(answer(b"", status=f"500 {ALL}")), 3),
    "in a page": Failure(replies(answer(ALL.encode(), status="502 Bad Gateway")), 3),
    "in no HTTP at all": Failure(says(f"{ALL}\r\n\r\n".encode()), 3),
    "in a bad header": Failure(replies(answer(b"", f"X: \x00{ALL}")), 3),
    "in a redirect": Failure(replies(answer(b"", f"Location: /{ALL}", status="302 Found")), 78),
    "in a pause": Failure(told(ALL, None, "429 Too Many", "Retry-After: 0"), 1),
    "in what blocks a target": Failure(told(ALL, 310018), 1),
    "in what halts an org": Failure(told(ALL, 310144), 78),
    "token refused": Failure(told(PAIR, 320001, "401 Unauthorized"), 77, OAUTH),
    "token call fails": Failure(told(PAIR, 9, "500 Oops"), 69, OAUTH),
    "token given and refused": Failure(with_token(message=f"{TOKEN} {PAIR}"), 77, OAUTH),
    "TLS fails": Failure(hang_up, 69, {**BASIC, "BASE_URL": "https://127.0.0.1:{port}/v3.1"}),
    "a password in the base URL": Failure(
        told(ALL), 78, {**BASIC, "BASE_URL": f"http://u:{URL_PASSWORD}@127.0.0.1:{{port}}/v3.1"}
    ),
    "a bad port in such a URL": Failure(
        told(ALL), 78, {**BASIC, "BASE_URL": f"http://u:{URL_PASSWORD}@127.0.0.1:x/v3.1"}
    ),
    "a password in the token URL": Failure(
        told(ALL), 78, {**OAUTH, "TOKEN_URL": f"http://u:{URL_PASSWORD}@127.0.0.1:{{port}}/t"}
    ),
    "a hash that is none": Failure(told(ALL), 78, {"USERNAME": USERNAME, "PASSWORD_MD5": PASSWORD}),
    "two pairs": Failure(told(ALL), 78, {**BASIC, **OAUTH}),
    "an internal error": Failure(told(ALL), 70, BASIC, program("tests.proof.controls.leaks:crash")),
}


LONG_ONLY: Final = {
    "403",
    "across the end of a message",
    "in a nested message",
    "across the end of a request id",
    "for a customer",
    "in the status line",
    "in a page",
    "in a redirect",
    "in what halts an org",
    "token call fails",
    "TLS fails",
    "a bad port in such a URL",
    "two pairs",
}
"""They differ little from others."""
QUICK: Final = (
    "in a message",
    "an internal error",
)
THOROUGH: Final = tuple(name for name in FAILURES if name not in LONG_ONLY)


# ── the attack ───────────────────────────────────────────────────────────────────────────────────


class Worker(Desk):
    """A desk where an internal error is expected, and every proxy is wrong."""

    def __init__(self, folder: Path, failure: Failure, server: RudeServer) -> None:
        folder.mkdir()
        super().__init__(folder, failure.program)
        proxy = f"http://u:{URL_PASSWORD}@127.0.0.1:9"
        # a history of its own: attacks use the same ports one after the other
        self.environment |= {"XDG_STATE_HOME": str(folder / "state")}
        self.environment |= {"http_proxy": proxy, "HTTPS_PROXY": proxy}
        settings = {"BASE_URL": server.base_url, **failure.environment}
        for name, value in settings.items():
            shown = value.replace("{port}", str(server.port))
            self.environment[f"BULK_UNENROLL_{name}"] = shown

    def do(self, *words: object, stdin: Any = None, timeout_s: float = 60) -> Ended:
        process = self.start(*words)
        out, err = process.communicate(timeout=timeout_s)
        return Ended(process.returncode, out.decode(), err.decode())


def leaks(folder: Path, failure: Failure, options: Sequence[object]) -> list[str]:
    """Run the command against this failure; return where a secret was found."""
    with RudeServer(*[failure.manner] * 10) as server:
        worker = Worker(folder, failure, server)
        path = worker.write("job.csv", [(CUSTOMER, 1001, 2001)])
        paces = ("--rate", "50/s", "--max-attempts", 1, "--read-timeout", 1)
        ended = worker.do("run", path, "--yes", *paces, *options)
    assert ended.code == failure.exit_code, ended.err
    places = {"stdout": ended.out.encode(), "stderr": ended.err.encode(), **written(folder)}
    return hits(places)


def hits(places: Mapping[str, bytes]) -> list[str]:
    return [
        f"{secret[:BEGINNING_CHARS]}... in {place}"
        for place, content in places.items()
        for secret in SECRETS
        if secret[:BEGINNING_CHARS].lower().encode() in content.lower()
    ]


def written(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder``, and what an export would write."""
    run_folder = folder / "job.unenroll"
    if (run_folder / "results.csv").exists():
        export(run_folder, str(folder / "all.jsonl"))
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attacks(folder: Path, names: Sequence[str], *, every_way: bool, broken: str = "") -> list[str]:
    """Every failure, reported in one way each or in all; return the hits."""

    def attack(number: int, name: str, options: Sequence[object]) -> list[str]:
        failure = FAILURES[name]
        if broken:
            failure = replace(failure, program=program(f"tests.proof.controls.leaks:{broken}"))
        found = leaks(folder / f"{number}", failure, options)
        return [f"{name}, {' '.join(map(str, options))}: {hit}" for hit in found]

    told_how = [
        (name, options)
        for number, name in enumerate(names)
        for options in (LOGGING if every_way else (LOGGING[number % len(LOGGING)],))
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(attack, count(), *zip(*told_how, strict=True))
        return [hit for some in found for hit in some]


@pytest.mark.attack("secrets", "no hit in argv, output, logs, ledger, exports")
@pytest.mark.parametrize(
    "names", [QUICK, *thorough(THOROUGH), *long(tuple(FAILURES))], ids=["some", "most", "all"]
)
def test_no_failure_lets_a_secret_out(
    tmp_path: Path, names: Sequence[str], proof: Callable[..., None]
) -> None:
    every_way = len(names) == len(FAILURES)
    found = attacks(tmp_path, names, every_way=every_way)
    runs = len(names) * (len(LOGGING) if every_way else 1)
    proof(kinds=len(names), ways_to_log=len(LOGGING), runs=runs, hits=len(found))
    assert found == []


@pytest.mark.parametrize(
    ("broken", "names"),
    [
        pytest.param(
            *("redact_nothing", ["in a message", "token given and refused"]),
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            *("redact_messages_only", ["in a code", "in a request id"]), marks=pytest.mark.thorough
        ),
        pytest.param("cut_first", ["across the end of a code"], marks=pytest.mark.thorough),
    ],
)
def test_a_program_that_is_less_discreet_is_found_out(
    tmp_path: Path, broken: str, names: list[str]
) -> None:
    """The controls."""
    found = attacks(tmp_path, names, every_way=False, broken=broken)
    assert [name for name in names if not any(hit.startswith(name) for hit in found)] == []


# ── while it runs ────────────────────────────────────────────────────────────────────────────────


def test_a_running_command_shows_no_secret(tmp_path: Path) -> None:
    """Neither in its arguments nor in files that are only there while it runs."""
    echoing = told(ALL, f"E {HEADER}")
    with RudeServer(echoing, says(b"")) as server:
        worker = Worker(tmp_path / "desk", Failure(echoing, 3), server)
        path = worker.write("job.csv", [(CUSTOMER, 1001, 2001), (CUSTOMER + 1, 1001, 2001)])
        process = worker.start("run", path, "--yes", "--concurrency", 1, "--rate", "50/s")
        try:
            until(lambda: server.begun == 2)
            arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            places = {"argv": arguments, **written(worker.folder)}
        finally:
            process.kill()
            process.communicate()
    assert b"job.csv" in arguments
    assert "ledger.sqlite-wal" in places
    assert hits(places) == []


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, but not for ever."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize("from_file", [False, True], ids=["environment", "_FILE"])
def test_what_is_sent_is_right_wherever_the_secret_came_from(
    tmp_path: Path, from_file: bool
) -> None:
    """The other side of secrecy: the search above would also pass if nothing secret was used."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    given = {"PASSWORD_FILE": str(tmp_path / "password")} if from_file else {"PASSWORD": PASSWORD}
    failure = Failure(told(ALL, 9), 1, {"USERNAME": USERNAME, **given})
    with RudeServer(failure.manner) as server:
        worker = Worker(tmp_path / "desk", failure, server)
        ended = worker.do("run", worker.write("job.csv", [(CUSTOMER, 1001, 2001)]), "--yes", "-v")
    assert f"Authorization: Basic {HEADER}".encode() in server.read
    assert hits({"stderr": ended.err.encode(), **written(worker.folder)}) == []


# ── customer ids ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "run_by", "named"),
    [
        ((), PROGRAM, False),
        (("--log-ids",), PROGRAM, True),
        pytest.param(
            *((), program("tests.proof.controls.leaks:log_ids"), True), marks=pytest.mark.thorough
        ),
    ],
    ids=["by default", "if asked for", "control"],
)
def test_customers_are_named_in_the_log_only_if_asked_for(
    tmp_path: Path, options: tuple[str, ...], run_by: tuple[str, ...], named: bool
) -> None:
    with RudeServer(replies(answer(b"", status="500 Oops"))) as server:
        worker = Worker(tmp_path / "desk", Failure(told(""), 0, program=run_by), server)
        path = worker.write("job.csv", [(CUSTOMER + row, 1001, 2001) for row in range(5)])
        paces = ("--rate", "50/s", "--log-file", "log.txt", "-v")
        ended = worker.do("run", path, "--yes", *paces, *options)
    log = (worker.folder / "log.txt").read_text()
    assert ended.code == 0, ended.err
    assert (str(CUSTOMER) in log) == named
    assert str(CUSTOMER) not in ended.err
