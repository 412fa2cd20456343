"""A server of raw sockets that keeps no rule of HTTP, and writes down every byte that it read.

It runs in threads of its own. A *manner* handles one request of a connection, or does not: the
manners given are taken in turn, and after them every request is answered well.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

PATIENCE_S = 20.0
"""No wait of the server for the other side is longer."""


class Gone(Exception):
    """The other side ended the connection."""


class Talk:
    """One connection, as a manner sees it. ``read`` is all that was read from it."""

    def __init__(self, server: RudeServer, connection: socket.socket) -> None:
        self.read = bytearray()
        self._server = server
        self._connection = connection
        self._taken = 0
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is sent leaves

    def arrival(self) -> None:
        """Wait until something can be read, without reading it."""
        select.select([self._connection], [], [], PATIENCE_S)

    def head(self) -> bytes:
        """Read a request up to the end of its headers."""
        while b"\r\n\r\n" not in self._rest:
            self._read()
        head = self._rest.partition(b"\r\n\r\n")[0]
        self._taken += len(head) + 4
        return head

    def request(self) -> int:
        """Read a request whole; the customer that it names."""
        length = re.search(rb"content-length: (\d+)", self.head(), re.IGNORECASE)
        end = int(length[1]) if length else 0
        while len(self._rest) < end:
            self._read()
        customer = re.search(rb'"customerId":(\d+)', self._rest[:end])
        self._taken += end
        return int(customer[1]) if customer else 0

    def send(self, content: bytes) -> None:
        """Send all of it."""
        self._connection.sendall(content)

    def answer(self, customer: int) -> None:
        """Answer as documented."""
        self._server.answered.append(customer)
        self.send(answer(success(customer)))

    def until_gone(self) -> None:
        """Read on, and write it down, until the other side ends the connection."""
        while True:
            self._read()

    def sleep(self, seconds: float) -> None:
        """Wait, but not after the other side or this server has gone."""
        if self._server.stopped.wait(seconds):
            raise Gone

    def acted(self) -> None:
        """Let the test know that an idle connection was dealt with."""
        self._server.acted.set()

    def close(self) -> None:
        """End the connection in order. What was not read turns this into a reset."""
        self._connection.close()

    def end_sending(self) -> None:
        """Send FIN, and nothing more."""
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Reset the connection."""
        linger_s = struct.pack("ii", 1, 0)
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_s)
        self._connection.close()

    @property
    def _rest(self) -> bytes:
        return bytes(self.read[self._taken :])

    def _read(self) -> None:
        content = self._connection.recv(1 << 16)
        if not content:
            raise Gone
        self.read += content


Manner = Callable[[Talk], None]


class RudeServer:
    """Listens on loopback while it is open. Use as a context manager.

    ``talks`` are its connections, ``answered`` the customers to whose calls it sent an answer,
    ``acted`` is set by manners that act without being asked.
    """

    def __init__(self, *manners: Manner, backlog: int = 50) -> None:
        self._manners = iter(manners)
        self._turn = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port: int = self._listener.getsockname()[1]
        self.talks: list[Talk] = []
        self.answered: list[int] = []
        self.acted = threading.Event()
        self.stopped = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3.1"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection, and listen no more."""
        while self._threads:
            for served in (self._listener, *self._sockets):
                with suppress(OSError):
                    served.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closes it
            self._threads.pop().join(PATIENCE_S)

    def listen_again(self) -> None:
        """Come back on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    @property
    def read(self) -> bytes:
        """All that was read, connection by connection."""
        return b"".join(bytes(talk.read) for talk in self.talks)

    def seen(self, customer: int) -> int:
        """How many whole requests named the customer."""
        return self.read.count(b'[{"customerId":%d}]' % customer)

    @property
    def begun(self) -> int:
        """How many requests were read, at least their beginning."""
        return self.read.count(b"POST ")

    def _listen(self) -> None:
        self._start(self._accept, self._listener)

    def _start(self, target: Callable[[socket.socket], None], served: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(served,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listener: socket.socket) -> None:
        with listener, suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._sockets.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        talk = Talk(self, connection)
        self.talks.append(talk)
        with connection, suppress(Gone, OSError, ValueError):  # ValueError: closed while it waits
            while connection.fileno() >= 0:
                with self._turn:
                    manner = next(self._manners, good)
                manner(talk)


def good(talk: Talk) -> None:
    """Answer as documented."""
    talk.answer(talk.request())


def success(customer: int) -> bytes:
    """The documented body."""
    return b'{"data":%d,"errors":null,"warnings":null}' % customer


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An answer on the wire; ``length`` is what it says of its length, where that is a lie."""
    said = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {said}", *headers, "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def replies(content: bytes) -> Manner:
    """Read a request, send ``content``, and go on."""

    def manner(talk: Talk) -> None:
        talk.request()
        talk.send(content)

    return manner


def says(content: bytes) -> Manner:
    """Read a request, send ``content``, and wait."""

    def manner(talk: Talk) -> None:
        talk.request()
        talk.send(content)
        talk.until_gone()

    return manner


def cuts(content: bytes) -> Manner:
    """Read a request, send ``content``, and close."""

    def manner(talk: Talk) -> None:
        talk.request()
        talk.send(content)
        talk.close()

    return manner
