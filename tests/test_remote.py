"""Remote inputs: the same rows as the same file on disk, or a refusal that says why."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulk_unenroll import remote
from bulk_unenroll.errors import FolderUnusable, InputMissing, InputRefused, Stop, UsageError
from bulk_unenroll.inputs.finding import default_folder, find_inputs
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.source import open_source
from bulk_unenroll.ledger.folder import existing_folder, make_folder
from bulk_unenroll.model import Enrollment, Invalid, Target
from tests.kit.accidents import full_disk
from tests.kit.command import SAMPLES, clean_environment
from tests.kit.remote_files import BUCKET, Bucket, Web, local_s3, local_web

CONTENT = b"customerId,targetGroupId,targetId\n423789336,1001,2001\n"
ROW = [Enrollment(423789336, Target(None, 1001, 2001))]


@pytest.fixture(scope="module")
def s3() -> Iterator[Bucket]:
    with local_s3() as bucket:
        yield bucket


@pytest.fixture
def bucket(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture
def web() -> Iterator[Web]:
    with local_web() as server:
        yield server


def read(name: str, spool: Path) -> tuple[str, list[Enrollment | Invalid]]:
    """The sha256 and the rows of one input."""
    (file,) = find_inputs([name])
    with open_source(file, ReadSettings(), spool) as source:
        return source.sha256, [source.mapper.enrollment(record) for record in source.records()]


def refusal(name: str, spool: Path, kind: type[Stop] = InputRefused) -> str:
    with pytest.raises(kind) as caught:
        read(name, spool)
    return str(caught.value)


class TestReading:
    @pytest.mark.needs("moto")
    @pytest.mark.parametrize("name", ["cleanup.csv", "cleanup.parquet", "utf16.tsv"])
    def test_a_file_in_a_bucket_reads_like_the_same_file_on_disk(
        self, bucket: Bucket, tmp_path: Path, name: str
    ) -> None:
        path = SAMPLES / name
        if not path.exists():
            path = tmp_path / name
            path.write_text(CONTENT.decode().replace(",", "\t"), "utf-16")
        url = bucket.put(name, path.read_bytes())
        assert read(url, tmp_path) == read(str(path), tmp_path)

    def test_a_file_on_the_web_reads_like_the_same_file_on_disk(
        self, web: Web, tmp_path: Path
    ) -> None:
        packed = gzip.compress(CONTENT)
        url = web.put("/members.csv.gz", packed)
        assert read(url, tmp_path) == (hashlib.sha256(packed).hexdigest(), ROW)

    @pytest.mark.needs("moto")
    def test_a_glob_in_a_bucket_finds_each_file_once_and_in_order(self, bucket: Bucket) -> None:
        urls = [bucket.put(f"night/part-{n}.csv", CONTENT) for n in (2, 1, 3)]
        found = find_inputs([f"s3://{BUCKET}/night/*.csv", urls[0]])
        assert [file.path for file in found] == sorted(urls)

    @pytest.mark.needs("moto")
    def test_no_copy_is_left_in_the_run_folder(self, bucket: Bucket, tmp_path: Path) -> None:
        left = tmp_path / ".copy"
        left.mkdir()
        (left / "input").write_text("of a killed process")
        read(bucket.put("a.csv", CONTENT), tmp_path)
        assert not list(tmp_path.iterdir())

    @pytest.mark.needs("moto")
    def test_the_run_folder_is_named_after_the_file(self, bucket: Bucket, web: Web) -> None:
        urls = [bucket.put("x/may.csv", CONTENT), f"{web.base_url}/x/may.csv.gz?signature=1"]
        folders = [default_folder([url]) for url in (*urls, f"s3://{BUCKET}/x/m*.csv")]
        assert folders == [Path("may.unenroll")] * 3


PEAK = """
import sys
from pathlib import Path
from bulk_unenroll import remote

def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024

with remote.copied(sys.argv[1], Path(sys.argv[3])):
    before = peak_mib()
with remote.copied(sys.argv[2], Path(sys.argv[3])):
    print(peak_mib() - before)
"""


@pytest.mark.needs("moto")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the peak")
def test_memory_does_not_grow_with_the_file(bucket: Bucket, web: Web, tmp_path: Path) -> None:
    large = b"x" * (200 << 20)
    pairs = [
        (bucket.put("small.csv", CONTENT), bucket.put("large.csv", large)),
        (web.put("/small.csv", CONTENT), web.put("/large.csv", large)),
    ]
    for small, big in pairs:
        done = subprocess.run(
            [sys.executable, "-c", PEAK, small, big, str(tmp_path)],
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert int(done.stdout) < 60, big


class TestRefusals:
    @pytest.mark.needs("moto")
    @pytest.mark.parametrize("name", [f"s3://{BUCKET}/no.csv", "s3://no-such-bucket/a.csv"])
    def test_a_file_that_is_not_in_the_bucket(
        self, bucket: Bucket, tmp_path: Path, name: str
    ) -> None:
        assert "does not exist" in refusal(name, tmp_path, InputMissing)

    @pytest.mark.needs("moto")
    def test_a_glob_that_matches_nothing(self, bucket: Bucket) -> None:
        with pytest.raises(InputMissing, match="no file matches"):
            find_inputs([f"s3://{BUCKET}/no/*.csv"])

    def test_a_file_that_is_not_on_the_web(self, web: Web, tmp_path: Path) -> None:
        assert "does not exist" in refusal(f"{web.base_url}/no.csv", tmp_path, InputMissing)

    def test_no_access(self, web: Web, tmp_path: Path) -> None:
        web.status = 403
        said = refusal(web.put("/a.csv", CONTENT), tmp_path)
        assert "cannot be read: HTTP 403" in said
        assert "credentials in the environment" in said

    def test_a_server_that_does_not_run(self, tmp_path: Path) -> None:
        assert "cannot be read" in refusal("http://127.0.0.1:9/a.csv", tmp_path)

    def test_a_file_that_changes_while_it_is_read(self, web: Web, tmp_path: Path) -> None:
        web.changes = True
        assert "changed while" in refusal(web.put("/a.csv", CONTENT), tmp_path)

    def test_a_file_that_is_cut_short(self, web: Web, tmp_path: Path) -> None:
        web.cut = 3
        assert "cannot be read" in refusal(web.put("/a.csv", CONTENT), tmp_path)

    def test_a_file_of_unknown_length_which_could_be_cut_short_unnoticed(
        self, web: Web, tmp_path: Path
    ) -> None:
        web.length = False
        assert "cut short unnoticed" in refusal(web.put("/a.csv", CONTENT), tmp_path)

    def test_plain_http_to_another_machine(self, tmp_path: Path) -> None:
        said = refusal("http://files.example/a.csv", tmp_path, UsageError)
        assert "anyone on the network" in said

    def test_https_that_redirects_to_plain_http(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Redirecting:
            def invalidate_cache(self) -> None: ...

            def info(self, _: str) -> dict[str, object]:
                return {"size": 1, "url": "http://files.example/a.csv"}

        monkeypatch.setattr(remote, "_open_system", lambda url: (Redirecting(), url))
        assert "redirects to http://" in refusal("https://files.example/a.csv", tmp_path)

    @pytest.mark.parametrize(
        ("module", "url", "extra"),
        [("s3fs", "s3://b/a.csv", "s3"), ("gcsfs", "gs://b/a.csv", "gcs")],
    )
    def test_a_missing_extra_is_named(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        module: str,
        url: str,
        extra: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        known = importlib.import_module("fsspec.registry")._registry
        monkeypatch.delitem(known, url[:2], raising=False)
        said = refusal(url, tmp_path, UsageError)
        assert f"pip install 'bulk-unenroll[{extra}]'" in said

    @pytest.mark.needs("moto")
    def test_no_room_for_the_copy(self, bucket: Bucket, tmp_path: Path) -> None:
        url = bucket.put("a.csv", CONTENT)
        with full_disk(10):
            assert "no space left" in refusal(url, tmp_path, FolderUnusable)
        assert "cannot copy" in refusal(url, tmp_path / "no folder", FolderUnusable)


class TestSecrets:
    @pytest.mark.parametrize(
        "url",
        [
            "https://me:hunter2@files.example/a.csv",
            "https://hunter2@files.example",
            "s3://key:hunter2@bucket/a.csv",
            "https://files.example:1:2@[hunter2@/a.csv",
        ],
    )
    def test_credentials_in_an_address_are_refused_and_not_repeated(
        self, tmp_path: Path, url: str
    ) -> None:
        said = refusal(url, tmp_path, UsageError)
        assert "others can see" in said
        assert "hunter2" not in said

    def test_a_signature_is_used_but_neither_kept_nor_shown(self, web: Web, tmp_path: Path) -> None:
        url = web.put("/a.csv", CONTENT)
        (file,) = find_inputs([f"{url}?signature=hunter2%2F"])
        assert "hunter2" not in repr(file)
        assert file.path == file.display == url
        with open_source(file, ReadSettings(), tmp_path):
            pass
        assert "GET /a.csv?signature=hunter2%2F" in web.asked

    def test_two_files_that_differ_only_in_the_query_are_refused(self, web: Web) -> None:
        url = web.put("/a.csv", CONTENT)
        with pytest.raises(InputRefused, match="differs in what follows") as caught:
            find_inputs([f"{url}?id=hunter1", f"{url}?id=hunter2"])
        assert "hunter" not in str(caught.value)


def test_the_run_folder_stays_on_this_machine() -> None:
    for touch in (make_folder, existing_folder):
        with pytest.raises(FolderUnusable, match="stays on this machine"):
            touch(Path("s3://bucket/job.unenroll"))
