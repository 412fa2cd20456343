"""A server that costs next to nothing: it answers each call with the documented success body.

``python -m tests.benchmarks.server CORE`` prints its port. ``GET /starts`` lists when each call
came since the last such question, in seconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from typing import Final, cast

CUSTOMER: Final = re.compile(rb'"customerId": ?(\d+)')
LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END_OF_HEAD: Final = b"\r\n\r\n"


class Constant(asyncio.Protocol):
    """One connection. Requests may come in pieces."""

    transport: asyncio.Transport

    def __init__(self, starts: list[float]) -> None:
        self._starts = starts
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer by."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._unread += data
        while (body_at := self._unread.find(END_OF_HEAD) + len(END_OF_HEAD)) >= len(END_OF_HEAD):
            found = LENGTH.search(self._unread, 0, body_at)
            end = body_at + (int(found[1]) if found else 0)
            if len(self._unread) < end:
                return
            request, self._unread = self._unread[:end], self._unread[end:]
            self.transport.write(self._answer(request, body_at))

    def _answer(self, request: bytes, body_at: int) -> bytes:
        if request.startswith(b"GET "):
            body = json.dumps(self._starts).encode()
            self._starts.clear()
        else:
            self._starts.append(time.monotonic())
            customer = CUSTOMER.search(request, body_at)
            body = b'{"data":%b,"errors":null}' % (customer[1] if customer else b"null")
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )


async def serve() -> None:
    """Until killed."""
    starts: list[float] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Constant(starts), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve on the core that was named, on uvloop where it is installed."""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())


if __name__ == "__main__":
    main()
