"""Remote inputs and exports: in S3, in Google Cloud Storage, on the web."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.kit.command import Desk
from tests.kit.remote_files import BUCKET, Bucket, Web, local_gcs, local_s3, local_web

CONTENT = b"customerId,targetGroupId,targetId\n423789336,1001,2001\n423789337,1001,2001\n"
FAST = ("--sandbox", "--rate", "1000/s", "--yes")


@pytest.fixture
def bucket(desk: Desk) -> Iterator[Bucket]:
    with local_s3() as found:
        desk.environment |= found.environment
        yield found


@pytest.fixture
def web() -> Iterator[Web]:
    with local_web() as server:
        yield server


@pytest.fixture
def storage(desk: Desk) -> Iterator[Web]:
    with local_gcs() as server:
        # the second: or it asks, over another protocol, what kind of bucket this is
        desk.environment["STORAGE_EMULATOR_HOST"] = server.base_url
        desk.environment["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        yield server


def everything(desk: Desk) -> bytes:
    return b"".join(path.read_bytes() for path in desk.folder.rglob("*") if path.is_file())


@pytest.mark.needs("moto")
def test_from_a_bucket_to_a_bucket(desk: Desk, bucket: Bucket) -> None:
    url = bucket.put("in/members.csv", CONTENT)
    ended = desk.do("run", url, *FAST)
    assert ended.code == 0, ended.err
    assert [
        row["unenroll_source"] for row in desk.results("members-rehearsal.unenroll/results.csv")
    ] == [
        url,
        url,
    ]
    to = f"s3://{BUCKET}/out/members.parquet"
    exported = desk.do("export", "members-rehearsal.unenroll", "--to", to)
    assert exported.out == f"2 rows → {to}\n"
    table = parquet.read_table(io.BytesIO(bucket.get("out/members.parquet")))
    assert table["customer_id"].to_pylist() == [423789336, 423789337]
    page = f"s3://{BUCKET}/out/members.html"
    assert desk.do("report", "members-rehearsal.unenroll", "--to", page).out == f"report → {page}\n"
    assert bucket.get("out/members.html").startswith(b"<!DOCTYPE html>")
    assert bucket.environment["AWS_SECRET_ACCESS_KEY"].encode() not in everything(desk)


@pytest.mark.needs("gcsfs")
def test_from_google_s_storage_and_back(desk: Desk, storage: Web) -> None:
    storage.files["in/members.csv"] = CONTENT
    ended = desk.do("run", f"gs://{BUCKET}/in/members.csv", *FAST)
    assert ended.code == 0, ended.err
    to = f"gs://{BUCKET}/out/members.jsonl"
    assert desk.do("export", "members-rehearsal.unenroll", "--to", to).code == 0
    lines = storage.files["out/members.jsonl"].splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["succeeded"] * 2


@pytest.mark.thorough
def test_a_signature_is_in_no_file_and_on_no_screen(desk: Desk, web: Web) -> None:
    url = web.put("/members.csv", CONTENT)
    signed = f"{url}?X-Amz-Signature=hunter2"
    planned = desk.do("plan", signed)
    ended = desk.do("run", signed, "--log-file", "log.jsonl", "-v", *FAST)
    refused = desk.do("run", signed, "--sandbox", "--expect", 7, "--json")
    assert (planned.code, ended.code, refused.code) == (0, 0, 65)
    assert f"next: bulk-unenroll plan {url}\n" in refused.err
    assert "GET /members.csv?X-Amz-Signature=hunter2" in web.asked
    for shown in (planned, ended, refused):
        assert "hunter2" not in shown.out + shown.err
    assert b"hunter2" not in everything(desk)


def test_a_signal_ends_a_download_with_the_two_lines_and_nothing_left(desk: Desk, web: Web) -> None:
    web.go_on.clear()
    process = desk.start("run", web.put("/members.csv", CONTENT), *FAST)
    while not web.asked:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    web.go_on.set()
    assert process.returncode == 143
    assert err.decode().splitlines()[-2:] == [
        "bulk-unenroll: interrupted by SIGTERM (exit 143)",
        "next: bulk-unenroll status members-rehearsal.unenroll",
    ]
    assert not list((desk.folder / "members-rehearsal.unenroll").glob(".copy*"))


@pytest.mark.thorough
def test_a_file_with_a_new_signature_is_the_same_file(desk: Desk, web: Web) -> None:
    url = web.put("/members.csv", CONTENT)
    desk.do("run", f"{url}?signature=1", *FAST)
    again = desk.do("run", f"{url}?signature=2", "--json", "--expect", 0, *FAST)
    assert again.code == 0
    assert again.json["rows"]["read"] == 2


@pytest.mark.needs("moto")
def test_an_impossible_address_is_refused_with_a_remedy(desk: Desk, bucket: Bucket) -> None:
    url = bucket.put("members.csv", CONTENT)
    assert desk.do("run", url, *FAST).code == 0
    ledger = desk.do("run", url, "--out", f"s3://{BUCKET}/members.unenroll", *FAST)
    assert ledger.code == 73
    assert "stays on this machine" in ledger.err
    assert desk.do("status", f"s3://{BUCKET}/members.unenroll").code == 73
    web = desk.do("export", "members-rehearsal.unenroll", "--to", "https://files.example/a.csv")
    assert web.code == 2
    assert "give s3:// or gs://" in web.err
    nowhere = desk.do("export", "members-rehearsal.unenroll", "--to", "s3://no-such-bucket/a.csv")
    assert nowhere.code == 2
    assert "no-such-bucket" in nowhere.err


@pytest.mark.needs("moto")
def test_a_job_file_names_addresses_as_they_are(desk: Desk, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("night/members.csv", CONTENT)
    job = desk.folder / "job.toml"
    job.write_text(
        f'[input]\nfiles = "s3://{BUCKET}/night/*.csv"\n[api]\nsandbox = true\n'
        '[pace]\nrate = "1000/s"\n[schedule]\nunattended = true\n'
    )
    checked = desk.do("job", "check", job)
    assert checked.code == 0, checked.out
    assert desk.do("job", "run", job).code == 0
    assert len(desk.results("members-rehearsal.unenroll/results.csv")) == 2
