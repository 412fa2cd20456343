"""A server of the page as a process, and a browser without script that talks to it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.kit.command import Desk

WAIT_S = 60.0


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def words(self) -> str:
        """The text that a person reads, with single blanks."""
        reader = _Words()
        reader.feed(self.text)
        return " ".join(" ".join(reader.found).split())

    def field(self, name: str) -> str:
        """The value of a field of a form."""
        found = re.search(rf'name="{re.escape(name)}"[^>]*value="([^"]*)"', self.text)
        assert found, f"there is no field {name}: {self.words[:500]}"
        return found[1]


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden += tag in ("script", "style", "noscript")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "noscript")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)


class _Forms(HTMLParser):
    """What a press on the button of some words sends: as browsers do, without script."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.found: tuple[str, str, list[tuple[str, str]]] | None = None
        self._words = words
        self._form: dict[str, str] = {}
        self._fields: list[tuple[str, str]] = []
        self._select = ""
        self._button: dict[str, str] | None = None
        self._pressed: tuple[str, str, int, tuple[str, str] | None] | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        own = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form, self._fields, self._pressed = own, [], None
        elif tag == "input" and own.get("type") not in ("checkbox", "file"):
            self._fields.append((own.get("name", ""), own.get("value", "")))
        elif tag == "select":
            self._select, self._options = own["name"], list[tuple[str, bool]]()
        elif tag == "option" and self._select:
            self._options.append((own.get("value", "\0"), "selected" in own))
        elif tag == "button":
            self._button = own

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            chosen = [value for value, is_selected in self._options if is_selected]
            self._fields.append((self._select, (chosen or [self._options[0][0]])[0]))
            self._select = ""
        elif tag == "button":
            self._button = None
        elif tag == "form" and self._pressed:
            method, path, place, own = self._pressed
            if own:
                self._fields.insert(place, own)
            self.found = method, path, self._fields
            self._pressed = None

    def handle_data(self, data: str) -> None:
        if self._select and self._options and self._options[-1][0] == "\0":
            self._options[-1] = data, self._options[-1][1]
        button = self._button
        if button is not None and data.strip() == self._words:
            method = button.get("formmethod", self._form.get("method", "get"))
            path = button.get("formaction", self._form.get("action", ""))
            own = (button["name"], button.get("value", "")) if "name" in button else None
            self._pressed = method, path, len(self._fields), own


def _form_of(page: Answer, words: str) -> tuple[str, str, list[tuple[str, str]]]:
    reader = _Forms(words)
    reader.feed(page.text)
    assert reader.found, f"there is no button {words!r}: {page.words[:800]}"
    return reader.found


@dataclass
class Visitor:
    """A browser that runs no script: it follows redirects and keeps cookies."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    at: str = "/"

    def raw(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request with just these headers."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie") or []:
                name, _, rest = cookie.partition("=")
                self.cookies[name] = rest.partition(";")[0]
            text = response.read().decode("utf-8", "replace")
            return Answer(response.status, dict(response.headers), text)
        finally:
            connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Answer:
        """One request as a browser sends it, and where it is led to."""
        own = {**self.headers, **self._cookie()}
        if method != "GET":
            own |= {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{self.address}"}
        answer = self.raw(method, path, body, {**own, **headers})
        if "text/html" in answer.headers.get("Content-Type", "") and "/files/" not in path:
            found = re.findall(r"--[a-z][a-z-]+|\bexit \d+", answer.words)
            assert not found, f"{path} speaks of a command line: {found}"
        if answer.status == 303:
            self.at = urlsplit(urljoin(path, answer.headers["Location"])).path
            return self.ask("GET", answer.headers["Location"].partition("#")[0])
        self.at = path
        return answer

    def press(self, page: Answer, words: str) -> Answer:
        """Press the button of these words, which sends the fields of its form."""
        method, path, fields = _form_of(page, words)
        path = path or self.at
        if method == "get":
            return self.get(f"{path}?{urlencode(fields)}")
        return self.post(path, *fields)

    def _cookie(self) -> dict[str, str]:
        joined = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"Cookie": joined} if joined else {}

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, *fields: tuple[str, object], **more: object) -> Answer:
        body = urlencode([*fields, *more.items()]).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, body, kind)

    # ── the steps of a job ───────────────────────────────────────────────────────────────────────

    def drop(self, path: Path, name: str | None = None, to: str = "/uploads") -> Answer:
        """Upload a file by the form; the page of its columns."""
        boundary = "a-boundary"
        head = f'Content-Disposition: form-data; name="file"; filename="{name or path.name}"'
        body = b"".join(
            (
                f"--{boundary}\r\n{head}\r\n\r\n".encode(),
                path.read_bytes(),
                f"\r\n--{boundary}--\r\n".encode(),
            )
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.ask("POST", to, body, kind)

    def mend(self, path: Path, name: str | None = None) -> Answer:
        """Give mended rows to the job that was looked at last; their plan, or why there is none."""
        job = self.job
        answer = self.drop(path, name, f"{job}/mended")
        self.at = f"{job}/plan"
        return answer if "data-now" not in answer.text else self.settled(f"{job}/plan")

    @property
    def job(self) -> str:
        """The address of the job that was looked at last."""
        return "/".join(self.at.partition("?")[0].split("/")[:3])

    def plan(self, destination: str = "rehearsal", **more: object) -> Answer:
        """Send the form of the columns as it is, and wait for the plan."""
        form = {name: f"column:{name}" for name in ("customerId", "targetGroupId", "targetId")}
        fields = {"destination": destination, "rate": 60_000, **form, **more}
        answer = self.post(f"{self.job}/plan", **fields)
        return answer if answer.status != 200 else self.settled(f"{self.job}/plan")

    def confirm(self, number: object, **more: object) -> Answer:
        """Type the number; the page of the run, or why there is none."""
        plan = self.get(f"{self.job}/plan").field("plan")
        return self.post(f"{self.job}/confirm", plan=plan, number=number, **more)

    def settled(self, path: str, for_s: float = WAIT_S) -> Answer:
        """A page once nothing works on its job any more."""
        end_s = time.monotonic() + for_s
        while True:
            answer = self.get(path)
            if "data-now" not in answer.text:
                return answer
            assert time.monotonic() < end_s, answer.words[:500]
            time.sleep(0.1)

    def end(self) -> Answer:
        """The page of the job once its run has ended."""
        return self.settled(self.job)


class PageServer:
    """``bulk-unenroll serve`` in a process."""

    def __init__(self, desk: Desk, *words: object) -> None:
        self._desk = desk
        self.root = desk.folder / "jobs"
        self._words = ("serve", self.root, "--no-open", *words)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*self._desk.program, *map(str, self._words)],
            cwd=self._desk.folder,
            env=self._desk.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout
        self.said = ""
        while not re.search(r"token=\S+|, port \d+", self.said):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        found = re.search(r"(127\.0\.0\.1:\d+)/\?token=(\S+)", self.said)
        self.token = found[2] if found else ""
        port = re.search(r", port (\d+)", self.said)
        self.address = found[1] if found else f"127.0.0.1:{port[1] if port else 0}"

    def visit(self) -> Visitor:
        """A browser with which the printed link was opened."""
        visitor = Visitor(self.address)
        assert visitor.ask("GET", f"/?token={self.token}").status == 200
        return visitor

    def kill(self) -> None:
        self.process.kill()
        self.said += self.process.communicate()[0]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.said += self.process.communicate(timeout=20)[0]


@contextmanager
def serving(desk: Desk, *words: object) -> Iterator[PageServer]:
    server = PageServer(desk, *words)
    try:
        yield server
    finally:
        server.stop()
        end_children(server.root)


def end_children(root: Path) -> None:
    """End the commands that a server started: they would go on without it."""
    for path in root.glob("*/child.json"):
        found = re.search(r'"pid": (\d+)', path.read_text())
        if found:
            try:
                os.kill(int(found[1]), signal.SIGKILL)
            except ProcessLookupError:
                continue


def destinations(folder: Path, base_url: str, more: Sequence[str] = ()) -> Path:
    """A file with one destination, whose credentials are those of the sandbox."""
    path = folder / "destinations.toml"
    lines = (
        "[[destination]]",
        'name = "EU PRODUCTION"',
        f'base_url = "{base_url}"',
        'rate = "2000/s"',
        'username_env = "EU_USER"',
        'password_env = "EU_PASSWORD"',
        *more,
    )
    path.write_text("\n".join([*lines, ""]))
    return path
