"""requests in threads, with a session each."""

from __future__ import annotations

import csv
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

own = threading.local()


def send(base_url: str, row: dict[str, str]) -> list[object]:
    """Send one row; its line of results."""
    if not hasattr(own, "session"):
        own.session = requests.Session()
        own.session.auth = ("till", "md5")
    url = f"{base_url}/targetGroups/{row['targetGroupId']}/targets/{row['targetId']}/unEnroll"
    response = own.session.post(url, json=[{"customerId": int(row["customerId"])}], timeout=75)
    return [row["customerId"], response.status_code, response.json()["errors"]]


def main(base_url: str, input_: str, output: str, concurrency: str) -> None:
    """Send a whole file."""
    with Path(input_).open(newline="") as source, Path(output).open("w", newline="") as sink:
        rows, results = csv.DictReader(source), csv.writer(sink)
        with ThreadPoolExecutor(int(concurrency)) as pool:
            results.writerows(pool.map(lambda row: send(base_url, row), rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
