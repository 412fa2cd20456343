"""The password in the address of a shared ledger comes out nowhere, whatever is wrong with it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.kit.command import Desk, Ended, Witness, people
from tests.kit.tiers import long

pytest.importorskip("psycopg")
pytestmark = pytest.mark.thorough
SECRET = "Quoll/sekret+77"
TYPED = quote(SECRET, safe="")
PARTS = (SECRET, TYPED, "Quoll", "sekret")
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class RudePostgres:
    """Asks for a password in the clear, refuses it, and repeats it."""

    def __init__(self, *, answers: bool = True) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError, struct.error), connection:
            while self._begins(connection) in (SSL_REQUEST, GSS_REQUEST):
                connection.sendall(b"N")
            if not self._answers:
                connection.recv(1)
                return
            connection.sendall(b"R" + struct.pack("!ii", 8, 3))
            connection.recv(1)
            (size,) = struct.unpack("!i", connection.recv(4))
            given = connection.recv(size - 4).rstrip(b"\0")
            self.heard.append(given)
            said = b"SFATAL\0C28P01\0Mpassword authentication failed for " + given + b"\0\0"
            connection.sendall(b"E" + struct.pack("!i", len(said) + 4) + said)

    def _begins(self, connection: socket.socket) -> int:
        size, code = struct.unpack("!ii", connection.recv(8))
        if size > 8:
            connection.recv(size - 8)
        return int(code)


@pytest.fixture
def rude() -> Iterator[RudePostgres]:
    made = RudePostgres()
    yield made
    made.close()


@pytest.fixture
def mute() -> Iterator[RudePostgres]:
    made = RudePostgres(answers=False)
    yield made
    made.close()


WRONG = {
    "nobody listens": f"postgresql://u:{TYPED}@127.0.0.1:9/db",
    "unknown host": f"postgresql://u:{TYPED}@nowhere.invalid/db",
    "wrong password": f"postgresql://u:{TYPED}@127.0.0.1:RUDE/db",
    "wrong password, in the query": f"postgresql://u@127.0.0.1:RUDE/db?password={TYPED}",
    "wrong password, two hosts": f"postgresql://u:{TYPED}@127.0.0.1:9,127.0.0.1:RUDE/db",
    "no encryption": f"postgresql://u:{TYPED}@127.0.0.1:RUDE/db?sslmode=require",
    "no certificate": f"postgresql://u:{TYPED}@127.0.0.1:RUDE/db?sslmode=verify-full",
    "no answer": f"postgresql://u:{TYPED}@127.0.0.1:MUTE/db?connect_timeout=2",
    "not typed for an address": f"postgresql://u:{SECRET}@127.0.0.1:9/db",
    "no number": f"postgresql://u:{TYPED}@127.0.0.1:{TYPED}/db",
    "no address": f"postgresql://u:{TYPED}@[::1/db",
    "not PostgreSQL": f"mysql://u:{TYPED}@127.0.0.1/db",
    "an unknown word": f"postgresql://u:{TYPED}@127.0.0.1:9/db?{TYPED}=1",
    "only the password": SECRET,
}
TELLING = (
    ("run", "a.csv", "--job", "a", "--yes", "-v", "--log-format", "json", "--log-file", "log.txt",
     "--progress-file", "progress.json", "--json"),
    ("work", "--job", "a", "-v"),
    ("status", "--job", "a", "--json"),
    ("move", "own.unenroll", "--job", "b"),
)  # fmt: skip


def told(desk: Desk, ended: Ended) -> str:
    """All that came out of a command, and all that it left in files."""
    files = [path for path in desk.folder.rglob("*") if path.is_file() and path.name != "url.txt"]
    return ended.out + ended.err + "".join(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize(
    "words", [TELLING[0], *long(*TELLING[1:])], ids=lambda words: str(words[0])
)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_password_comes_out_nowhere(
    desk: Desk, witness: Callable[..., Witness], rude: RudePostgres, mute: RudePostgres,
    wrong: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    witness()
    rows = [(who, 1001, 2001) for who in people(3)]
    desk.write("a.csv", rows)
    if words[0] == "move":
        desk.do("plan", "a.csv", "--out", "own.unenroll")
    url = WRONG[wrong].replace("RUDE", str(rude.port)).replace("MUTE", str(mute.port))
    if wrong.startswith("no"):
        (desk.folder / "url.txt").write_text(url + "\n")
        desk.environment["BULK_UNENROLL_LEDGER_URL_FILE"] = "url.txt"
    else:
        desk.environment["BULK_UNENROLL_LEDGER_URL"] = url
    ended = desk.do(*words)
    assert ended.code in (66, 74, 75, 78), ended.err
    found = told(desk, ended)
    assert [part for part in PARTS if part in found] == []
    if wrong.startswith("wrong password"):
        assert rude.heard, "it was sent, and repeated by the server"
