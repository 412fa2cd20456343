"""Remote files on loopback: a local S3 server, a local GCS server, a web server with faults."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "drop"


@dataclass
class Bucket:
    """A bucket. ``environment`` has its address and credentials, in the provider's variables."""

    client: Any
    environment: dict[str, str]

    def put(self, key: str, content: bytes) -> str:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content


@contextmanager
def local_s3() -> Iterator[Bucket]:
    """An S3 server in a thread of the tests. Needs the package moto."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a-key-id",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-bucket",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
    )
    where = {"LocationConstraint": environment["AWS_DEFAULT_REGION"]}
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    yield Bucket(client, environment)
    client.close()
    # the objects belong to this process, and outlive the server
    urllib.request.urlopen(f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset", b"").close()
    server.stop()


@dataclass
class Web:
    """A web server: ``files`` by path; ``asked`` lists the GET requests.

    It answers with ``status``, leaves out the last ``cut`` bytes, and sends a length only if
    ``length``. If ``changes``, the content is different after every request. Clearing ``go_on``
    holds up an answer.
    """

    base_url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    cut: int = 0
    length: bool = True
    changes: bool = False
    go_on: Event = field(default_factory=Event)

    def put(self, path: str, content: bytes) -> str:
        self.files[path] = content
        return f"{self.base_url}{path}"


class _WebHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: ClassVar[Web]

    def do_HEAD(self) -> None:
        path = self.path.partition("?")[0]
        content = self.web.files.get(path, b"")
        self.close_connection = True
        self.send_response(self.web.status if path in self.web.files else 404)
        if self.web.length:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", hashlib.sha256(content).hexdigest())
        self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        path = self.path.partition("?")[0]
        content = self.web.files.get(path, b"")
        self.wfile.write(content[:1])
        self.web.asked.append(f"GET {self.path}")
        self.web.go_on.wait(30)
        if self.web.changes:
            self.web.files[path] = content + b"\n"
        self.wfile.write(content[1 : len(content) - self.web.cut])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def local_web() -> Iterator[Web]:
    web = Web()
    web.go_on.set()
    with _served(type("Handler", (_WebHandler,), {"web": web})) as web.base_url:
        yield web


@contextmanager
def local_gcs() -> Iterator[Web]:
    """The part of Google's storage that gcsfs needs to read, list and write small objects."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            web.asked.append(f"GET {self.path}")
            kind, name = unquote(parts.path).rsplit(f"/b/{BUCKET}/o", 1)
            if not name:
                prefix = parse_qs(parts.query).get("prefix", [""])[0]
                found = [_described(key, web) for key in web.files if key.startswith(prefix)]
                self._answer(json.dumps({"items": found}).encode())
            elif name[1:] not in web.files:
                self._answer(b"{}", 404)
            elif kind.startswith("/download"):
                self._answer(web.files[name[1:]])
            else:
                self._answer(json.dumps(_described(name[1:], web)).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            line = body.partition(b"\r\n" if b"\r\n" in body[:99] else b"\n")[0]
            _, about, content, _ = body.split(line)
            key = json.loads(about[about.index(b"{") :])["name"]
            web.files[key] = content.partition(b"\n\n")[2].removesuffix(b"\n")
            self._answer(json.dumps(_described(key, web)).encode())

        def _answer(self, body: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _served(Handler) as web.base_url:
        yield web


def _described(key: str, web: Web) -> dict[str, object]:
    content = web.files[key]
    etag = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    size = str(len(content))
    return {"name": key, "bucket": BUCKET, "size": size, "md5Hash": etag, "etag": etag}


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
