"""An HTTP proxy on loopback, with an API behind it that speaks TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import trustme

HOST = "api.example.com"

OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"
WRONG_PASSWORD = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Proxy:
    """Answers each ``CONNECT`` with ``reply``; after ``OPENED``, what follows goes to ``api_url``.

    ``asked`` are the heads of requests that it saw. ``HOST`` has a certificate by ``authority``.
    """

    api_url: str
    folder: Path
    reply: bytes = OPENED
    speaks_tls: bool = True
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        maker = trustme.CA()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        maker.issue_cert(HOST).configure_cert(self._context)
        self.authority = self.folder / "authority.pem"
        maker.cert_pem.write_to_path(str(self.authority))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        _in_thread(self._serve)

    def stop(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                _in_thread(self._tunnel, connection)

    def _tunnel(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self.asked.append(_head(connection))
            connection.sendall(self.reply)
            if self.reply == OPENED and self.speaks_tls:
                api = urlsplit(self.api_url)
                with (
                    self._context.wrap_socket(connection, server_side=True) as inner,
                    socket.create_connection((api.hostname or "", api.port or 0)) as outer,
                ):
                    back = _in_thread(_pump, outer, inner)
                    _pump(inner, outer)
                    back.join()


def _head(connection: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1) or b"\r\n\r\n"
    return head.decode()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _in_thread(work: Callable[..., None], *given: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=given, daemon=True)
    thread.start()
    return thread
