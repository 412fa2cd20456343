"""A hostile server: memory stays small, the row is in doubt, nothing reaches the terminal raw."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.kit.command import CREDENTIALS, PROGRAM, Desk, Ended
from tests.kit.tiers import thorough
from tests.proof.controls.sabotaged import program
from tests.proof.kit.peak_memory import measuring
from tests.proof.kit.rude_server import Manner, RudeServer, Talk, answer, replies

MOST_MB: Final = 200.0
CUSTOMERS: Final = range(501, 517)
AT_ONCE: Final = len(CUSTOMERS)
MIB: Final = 1 << 20
QUICK_MIB, LONG_MIB = 64, 1024
QUICK_KINDS: Final = ("a long body in chunks", "a gzip bomb", "1,000 levels")
HEAD: Final = b"HTTP/1.1 200 OK\r\n"


# ── what it sends ────────────────────────────────────────────────────────────────────────────────


def streams(head: bytes, parts: Callable[[], Iterator[bytes]]) -> Manner:
    """Read a request, then send as long as the other side takes it."""

    def manner(talk: Talk) -> None:
        talk.request()
        talk.send(head)
        for part in parts():
            talk.send(part)

    return manner


def blanks(mib: int) -> Callable[[], Iterator[bytes]]:
    return lambda: (b" " * MIB for _ in range(mib))


def chunks(mib: int) -> Callable[[], Iterator[bytes]]:
    return lambda: (b"100000\r\n" + b" " * MIB + b"\r\n" for _ in range(mib))


def bomb(mib: int) -> Callable[[], Iterator[bytes]]:
    """``mib`` MiB of blanks, a thousand times smaller on the wire."""

    def parts() -> Iterator[bytes]:
        squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
        for _ in range(mib):
            yield squeeze.compress(b" " * MIB)
        yield squeeze.flush()

    return parts


def headers(number: int) -> Callable[[], Iterator[bytes]]:
    return lambda: (b"X-%d: y\r\n" % part * 100 for part in range(number // 100))


def long_header(mib: int) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([b"X: ", *(b"y" * MIB for _ in range(mib)), b"\r\n\r\n"])


def says(body: bytes) -> Manner:
    return replies(answer(body))


def told(document: object) -> Manner:
    return says(json.dumps(document).encode())


def drips(talk: Talk) -> None:
    talk.request()
    for byte in answer(b'{"data":501,"errors":null}'):
        talk.send(bytes([byte]))
        talk.sleep(1.0)


def nested(levels: int) -> bytes:
    return b'{"data":' + b"[" * levels + b"]" * levels + b',"errors":null}'


def kinds(mib: int) -> dict[str, tuple[Manner, str]]:
    """What a server sends, and the state that its rows end in."""
    unlimited = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    limited = HEAD + b"Content-Length: %d\r\n\r\n" % (mib * MIB)
    zipped = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    return {
        "a long body with a length": (streams(limited, blanks(mib)), "in_doubt"),
        "a long body in chunks": (streams(unlimited, chunks(mib)), "in_doubt"),
        "a long body without end": (streams(HEAD + b"\r\n", blanks(mib)), "in_doubt"),
        "a gzip bomb": (streams(zipped, bomb(mib)), "in_doubt"),
        "100,000 headers": (streams(HEAD, headers(100_000)), "in_doubt"),
        "a long header": (streams(HEAD, long_header(mib // 10)), "in_doubt"),
        "a long message": (told({"errors": [{"code": 7, "message": "x" * 10 * MIB}]}), "in_doubt"),
        "a byte a second": (drips, "in_doubt"),
        "100,000 levels": (says(nested(100_000)), "in_doubt"),
        "1,000 levels": (says(nested(1_000)), "succeeded"),
        "300 levels": (says(b'{"errors":[' + nested(300) + b"]}"), "review"),
        "a huge integer": (
            says(b'{"data":%s,"errors":null}' % (b"9" * 100_000)),
            "in_doubt",
        ),
        "a large integer": (says(b'{"data":%s,"errors":null}' % (b"9" * 300)), "succeeded"),
        "half a pair": (says(b'{"errors":[{"code":"\\ud800"}]}'), "in_doubt"),
        "just short enough": (told({"data": "x" * (MIB - 100), "errors": None}), "succeeded"),
        "a wide document": (says(b'{"data":[%s[]]}' % (b"[]," * 340_000)), "succeeded"),
    }


# ── the attack ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Came:
    """How a run ended."""

    ended: Ended
    states: set[str]
    peak_mb: float


def commanded(folder: Path, manner: Manner, run_by: Sequence[str] = PROGRAM) -> Came:
    """Run the command, all rows at once, against a server that answers in this ``manner``."""
    folder.mkdir()
    peak = folder / "peak"
    desk = Desk(folder, measuring(peak, tuple(run_by)))
    path = desk.write("job.csv", [(customer, 1001, 2001) for customer in CUSTOMERS])
    with RudeServer(*[manner] * 1000) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        options = ("--rate", "1000/s", "--canary", 0, "--read-timeout", 6, "--in-doubt", "hold")
        ended = desk.do("run", path, "--yes", "--concurrency", AT_ONCE, *options)
    states = {row["unenroll_status"] for row in desk.results()}
    return Came(ended, states, int(peak.read_text()) / 1000)


EXIT_CODES: Final[Mapping[str, int]] = {"in_doubt": 3, "succeeded": 0, "review": 1}


@pytest.mark.attack("hostile server", "memory stays under 200 MB, the row is in doubt")
@pytest.mark.parametrize(
    ("mib", "names"),
    [
        (QUICK_MIB, QUICK_KINDS),
        pytest.param(QUICK_MIB, kinds(QUICK_MIB), marks=pytest.mark.thorough),
        pytest.param(LONG_MIB, kinds(LONG_MIB), marks=pytest.mark.long),
    ],
    ids=["some kinds", "all kinds", "all kinds and large"],
)
def test_no_answer_costs_much_memory_or_ends_in_a_traceback(
    tmp_path: Path, mib: int, names: Iterable[str], proof: Callable[..., None]
) -> None:
    peaks_mb = {}
    all_kinds = kinds(mib)
    for number, name in enumerate(names):
        manner, state = all_kinds[name]
        came = commanded(tmp_path / f"{number}", manner)
        assert came.states == {state}, f"{name}: {came.states} {came.ended.err}"
        assert came.ended.code == EXIT_CODES[state], f"{name}: {came.ended.err}"
        peaks_mb[name] = came.peak_mb
    print(peaks_mb)
    proof(kinds=len(peaks_mb), **{"largest body MiB": mib, "peak MB": max(peaks_mb.values())})
    assert max(peaks_mb.values()) < MOST_MB


@pytest.mark.thorough
def test_a_client_that_reads_whole_answers_is_found_out(tmp_path: Path) -> None:
    """The control."""
    manner, _ = kinds(8)["a long body with a length"]
    careless = program("tests.proof.controls.hostile:read_it_all")
    assert commanded(tmp_path / "desk", manner, careless).peak_mb > MOST_MB


# ── words that command ───────────────────────────────────────────────────────────────────────────

ESCAPES: Final = "\x1b]0;owned\x07\x1b[31mred\x9b2J\x00\rover"
FORMULA: Final = '=HYPERLINK("http://127.0.0.1/")'


def shown(desk: Desk) -> str:
    """All that the program says of a job on a terminal, or to whoever reads for it."""
    run = desk.do("run", "job.csv", "--yes", "--rate", "50/s", "-v", "--log-format", "console")
    looks = [desk.do(*words, "job.unenroll", *more) for words, more in LOOKS]
    return "".join(ended.out + ended.err for ended in (run, *looks))


LOOKS: Final = ((("status",), ()), (("explain",), ("501",)), (("verify",), ()))


@pytest.mark.parametrize("careless", [False, *thorough(True)], ids=["unchanged", "control"])
@pytest.mark.thorough
def test_no_server_commands_a_terminal(desk: Desk, careless: bool) -> None:
    if careless:
        desk.program = program("tests.proof.controls.hostile:show_as_it_is")
    manner = told({"errors": [{"code": f"E{ESCAPES}", "message": f"so {ESCAPES}"}]})
    with RudeServer(manner) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        desk.write("job.csv", [(501, 1001, 2001)])
        raw = [letter for letter in shown(desk) if not letter.isprintable() and letter != "\n"]
    assert bool(raw) == careless, set(raw)


@pytest.mark.in_process
def test_no_server_s_words_run_in_a_spreadsheet_and_failed_csv_is_an_input(desk: Desk) -> None:
    document = {"errors": [{"code": FORMULA, "message": f"{FORMULA}{ESCAPES}"}]}
    body = json.dumps(document).encode()
    manner = replies(answer(body, "X-CAP-REQUEST-ID: @SUM(1)", status="422 No"))
    with RudeServer(manner) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        desk.do("run", desk.write("job.csv", [(501, 1001, 2001)]), "--yes")
    (row,) = desk.results("job.unenroll/failed.csv")
    told_cells = ("unenroll_code", "unenroll_message", "unenroll_request_id")
    assert [row[name][:2] for name in told_cells] == ["'=", "'=", "'@"]
    assert row["customerId"] == "501"
    assert desk.do("plan", "job.unenroll/failed.csv").code == 0


@pytest.mark.in_process
def test_a_request_id_of_odd_bytes_ends_no_run(desk: Desk) -> None:
    """Header bytes that are not UTF-8 become lone surrogates, which no database takes."""
    manner = replies(answer(b'{"data":501,"errors":null}', "X-CAP-REQUEST-ID: r\udcff\udc80"))
    with RudeServer(manner) as server:
        desk.environment |= CREDENTIALS | {"BULK_UNENROLL_BASE_URL": server.base_url}
        ended = desk.do("run", desk.write("job.csv", [(501, 1001, 2001)]), "--yes")
    assert ended.code == 0, ended.err
    assert [row["unenroll_status"] for row in desk.results()] == ["succeeded"]
