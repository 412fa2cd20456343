"""Large files, bombs and many jobs: memory stays flat, and other pages go on answering."""

from __future__ import annotations

import bz2
import gzip
import http.client
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest

from tests.kit.command import PROGRAM, Desk, people
from tests.kit.tiers import long
from tests.web.kit import PageServer, Visitor, serving

pytestmark = pytest.mark.thorough
MB = 1 << 20


def peak_mb(server: PageServer) -> float:
    """The most memory that the server ever held."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def chunks(size_mb: int) -> Iterator[bytes]:
    yield b"customerId,targetGroupId,targetId\n"
    block = b"".join(b"%d,1001,2001\n" % (423_000_000 + 7 * n) for n in range(50_000))
    block = block[: block.rindex(b"\n", 0, MB) + 1]
    for _ in range(size_mb):
        yield block


def own(visitor: Visitor, **more: str) -> dict[str, str]:
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"Cookie": cookie, "Sec-Fetch-Site": "same-origin", **named}


def put(visitor: Visitor, content: Iterable[bytes]) -> tuple[int, str]:
    """Upload as the page's script does; the length is not announced."""
    return sent(visitor, "PUT", content, own(visitor, X_File_Name="a.csv"))


def post(visitor: Visitor, content: Iterable[bytes]) -> tuple[int, str]:
    """Upload as a form does, without script."""
    head = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    form = chain([head], content, [b"\r\n--xyz--\r\n"])
    kind = own(visitor, Content_Type="multipart/form-data; boundary=xyz")
    return sent(visitor, "POST", form, kind)


def sent(
    visitor: Visitor, method: str, content: Iterable[bytes], headers: dict[str, str]
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(visitor.address, timeout=300)
    try:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.request(method, "/uploads", iter(content), headers, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


Upload = Callable[[Visitor, Iterable[bytes]], tuple[int, str]]


@pytest.mark.parametrize("size_mb", [64, *long(530)])
@pytest.mark.parametrize(("upload", "good"), [(put, 200), (post, 303)])
def test_an_upload_takes_no_memory_and_keeps_nobody_waiting(
    server: PageServer, visitor: Visitor, upload: Upload, good: int, size_mb: int
) -> None:
    visitor.get("/")
    before_mb, waits_s = peak_mb(server), []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            began_s = time.monotonic()
            assert Visitor(server.address, dict(visitor.cookies)).get("/").status == 200
            waits_s.append(time.monotonic() - began_s)

    watcher = threading.Thread(target=look)
    watcher.start()
    status, said = upload(visitor, chunks(size_mb))
    over.set()
    watcher.join()
    assert status == good, said
    assert peak_mb(server) - before_mb < 50
    assert peak_mb(server) < 120
    assert max(waits_s, default=0) < 5, "an idle machine takes some 20 ms"


ON_A_SMALL_DISK = ("unshare", "--mount", "--map-root-user", "sh", "-c")
MOUNTED = 'mkdir -p jobs && mount -t tmpfs -o size=8m none jobs && exec "$@"'


@pytest.mark.parametrize(("upload", "good"), [(put, 200), (post, 303)])
def test_a_disk_that_is_full_is_said_and_nothing_stays(
    desk: Desk, upload: Upload, good: int
) -> None:
    desk.program = (*ON_A_SMALL_DISK, MOUNTED, "sh", *PROGRAM)
    if desk.do("--version").code:
        pytest.skip("this user may not mount")
    with serving(desk) as server:
        visitor = server.visit()
        status, said = upload(visitor, chunks(16))
        assert status == 507, said
        assert "The file could not be kept: No space left on device." in said
        root = Path(f"/proc/{server.process.pid}/root{server.root}")
        assert os.path.ismount(root)
        assert list(root.iterdir()) == []
        assert upload(visitor, chunks(1))[0] == good


BOMBS = ("endless.csv.gz", "endless.csv.bz2", "zeros.csv.gz", "bomb.xlsx", "bomb.parquet")


def bomb(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".xlsx"):
        xlsxwriter = pytest.importorskip("xlsxwriter")
        with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, ["customerId", "targetGroupId", "targetId"])
            for number in range(1, 10_000):
                sheet.write_row(number, 0, ["x" * 30_000 if number % 2 else 1, 1001, 2001])
        return path
    if name.endswith(".parquet"):
        parquet_bomb(path)
        return path
    packer = bz2 if name.endswith(".bz2") else gzip
    head = b"customerId,targetGroupId,targetId\n" if name.startswith("endless") else b""
    with packer.open(path, "wb") as file:
        file.write(head)
        for _ in range(300):
            file.write(b"0" * MB)
    return path


def parquet_bomb(path: Path) -> None:
    """A file of some KB whose rows repeat one text of a MB: 40 GB in all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 40_000
    ids = pa.array([423_000_007] * number)
    same = pa.array([0] * number, pa.int32())
    note = pa.DictionaryArray.from_arrays(same, pa.array(["x" * MB]))
    names = ("customerId", "targetGroupId", "targetId", "note")
    table = pa.table(dict(zip(names, (ids, ids, ids, note), strict=True)))
    pq.write_table(table, path, store_schema=False, compression="zstd")
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_words_and_the_server_lives(
    server: PageServer, visitor: Visitor, tmp_path: Path, name: str
) -> None:
    path = bomb(tmp_path, name)
    before_mb, began_s = peak_mb(server), time.monotonic()
    answer = visitor.drop(path)
    if answer.status == 200:  # its header is good: the plan finds out
        answer = visitor.plan()
    assert time.monotonic() - began_s < 30, "an idle machine takes 5 s at most"
    assert answer.status == 422
    assert "role=" in answer.text
    assert "malloc" not in answer.words
    assert str(server.root) not in answer.text
    assert visitor.get("/").status == 200
    assert peak_mb(server) - before_mb < 80


def test_home_with_two_hundred_jobs(server: PageServer, desk: Desk, visitor: Visitor) -> None:
    visitor.drop(desk.write("a.csv", [(who, 1001, 2001) for who in people(20)]))
    visitor.plan()
    done = server.root / visitor.job[6:]
    for number in range(200):
        copy = server.root / f"20260101-000000-{number:06x}"
        (copy / "in").mkdir(parents=True)
        for name in ("job.json", "child.json", "plan.json"):
            (copy / name).write_text((done / name).read_text())
    began_s = time.monotonic()
    home = visitor.get("/")
    assert time.monotonic() - began_s < 5, "an idle machine takes a tenth of a second"
    assert home.text.count("data-job") == 200


def test_the_audit_shows_a_change_in_between(
    server: PageServer, desk: Desk, visitor: Visitor
) -> None:
    from hashlib import sha256

    visitor.drop(desk.write("a.csv", [(who, 1001, 2001) for who in people(20)]))
    visitor.plan()
    visitor.confirm(1)
    lines = (server.root / visitor.job[6:] / "audit.jsonl").read_bytes().splitlines()
    assert len(lines) == 3
    before = b""
    for line in lines:
        assert json.loads(line)["after"] == sha256(before).hexdigest()[:16]
        before = line
