"""Writes the sample files: ``python sample_inputs/make_samples.py``. None of the data is real."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
HEADER = ("Customer ID", "Target Group ID", "Target ID", "Store", "Enrolled on", "Comment")
TARGETS = (("1001", "2001"), ("1001", "2002"), ("1002", "2003"))
STORES = ("Lisbon", "Porto", "Braga", "Köln", "Kraków", "São João")
DAMAGED = ("4.23789E+08", "423789336.0", "423,789,336", "", "'423789336", "0423789336", "n/a")
REFUSED = ("999310011", "999310019", "999310149", "999310119")


def cleanup() -> list[list[str]]:
    """Return about 1,000 rows in three targets of two groups, as from a campaign's spreadsheet."""
    rng = random.Random(20261123)
    customers = rng.sample(range(410_000_000, 440_000_000), 960)
    rows = [_row(rng, str(who), *TARGETS[i % 3]) for i, who in enumerate(customers)]
    rows += [_row(rng, who, *TARGETS[i % 3]) for i, who in enumerate(REFUSED * 2)]
    rows += [_row(rng, who, *TARGETS[0], "from the old sheet") for who in DAMAGED * 2]
    rows += [_row(rng, str(who), "1002", "999999", "old rule?") for who in customers[:30]]
    rng.shuffle(rows)
    for row in rng.sample(rows[:900], 25):
        rows.insert(rng.randrange(900, len(rows)), [*row[:5], "again"])
    return rows


def _row(
    rng: random.Random, customer: str, group: str, target: str, comment: str = ""
) -> list[str]:
    day = f"2026-{rng.randint(1, 10):02}-{rng.randint(1, 28):02}"
    return [customer, group, target, rng.choice(STORES), day, comment]


def write_csv(name: str, header: tuple[str, ...], rows: list[list[str]], delimiter: str) -> None:
    """Write one file; with a BOM if the delimiter is a semicolon, as spreadsheets do."""
    encoding = "utf-8-sig" if delimiter == ";" else "utf-8"
    with (HERE / name).open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *rows])


def main() -> None:
    """Write all four files."""
    rows = cleanup()
    write_csv("cleanup.csv", HEADER, rows, ",")
    columns = dict(zip(HEADER, map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), HERE / "cleanup.parquet")
    rng = random.Random(1)
    members = [[str(rng.randint(410_000_000, 440_000_000)), f"Member {n}"] for n in range(1, 61)]
    write_csv("members.csv", ("Member No", "Name"), members, ";")
    scopes = ("SELF", "100012", "100013")
    orgs = [
        [scopes[n % 3], str(rng.randint(410_000_000, 440_000_000)), "1001", "2001"]
        for n in range(60)
    ]
    write_csv("orgs.csv", ("orgId", "customerId", "targetGroupId", "targetRuleId"), orgs, ",")


if __name__ == "__main__":
    main()
