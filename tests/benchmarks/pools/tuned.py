"""The same pool with everything taken out of it that aiohttp can do without."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from yarl import URL


async def work(
    session: aiohttp.ClientSession, base: URL, rows: Iterator[list[str]], results: Any
) -> None:
    """Send rows until there are none."""
    for customer, group, target in rows:
        path = f"{base.raw_path}/targetGroups/{int(group)}/targets/{int(target)}/unEnroll"
        response = await session.post(
            base.with_path(path, encoded=True),
            data=b'[{"customerId":%d}]' % int(customer),
            allow_redirects=False,
        )
        answer = await response.read()
        results.writerow([customer, response.status, answer])


async def send(base_url: str, rows: Iterator[list[str]], results: Any, most: int) -> None:
    """Send all rows, ``most`` at a time."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Authorization": aiohttp.encode_basic_auth("till", "md5"),
            "Content-Type": "application/json",
        },
    )
    async with session:
        base = URL(base_url)
        await asyncio.gather(*(work(session, base, rows, results) for _ in range(most)))


def main(base_url: str, input_: str, output: str, concurrency: str) -> None:
    """Send a whole file."""
    with Path(input_).open(newline="") as source, Path(output).open("w", newline="") as sink:
        rows, results = csv.reader(source), csv.writer(sink)
        next(rows)  # the header
        uvloop.run(send(base_url, rows, results, int(concurrency)))


if __name__ == "__main__":
    main(*sys.argv[1:])
