"""Files that belong together wrongly: joined exports, folders of tables, folders that name ids."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.proof.file_cases.case import (
    GROUP,
    HEADER,
    ROW_A,
    ROW_B,
    SCOPE,
    TARGET,
    A,
    B,
    C,
    Case,
    Refused,
    Rows,
    Words,
)
from tests.proof.file_cases.parquets import parquet

AGAIN: Final = {2: ("second_header", "the header stands here again")}


def joined() -> Iterator[Case]:
    """Two exports in one file; the second would be read from the wrong columns."""
    moved = f"targetId,targetGroupId,customerId\n{TARGET},{GROUP},{B}\n"
    refused = Refused(("row 2 (line 3)", "header of another table", "targetGroupId"))
    yield Case("joined, columns in another order", (HEADER + ROW_A + moved).encode(), refused)
    utf_16 = (HEADER + ROW_A + moved).encode("utf-16")
    yield Case("joined, columns in another order, UTF-16", utf_16, refused)
    bom = (HEADER + ROW_A).encode() + codecs.BOM_UTF8 + moved.encode()
    yield Case("joined, BOM in the middle", bom, refused)
    quoted = moved.replace("targetId,", '"Target-ID","extra, column",', 1)
    yield Case("joined, with another column", (HEADER + ROW_A + quoted).encode(), refused)
    few = (HEADER + ROW_A + f"userId,name\n{B},Zoë\n").encode()
    yield Case("joined, customers only", few, Refused(("row 2 (line 3)", "userId", "name")))
    for name, header in (
        ("as it was", HEADER),
        ("in other letters", "CUSTOMER id,target_group-ID,TargetId\n"),
    ):
        yield Case(
            f"header again, {name}", (HEADER + ROW_A + header + ROW_B).encode(), Rows((A, B), AGAIN)
        )
    own = (f"Member No,name\n{A},Ann\nName,Member No\nBob,{B}\n").encode()
    mapped: Words = ("--column", "customerId=Member No", *SCOPE)
    yield Case(
        "joined, names of its own", own, Refused(("row 2 (line 3)", "Member No")), options=mapped
    )
    again = own.replace(b"Name,Member No\nBob,%d" % B, b"member no,Name\n%d,Bob" % B)
    yield Case("header again, names of its own", again, Rows((A, B), AGAIN), options=mapped)
    value = f"Member No,kind\n{A},x\nn/a,Member No\n{B},x\n".encode()
    spoiled = Rows((A, B), {2: ("not_digits", "Member No", '"n/a"')})
    yield Case("a value like a header", value, spoiled, options=mapped)
    report = f"{HEADER[:-1]},field\n{A},{GROUP},{TARGET},\nx,{GROUP},{TARGET},customerId\n".encode()
    spoiled = Rows((A,), {2: ("not_digits", "customerId", '"x"')})
    yield Case("a row that says which column is wrong", report, spoiled)


def laid(
    name: str,
    given: str,
    verdict: Rows | Refused,
    *files: str | tuple[str, bytes],
    options: Words = (),
) -> Case:
    """A case of several files, of which ``given`` is given. Parquet files hold customer A."""

    def make(path: Path) -> None:
        root = path.parents[len(Path(given).parts) - 1]
        for file in files:
            file_name, content = (file, b"") if isinstance(file, str) else file
            is_parquet = file_name.endswith(".parquet") and not content
            (root / file_name).parent.mkdir(parents=True, exist_ok=True)
            (root / file_name).write_bytes(parquet(A) if is_parquet else content)

    return Case(name, make, verdict, given, options)


def tables() -> Iterator[Case]:
    for kind, mark in (
        ("Delta", "_delta_log/00000000000000000000.json"),
        ("Hudi", ".hoodie/hoodie.properties"),
        ("Iceberg", "metadata/v1.metadata.json"),
    ):
        refused = Refused((f"{kind} table", "deleted", "export"))
        for name, given in (
            ("folder", "x/t"),
            ("part", "x/t/data/p=1/a.parquet"),
            ("glob", "x/t/*/*/*.parquet"),
            ("folder in it", "x/t/data"),
            ("folder around it", "x"),
        ):
            files = (f"x/t/{mark}", "x/t/data/p=1/a.parquet")
            yield laid(f"{kind} table, {name}", given, refused, *files)
    beside = ("_delta_log/0.json", ("list.csv", (HEADER + ROW_A).encode()))
    yield laid("text beside a table's log", "list.csv", Rows((A,)), *beside)


def spark() -> Iterator[Case]:
    unfinished = Refused(("not finished", "wait"))
    for name, files in (
        ("_temporary", ("t/_temporary/0/x", "t/a.parquet")),
        ("begun", ("t/_started_7", "t/a.parquet")),
        ("begun again", ("t/_started_7", "t/_committed_7", "t/_started_8", "t/a.parquet")),
        ("parts in folders", ("t/_temporary/0/x", "t/day=1/a.parquet")),
    ):
        yield laid(f"Spark, {name}", "t", unfinished, *files)
        yield laid(f"Spark, {name}, a part", files[-1], unfinished, *files)
    marks = ("t/_started_7", "t/_committed_7", "t/_SUCCESS")
    yield laid("Spark, whole", "t", Rows((A,)), "t/_SUCCESS", "t/a.parquet")
    yield laid("Spark, committed", "t", Rows((A,)), *marks, "t/a.parquet")


# ── ids in the path ──────────────────────────────────────────────────────────────────────────────


def paths() -> Iterator[Case]:
    one = f"customerId,targetGroupId\n{A},{GROUP}\n".encode()
    whole = (HEADER + ROW_A).encode()

    def part(folder: str, content: bytes = one) -> tuple[str, bytes]:
        return f"{folder}/a.csv", content

    own = f"t/targetId={TARGET}"
    yield laid("path, a target", "t/*/a.csv", Rows((A,)), part(own))
    columns = f"customerId,targetId\n{B},{TARGET}\n".encode()
    groups = (part(own), part(f"u/targetGroupId={GROUP}", columns))
    yield laid("path, a target or a group", "[tu]/*/a.csv", Rows((A, B)), *groups)
    yield laid("path, other spelling", "t/*/a.csv", Rows((A,)), part(f"t/target_rule_id={TARGET}"))
    yield laid("path, percent-encoded", "t/*/a.csv", Rows((A,)), part("t/target%49d=%32001"))
    yield laid("path, other columns", "day=1/*/a.csv", Rows((A,)), part(f"day=1/targetId={TARGET}"))
    for name, value, why in (
        ("no id", "x", ("not_digits", "targetId", '"x"')),
        ("a leading zero", "07", ("leading_zero", "targetId", '"07"')),
        ("nothing", "__HIVE_DEFAULT_PARTITION__", ("null", "targetId")),
    ):
        yield laid(f"path, {name}", "t/*/a.csv", Rows((), {1: why}), part(f"t/targetId={value}"))
    both = ("--target-id", "7")
    given = Refused(("--target-id", "targetId=7", "remove"))
    yield laid("path, and an option", "t/*/a.csv", given, part("t/targetId=7"), options=both)
    yield laid(
        "path, and the same column", "t/*/a.csv", Rows((A,)), part(f"t/targetId={TARGET}", whole)
    )
    differs = Refused(("row 1 (line 2)", str(TARGET), "path says 7"))
    yield laid("path, against a column", "t/*/a.csv", differs, part("t/targetId=7", whole))
    mapped = f"customerId,targetGroupId,rule\n{A},{GROUP},{TARGET}\n".encode()
    by_name = ("--column", "targetId=rule")
    yield laid(
        "path, against a mapped column",
        "t/*/a.csv",
        differs,
        part("t/targetId=7", mapped),
        options=by_name,
    )
    yield laid("path, mapped", "t/*/a.csv", Rows((A,)), part(f"t/rule={TARGET}"), options=by_name)
    scoped = Refused(("row 1 (line 2)", "orgId", "path says 5"))
    org = f"orgId,{HEADER}SELF,{ROW_A}".encode()
    yield laid("path, against a scope", "t/*/a.csv", scoped, part("t/orgId=5", org))
    customer = Refused(("customerId=7", "names a customer"))
    yield laid("path, a customer", "t/*/a.csv", customer, part("t/customerId=7", whole))
    ragged = f"customerId,targetGroupId\n{A},{GROUP},9\n{B}\n{C},{GROUP}\n".encode()
    counts = "the row has 3 fields, the header 2"
    verdict = Rows(
        (C,), {1: ("extra_fields", "targetGroupId", counts), 2: ("missing_fields", "targetGroupId")}
    )
    yield laid("path, ragged rows", "t/*/a.csv", verdict, part(own, ragged))
    parquets = ("t/targetGroupId=1001/a.parquet",)
    yield laid("path, and a column of Parquet", "t", Rows((A,)), *parquets)
    wrong = Refused(("row 1", "targetGroupId is 1001", "path says 1002"))
    yield laid("path, against a column of Parquet", "t", wrong, "t/targetGroupId=1002/a.parquet")


CASES: Final = (*joined(), *tables(), *spark(), *paths())
