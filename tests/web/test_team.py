"""The examples for a team run: a real nginx with basic sign-in in front of the page, systemd."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.command import REPO, Desk, Witness, people
from tests.web.kit import PageServer, Visitor, destinations, serving

EXAMPLES = REPO / "jobs" / "team"
NGINX = shutil.which("nginx")
SECRET = "a-shared-secret"


def hashed(password: str) -> str:
    done = subprocess.run(
        ["openssl", "passwd", "-apr1", password], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def team(desk: Desk, api: Witness) -> Iterator[tuple[PageServer, str]]:
    """The page behind nginx, and nginx's address."""
    front, back = free_port(), free_port()
    folder = desk.folder / "nginx"
    folder.mkdir()
    folder.chmod(0o755)
    names = ("anna@example.com", "bob@example.com", "carol@example.com", "eve@example.com")
    (folder / "users").write_text("".join(f"{name}:{hashed('pass')}\n" for name in names))
    (folder / "secret.conf").write_text(f'proxy_set_header X-Proxy-Secret "{SECRET}";\n')
    server = (EXAMPLES / "nginx.conf").read_text()
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{front}",
        "ssl_certificate /etc/ssl/unenroll.pem;": "",
        "ssl_certificate_key /etc/ssl/unenroll.key;": "",
        "/etc/nginx/unenroll.htpasswd": str(folder / "users"),
        "/etc/nginx/unenroll-secret.conf": str(folder / "secret.conf"),
        "http://127.0.0.1:8520": f"http://127.0.0.1:{back}",
    }.items():
        assert old in server
        server = server.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"user root;\ndaemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
    )
    desk.environment["BULK_UNENROLL_PROXY_SECRET"] = SECRET
    words = ("--port", back, "--behind-proxy", "--people", EXAMPLES / "people.toml")
    to = destinations(desk.folder, api.base_url, ["approvals = 2"])
    hosts = ("--host-name", f"127.0.0.1:{front}")
    with serving(desk, *words, "--destinations", to, *hosts) as page:
        assert NGINX
        nginx = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", front)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            yield page, f"127.0.0.1:{front}"
        finally:
            nginx.terminate()
            nginx.wait()


def person(address: str, name: str, **more: str) -> Visitor:
    word = base64.b64encode(f"{name}@example.com:pass".encode()).decode()
    return Visitor(address, headers={"Authorization": f"Basic {word}", **more})


@pytest.mark.thorough
@pytest.mark.skipif(not NGINX or not shutil.which("openssl"), reason="nginx is not installed")
def test_nginx_signs_people_in(team: tuple[PageServer, str], desk: Desk, api: Witness) -> None:
    page, address = team
    assert Visitor(address).raw("GET", "/").status == 401
    anna, bob, carol = (person(address, name) for name in ("anna", "bob", "carol"))
    assert "signed in as anna@example.com" in anna.get("/").words
    assert person(address, "eve").get("/").status == 403, "she is not on the list"
    forged = {"X-Forwarded-User": "bob@example.com", "X-Proxy-Secret": SECRET}
    assert "signed in as anna@example.com" in person(address, "anna", **forged).get("/").words
    assert Visitor(page.address).raw("GET", "/", headers={"X-Forwarded-User": "bob"}).status == 403
    rows = [(who, 1001, 2001) for who in people(60_000)]
    large = desk.write("large.csv", rows)
    assert large.stat().st_size > 1 << 20, "nginx refuses more unless told"
    assert anna.drop(large).status == 200
    anna.drop(desk.write("a.csv", rows[:30]))
    anna.plan("EU PRODUCTION")
    bob.at = anna.job
    plan = bob.get(f"{bob.job}/plan").field("plan")
    assert anna.post(f"{bob.job}/confirm", plan=plan, number=30).status == 403, "no such role"
    anna.at = bob.at
    assert carol.post(f"{anna.job}/confirm").status == 403
    bob.confirm(30)
    assert "30 of 30 customers were taken out" in bob.end().words
    report = carol.get(f"{anna.job}/files/report.html").text
    assert "bob@example.com" in report
    assert len(api.seen()) == 30


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    text = (EXAMPLES / "bulk-unenroll-page.service").read_text()
    assert "KillMode=process" in text
    unit = tmp_path / "bulk-unenroll-page.service"
    unit.write_text(text.replace("/opt/bulk-unenroll/bin/bulk-unenroll", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "bulk-unenroll" in line]
    assert (done.returncode, said) == (0, [])


def test_the_examples_are_what_serve_reads() -> None:
    from bulk_unenroll.web.config import read_destinations, read_people

    found = read_destinations(EXAMPLES / "destinations.toml")
    assert {name: one.approvals for name, one in found.items()} == {
        "EU PRODUCTION": 2,
        "EU DEMO": 1,
    }
    assert found["EU PRODUCTION"].never == (EXAMPLES / "never.csv",)
    assert read_people(EXAMPLES / "people.toml")["carol@example.com"] == {"view"}
