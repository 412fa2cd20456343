"""Between the program and the API: proxies, certificates, a limit of open files, odd answers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from bulk_unenroll.sending.open_files import OTHERS
from tests.kit.command import CREDENTIALS, Desk, Witness, know_targets, people
from tests.kit.proxy import FORBIDDEN, HOST, WRONG_PASSWORD, Proxy
from tests.kit.tiers import thorough

Start = Callable[..., Witness]
BEHIND = f"https://{HOST}/v3.1"
FAST = ("--rate", "2000/s", "--yes", "--read-timeout", "5", "--connect-timeout", "5")
RUN = ("run", "job.csv", "--base-url", BEHIND, *FAST)
PASSWORD = "pr0xy-p@ss"
PLACE = "proxy-user:pr0xy-p%40ss@127.0.0.1"


@pytest.fixture
def job(desk: Desk) -> Desk:
    desk.write("job.csv", [(who, 1001, 2001) for who in people(40)])
    desk.environment |= CREDENTIALS
    return desk


@pytest.fixture
def behind(job: Desk, witness: Start) -> Iterator[Callable[..., tuple[Proxy, Witness]]]:
    """The sandbox behind a proxy, which the environment names."""
    made: list[Proxy] = []

    def start(**options: object) -> tuple[Proxy, Witness]:
        api = witness()
        know_targets(BEHIND)
        proxy = Proxy(api.base_url, job.folder, **options)  # type: ignore[arg-type]
        made.append(proxy)
        job.environment |= {
            "HTTPS_PROXY": f"http://{PLACE}:{proxy.port}",
            "SSL_CERT_FILE": str(proxy.authority),
        }
        return proxy, api

    yield start
    for proxy in made:
        proxy.stop()


Behind = Callable[..., tuple[Proxy, Witness]]


def test_calls_go_through_the_proxy_of_the_environment(job: Desk, behind: Behind) -> None:
    proxy, api = behind()
    ended = job.do(*RUN)
    assert ended.code == 0, ended.err
    assert api.applied() == set(people(40))
    assert {asked.splitlines()[0] for asked in proxy.asked} == {f"CONNECT {HOST}:443 HTTP/1.1"}
    assert all("Proxy-Authorization: Basic cHJveHktdXNlcjpwcjB4eS1wQHNz" in a for a in proxy.asked)


REFUSALS: Final[dict[str, tuple[dict[str, object], str]]] = {
    "wrong password": ({"reply": WRONG_PASSWORD}, "the proxy refused: HTTP 407"),
    "hangs up before TLS": ({"speaks_tls": False}, ""),
    "forbidden": ({"reply": FORBIDDEN}, "the proxy refused: HTTP 403"),
    "hangs up": ({"reply": b""}, ""),
    "no proxy at all": ({"reply": b"SSH-2.0-OpenSSH_9\r\n"}, ""),
}


@pytest.mark.thorough
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_a_proxy_refuses_was_not_sent(job: Desk, behind: Behind, refusal: str) -> None:
    options, says = REFUSALS[refusal]
    proxy, api = behind(**options)
    ended = job.do(*RUN)
    assert ended.code == 69, ended.err
    assert says in ended.err
    assert proxy.asked
    assert api.seen() == []
    found = job.do("status", "job.unenroll", "--json").json
    assert (found["status"]["pending"], found["status"]["in_doubt"]) == (40, 0)
    everything = ended.err + "".join(
        path.read_bytes().decode("latin-1") for path in job.folder.rglob("*") if path.is_file()
    )
    assert PASSWORD not in everything
    assert "pr0xy-p%40ss" not in everything


def test_a_certificate_that_nobody_vouches_for_is_no_api(job: Desk, behind: Behind) -> None:
    _, api = behind()
    del job.environment["SSL_CERT_FILE"]
    assert job.do(*RUN).code == 78
    assert api.seen() == []


@pytest.mark.parametrize(
    "value",
    ["socks5://127.0.0.1:1080", "http://proxy-user:pr0xy-p%40ss@127.0.0.1:port", "http://"],
)
def test_a_proxy_that_cannot_be_used_is_refused_before_anything_is_sent(
    job: Desk, value: str
) -> None:
    job.environment["HTTPS_PROXY"] = value
    ended = job.do(*RUN)
    assert ended.code == 78
    assert "HTTPS_PROXY" in ended.last_lines[0]
    assert "NO_PROXY" in ended.err
    assert "pr0xy" not in ended.err


def test_this_machine_is_called_directly(job: Desk, behind: Behind) -> None:
    proxy, api = behind()
    job.environment |= {"HTTP_PROXY": job.environment["HTTPS_PROXY"], "ALL_PROXY": "http://[::1"}
    assert job.do("run", "job.csv", "--base-url", api.base_url, *FAST).code == 0
    assert proxy.asked == []


def test_credentials_of_a_netrc_file_are_for_other_programs(
    job: Desk, witness: Start, tmp_path: Path
) -> None:
    api = witness()
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    job.environment |= {"HOME": str(tmp_path), "NETRC": str(netrc)}
    assert job.do("run", "job.csv", "--base-url", api.base_url, *FAST).code == 0
    assert api.applied() == set(people(40))


WITH_OPEN_FILES = """
import os, resource, sys
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
os.execv(sys.executable, [sys.executable, "-m", "bulk_unenroll", *sys.argv[3:]])
"""


def with_open_files(job: Desk, soft: int, hard: int, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", WITH_OPEN_FILES, str(soft), str(hard), *words],
        cwd=job.folder,
        env=job.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.decode()


def test_a_soft_limit_of_open_files_is_raised(job: Desk, witness: Start) -> None:
    api = witness()
    run = ("run", "job.csv", "--base-url", api.base_url, *FAST, "--concurrency", "100")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code, err = with_open_files(job, 40, hard, *run)
    assert code == 0, err
    assert api.applied() == set(people(40))


@pytest.mark.thorough
def test_a_hard_limit_of_open_files_is_told_before_the_first_call(
    job: Desk, witness: Start
) -> None:
    api = witness()
    run = ("run", "job.csv", "--base-url", api.base_url, *FAST)
    code, err = with_open_files(job, 80, 80, *run, "--concurrency", "100")
    assert code == 78
    assert f"--concurrency 100 needs {100 + OTHERS} open files" in err
    assert api.seen() == []
    code, err = with_open_files(job, 80, 80, *run, "--concurrency", "8")
    assert code == 0, err


@pytest.mark.parametrize("name", ["USER", *thorough("LOGNAME")])
def test_a_user_name_that_is_no_text_is_written_all_the_same(
    job: Desk, witness: Start, name: str
) -> None:
    api = witness()
    job.environment |= {"LOGNAME": "", "USER": "", name: "Mar\udcedn"}
    ended = job.do("run", "job.csv", "--base-url", api.base_url, *FAST)
    assert ended.code == 0, ended.err
    report = (job.folder / "job.unenroll/report.html").read_text("utf-8")
    assert "Mar\\udcedn@" in report


@pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
def test_addresses_for_notifications_that_are_no_text_are_told(
    job: Desk, witness: Start, in_file: bool
) -> None:
    api = witness()
    address = "json://127.0.0.1/\udced"
    if in_file:
        (job.folder / "urls").write_bytes(os.fsencode(address))
        job.environment["BULK_UNENROLL_NOTIFY_URLS_FILE"] = str(job.folder / "urls")
    else:
        job.environment["BULK_UNENROLL_NOTIFY_URLS"] = address
    ended = job.do("run", "job.csv", "--base-url", api.base_url, *FAST, "--notify", "end")
    assert ended.code == 0, ended.err
    assert "BULK_UNENROLL_NOTIFY_URLS is not UTF-8" in ended.err
    assert api.applied() == set(people(40))


@pytest.mark.parametrize("name", ["PASSWORD", *thorough("BASE_URL")])
def test_a_setting_that_is_no_text_is_named(job: Desk, name: str) -> None:
    job.environment[f"BULK_UNENROLL_{name}"] = "https://127.0.0.1/\udced"
    ended = job.do("run", "job.csv", "--yes", *(() if name == "BASE_URL" else RUN[2:4]))
    assert ended.code == 78
    assert f"BULK_UNENROLL_{name} is not UTF-8" in ended.last_lines[0]
