"""A pool of aiohttp workers as most people would write it."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp


async def work(
    session: aiohttp.ClientSession, base_url: str, rows: Iterator[dict[str, str]], results: Any
) -> None:
    """Send rows until there are none."""
    for row in rows:
        url = f"{base_url}/targetGroups/{row['targetGroupId']}/targets/{row['targetId']}/unEnroll"
        async with session.post(url, json=[{"customerId": int(row["customerId"])}]) as response:
            answer = await response.json()
            results.writerow([row["customerId"], response.status, answer["errors"]])


async def send(base_url: str, rows: Iterator[dict[str, str]], results: Any, most: int) -> None:
    """Send all rows, ``most`` at a time."""
    connector = aiohttp.TCPConnector(limit=most)
    headers = {"Authorization": aiohttp.encode_basic_auth("till", "md5")}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(work(session, base_url, rows, results) for _ in range(most)))


def main(base_url: str, input_: str, output: str, concurrency: str) -> None:
    """Send a whole file."""
    with Path(input_).open(newline="") as source, Path(output).open("w", newline="") as sink:
        rows, results = csv.DictReader(source), csv.writer(sink)
        asyncio.run(send(base_url, rows, results, int(concurrency)))


if __name__ == "__main__":
    main(*sys.argv[1:])
