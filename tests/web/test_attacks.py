"""Requests that nobody's browser would make: none starts a command, none makes a call."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.kit.command import Desk, Witness, people
from tests.web.kit import PageServer, Visitor, destinations, serving

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def planned(desk: Desk, server: PageServer, visitor: Visitor, api: Witness) -> Iterator[Visitor]:
    """A job that could be confirmed. At the end of the test nothing has begun."""
    visitor.drop(desk.write("a.csv", [(who, 1001, 2001) for who in people(30)]))
    visitor.plan("EU PRODUCTION")
    yield visitor
    assert begun(server.root) == ["plan"]
    assert not list(server.root.glob("*/run/stop"))
    assert not api.seen()


def begun(root: Path) -> list[str]:
    """The command that each job began last; looks at a file are none."""
    return [json.loads(path.read_text())["what"] for path in root.glob("*/child.json")]


def own(visitor: Visitor, **more: str) -> dict[str, str]:
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return {"Cookie": cookie, **named}


COOKIE = {"Cookie": "{cookie}"}
LOOKS: Sequence[tuple[str, Mapping[str, str], int]] = (
    ("{job}", {}, 403),
    ("/?token=x", {}, 403),
    ("/", {"Host": "evil.example:{port}", **COOKIE}, 421),
    ("/static/page.js", {"Host": "evil.example:{port}"}, 421),
    ("/", {"Host": "127.0.0.1:1", **COOKIE}, 421),
    ("/", {"Host": "0.0.0.0:{port}", **COOKIE}, 421),
    ("{job}", {"X-Forwarded-User": "boss", "X-Proxy-Secret": ""}, 403),
    ("{job}/stop", COOKIE, 405),
    ("{job}/confirm", COOKIE, 405),
    ("/jobs/..%2f..%2fetc", COOKIE, 404),
    ("/jobs/%2e%2e", COOKIE, 404),
    ("/static/..%2fapp.py", COOKIE, 404),
    ("/static/%2e%2e/app.py", COOKIE, 404),
    ("{job}/files/..%2faudit.jsonl", COOKIE, 404),
    ("{job}/files/ledger.sqlite", COOKIE, 404),
    ("{job}/files/results.csv%00.html", COOKIE, 404),
)
OTHER_SITES: Sequence[Mapping[str, str]] = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {},
    {"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"},
)


def test_looking_where_one_may_not(planned: Visitor, server: PageServer) -> None:
    known = {
        "job": planned.job,
        "port": server.address.partition(":")[2],
        "cookie": own(planned)["Cookie"],
    }
    wrong = []
    for path, headers, status in LOOKS:
        filled = {name: value.format(**known) for name, value in headers.items()}
        answer = planned.raw("GET", path.format(**known), headers=filled)
        if answer.status != status or str(server.root) in answer.text:
            wrong.append((path, headers, answer.status))
    assert wrong == []


def test_other_sites_change_nothing(planned: Visitor) -> None:
    plan = planned.get(f"{planned.job}/plan").field("plan")
    body = f"number=30&plan={plan}&name=a.csv".encode()
    wrong = []
    for what in ("stop", "confirm", "resume", "delete", "plan"):
        for headers in OTHER_SITES:
            sent = {"Content-Type": FORM, **own(planned), **headers}
            answer = planned.raw("POST", f"{planned.job}/{what}", body, sent)
            if answer.status != 403:
                wrong.append((what, headers, answer.status))
    assert wrong == []


def test_a_wrong_number_begins_nothing(planned: Visitor) -> None:
    assert "That is not the number" in planned.confirm(1).words


@pytest.mark.thorough
class TestUploads:
    GOOD = "customerId,targetGroupId,targetId\n423000007,1001,2001\n"

    @pytest.fixture(autouse=True)
    def nothing_begins(self, desk: Desk, api: Witness) -> Iterator[None]:
        yield
        assert begun(desk.folder / "jobs") == []
        assert not api.seen()

    def put(self, visitor: Visitor, name: str, body: bytes, **more: str) -> int:
        headers = own(visitor, Sec_Fetch_Site="same-origin", X_File_Name=name, **more)
        return visitor.raw("PUT", "/uploads", body, headers).status

    def test_a_name_that_leads_elsewhere_stays_inside(
        self, server: PageServer, visitor: Visitor
    ) -> None:
        assert self.put(visitor, "..%2F..%2Fevil.csv", self.GOOD.encode()) == 200
        assert self.put(visitor, "%2e%2e%5c%2e%2e%5cevil.csv", self.GOOD.encode()) == 200
        assert {path.name for path in server.root.rglob("*.csv")} == {"evil.csv"}
        assert not list(server.root.parent.glob("*.csv"))

    @pytest.mark.parametrize(
        ("name", "body", "status"),
        [("x.exe", b"x", 415), ("", b"x", 415), ("a.csv", b"", 400), (".csv", b"a\n1\n", 200)],
    )
    def test_what_is_not_taken(
        self, server: PageServer, visitor: Visitor, name: str, body: bytes, status: int
    ) -> None:
        assert self.put(visitor, name, body) == status
        assert len(list(server.root.glob("2*"))) == (status == 200)
        assert not list(server.root.glob(".part*"))

    def test_markup_in_names_is_text(self, visitor: Visitor) -> None:
        name = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E.csv"
        text = self.GOOD.replace("customerId", "customerId,<script>alert(1)</script>")
        body = text.replace("423000007", "423000007,<b>").encode()
        assert self.put(visitor, name, body) == 200
        home = visitor.get("/")
        assert "<img src=x" not in home.text
        (job,) = re.findall(r'href="(/jobs/[^"]+)"', home.text)
        columns = visitor.get(f"{job}/columns")
        assert "<script>alert" not in columns.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in columns.text

    def test_one_that_is_too_large_is_refused_before_it_is_read(self, desk: Desk) -> None:
        with serving(desk, "--max-upload", "1") as server:
            visitor = server.visit()
            head = own(visitor, Sec_Fetch_Site="same-origin", X_File_Name="a.csv")
            lines = [
                "PUT /uploads HTTP/1.1",
                f"Host: {server.address}",
                *(f"{name}: {value}" for name, value in head.items()),
                "Content-Length: 106300440576",
            ]
            answer = talk(server, "\r\n".join([*lines, "", "first bytes"]))
            assert answer.startswith("HTTP/1.1 413")
            assert self.put(visitor, "a.csv", b"x" * (1 << 21)) == 413
            assert not list(server.root.iterdir())

    def test_of_one_that_breaks_off_nothing_stays(
        self, server: PageServer, visitor: Visitor
    ) -> None:
        head = own(visitor, Sec_Fetch_Site="same-origin", X_File_Name="a.csv")
        lines = [
            "PUT /uploads HTTP/1.1",
            f"Host: {server.address}",
            *(f"{name}: {value}" for name, value in head.items()),
            "Content-Length: 1000000",
        ]
        talk(server, "\r\n".join([*lines, "", "x" * 5000]), wait=False)
        for _ in range(100):
            if not list(server.root.iterdir()):
                break
            visitor.get("/")
        assert not list(server.root.iterdir())


@pytest.mark.thorough
class TestRaw:
    REQUESTS = (
        ("GET / HTTP/1.1\r\n\r\n", ("400",)),
        ("TRACE / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n", ("403", "405")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: {long}\r\n\r\n", ("400", "431")),
        (
            "POST {job}/stop HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n"
            "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ("400",),
        ),
    )

    def test_what_is_no_proper_request(self, planned: Visitor, server: PageServer) -> None:
        cookie = own(planned)["Cookie"]
        known = {"host": server.address, "job": planned.job, "cookie": cookie, "long": "x" * 16_384}
        answers = [talk(server, text.format(**known))[9:12] for text, _ in self.REQUESTS]
        assert all(a in good for a, (_, good) in zip(answers, self.REQUESTS, strict=True)), answers

    def test_a_form_of_a_megabyte(self, planned: Visitor) -> None:
        body = b"number=" + b"1" * (1 << 20)
        assert (
            planned.ask("POST", f"{planned.job}/confirm", body, {"Content-Type": FORM}).status
            == 413
        )


def talk(server: PageServer, text: str, *, wait: bool = True) -> str:
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(text.encode())
        if not wait:
            return ""
        return connection.recv(1 << 16).decode("utf-8", "replace")


@pytest.mark.thorough
class TestTeam:
    """Behind a proxy: roles, two persons, and headers that nobody but the proxy can send."""

    @pytest.fixture
    def team(self, desk: Desk, api: Witness) -> Iterator[PageServer]:
        (desk.folder / "people.toml").write_text(
            "[people]\n"
            '"anna@example.com" = ["view", "plan", "confirm", "ids"]\n'
            '"bob@example.com" = ["view", "confirm"]\n'
            '"eve@example.com" = ["view"]\n'
        )
        desk.environment["BULK_UNENROLL_PROXY_SECRET"] = "a-shared-secret"
        words = ("--behind-proxy", "--people", "people.toml")
        to = destinations(desk.folder, api.base_url, ["approvals = 2"])
        with serving(desk, *words, "--destinations", to) as server:
            yield server

    def person(self, server: PageServer, name: str, secret: str = "a-shared-secret") -> Visitor:
        headers = {"X-Forwarded-User": f"{name}@example.com", "X-Proxy-Secret": secret}
        return Visitor(server.address, headers=headers)

    def test_two_persons_and_who_they_were(
        self, desk: Desk, team: PageServer, api: Witness
    ) -> None:
        anna, bob = self.person(team, "anna"), self.person(team, "bob")
        anna.drop(desk.write("a.csv", [(who, 1001, 2001) for who in people(30)]))
        plan = anna.plan("EU PRODUCTION")
        assert "somebody else has to confirm it" in plan.words
        bob.at = anna.job
        plan_id = bob.get(f"{bob.job}/plan").field("plan")
        assert anna.post(f"{anna.job}/confirm", plan=plan_id, number=30).status == 403
        assert not api.seen()
        anna.at = bob.at
        assert bob.confirm(30).status == 200
        bob.end()
        assert len(api.seen()) == 30
        assert "bob@example.com" in anna.get(f"{bob.job}/files/report.html").text

    def test_without_the_role_no_id_is_shown(self, desk: Desk, team: PageServer) -> None:
        anna, eve = self.person(team, "anna"), self.person(team, "eve")
        anna.drop(desk.write("a.csv", [*((w, 1001, 2001) for w in people(30)), ("4230x", 1, 2)]))
        anna.plan("EU PRODUCTION")
        bob = self.person(team, "bob")
        bob.at = eve.at = anna.job
        bob.confirm(30)
        bob.end()
        job = anna.job
        assert "4230x" in anna.get(f"{job}/plan").text
        assert "The id is not made of digits alone." in eve.get(f"{job}/plan").words
        for person in (eve, bob):
            for path in ("/", job, f"{job}/plan", f"{job}/now", f"{job}/columns", f"{job}/nothing"):
                text = person.get(path).text
                assert "423000" not in text
                assert "4230x" not in text
            for name in ("results.csv", "failed.csv"):
                assert person.get(f"{job}/files/{name}").status == 403
            assert person.post(f"{job}/customer", customer=423000007).status == 403
        report = eve.get(f"{job}/files/report.html")
        assert (report.status, "423000" in report.text) == (200, False)

    def test_without_the_role_a_refusal_shows_no_id(self, desk: Desk, team: PageServer) -> None:
        anna, eve = self.person(team, "anna"), self.person(team, "eve")
        (desk.folder / "a.csv").write_text("423000007,1001,2001\n423000014,1001,2001\n")
        page = anna.drop(desk.folder / "a.csv")
        assert "The first row looks like data" in page.words
        form = {"customerId": "column:423000007", "targetGroupId": "column:1001"}
        refused = anna.plan("rehearsal", **form, targetId="column:x")
        assert "This file was refused" in refused.words
        eve.at = anna.job
        assert "423000" not in eve.get(f"{anna.job}/plan").text

    def test_who_may_not_confirm_or_plan_does_not(
        self, desk: Desk, team: PageServer, api: Witness
    ) -> None:
        anna, eve = self.person(team, "anna"), self.person(team, "eve")
        path = desk.write("a.csv", [(who, 1001, 2001) for who in people(30)])
        assert eve.drop(path).status == 403
        anna.drop(path)
        anna.plan("EU PRODUCTION")
        eve.at = anna.job
        for what in ("confirm", "stop", "resume", "retry", "delete", "plan", "rehearse", "files"):
            assert eve.post(f"{anna.job}/{what}", number=30).status == 403, what
        assert eve.get(f"{anna.job}/retry?code=1").status == 403
        assert begun(team.root) == ["plan"]
        assert not api.seen()

    STRANGERS: Sequence[Mapping[str, str]] = (
        {"X-Forwarded-User": "anna@example.com"},
        {"X-Forwarded-User": "anna@example.com", "X-Proxy-Secret": "wrong"},
        {"X-Forwarded-User": "mallory@example.com", "X-Proxy-Secret": "a-shared-secret"},
        {"X-Proxy-Secret": "a-shared-secret"},
    )

    def test_past_the_proxy_nobody_gets_in(
        self, desk: Desk, team: PageServer, api: Witness
    ) -> None:
        anna, bob = self.person(team, "anna"), self.person(team, "bob")
        anna.drop(desk.write("a.csv", [(who, 1001, 2001) for who in people(30)]))
        anna.plan("EU PRODUCTION")
        plan = bob.get(f"{anna.job}/plan").field("plan")
        body = f"number=30&plan={plan}&name=a.csv".encode()
        doings = ("plan", "confirm", "stop", "resume", "retry", "rehearse", "delete")
        requests = [
            *(("GET", path) for path in ("/", "/?token=x", f"{anna.job}/plan")),
            *(("POST", f"{anna.job}/{what}") for what in doings),
            ("PUT", "/uploads"),
        ]
        as_browsers = {
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": FORM,
            "X-File-Name": "b.csv",
        }
        wrong = []
        for headers in self.STRANGERS:
            for method, path in requests:
                sent = None if method == "GET" else body
                answer = Visitor(team.address).raw(method, path, sent, {**headers, **as_browsers})
                if answer.status != 403:
                    wrong.append((headers, method, path, answer.status))
        assert wrong == []
        assert begun(team.root) == ["plan"]
        assert len(list(team.root.glob("2*"))) == 1
        assert not api.seen()
