"""A PostgreSQL server of the tests' own: made by initdb, on loopback, thrown away afterwards.

initdb refuses a superuser of the system: then the server belongs to the user ``postgres``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USER: Final = "unenroll"
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "max_connections": "60",
    "max_wal_size": "2GB",
}
IN_MEMORY: Final = Path("/dev/shm")
"""Where a server need not wait for a disk: the ledger refuses one whose ``fsync`` is off."""


def programs() -> Path | None:
    """The folder of the newest server installed, if there is one."""
    named = os.environ.get("PG_BIN")
    if named:
        return Path(named)
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda folder: float(folder.parent.name))
    beside = shutil.which("initdb")
    return found[-1] if found else Path(beside).parent if beside else None


class Server:
    """A cluster in ``home``; ``url`` leads to its database ``postgres``."""

    def __init__(self, home: Path, bin_: Path) -> None:
        self._bin = bin_
        self.data = home / "data"
        self._log = home / "log"
        self.port = _free_port()
        self.sockets = home

    def url(self, database: str = "postgres") -> str:
        """The address of a database, over loopback."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make the cluster, and start it."""
        self._do("initdb", "-D", self.data, "-A", "trust", "-U", USER, "-E", "UTF8", "--no-sync",
                 "--locale=C.UTF-8")  # fmt: skip
        settings = {**SETTINGS, "port": self.port, "unix_socket_directories": self.sockets}
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.start()

    def follow(self, primary: Server) -> None:
        """Make the cluster as a standby of another one, and start it."""
        at = ("-h", "127.0.0.1", "-p", primary.port, "-U", USER)
        self._do("pg_basebackup", "-D", self.data, *at, "-R", "-X", "stream", "-c", "fast")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.port}\nunix_socket_directories = '{self.sockets}'\n")
        self.start()

    def set(self, name: str, value: str) -> None:
        """Change a setting of the server that runs."""
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"{name} = '{value}'\n")
        self._do("pg_ctl", "-D", self.data, "reload")

    def promote(self) -> None:
        """Let a standby take the place of its primary."""
        self._do("pg_ctl", "-D", self.data, "-w", "promote")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._do("pg_ctl", "-D", self.data, "-l", self._log, "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is what a crash does."""
        self._do("pg_ctl", *self.stopping(mode))

    def stopping(self, mode: str = "immediate") -> list[object]:
        """What ``pg_ctl`` is told to stop it."""
        return ["-D", self.data, "-w", "-m", mode, "stop"]

    def command(self, program: str, *arguments: object) -> list[str]:
        """A program of the server's, run by whom it belongs to."""
        drop = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*drop, str(self._bin / program), *map(str, arguments)]

    def _do(self, program: str, *arguments: object) -> None:
        command = self.command(program, *arguments)
        done = subprocess.run(
            command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def running_server(bin_: Path, primary: Server | None = None) -> Iterator[Server]:
    """A server that runs for as long, of its own or as a standby of ``primary``."""
    within = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    home = Path(tempfile.mkdtemp(prefix="pg-", dir=within))
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
    server = Server(home, bin_)
    with _swept_up(server, home):
        server.follow(primary) if primary else server.make()
        yield server


@contextmanager
def _swept_up(server: Server, home: Path) -> Iterator[None]:
    """Stop the server and remove it afterwards; also if the tests are killed.

    A shell waits for the end of a pipe, of which only this process has the other one.
    """
    sweep = 'read -r _; "$@" >/dev/null 2>&1; until rm -rf "$0"; do sleep 1; done'
    command = ["sh", "-c", sweep, str(home), *server.command("pg_ctl", *server.stopping())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", start_new_session=True):
        yield


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
