"""``bulk-unenroll serve``: a page for people without a terminal."""

from __future__ import annotations

import atexit
import getpass
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bulk_unenroll.cli.option_types import PATH
from bulk_unenroll.errors import Misconfigured, UsageError

if TYPE_CHECKING:
    from bulk_unenroll.web.gate import Identity

OWN_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
PROXY_SECRET: Final = "BULK_UNENROLL_PROXY_SECRET"  # noqa: S105 - the name of a variable


@click.command()
@click.argument("root", type=PATH, required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="The port to listen on. [default: a free one]",
)
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
@click.option(
    "--destinations",
    type=PATH,
    help="A TOML file with the APIs that calls may go to. Without it: rehearsals only.",
)
@click.option(
    "--behind-proxy",
    is_flag=True,
    help="For a team: a proxy signs people in. [env: BULK_UNENROLL_PROXY_SECRET]",
)
@click.option(
    "--people", type=PATH, help="A TOML file with the people and their roles, for --behind-proxy."
)
@click.option(
    "--user-header",
    default="X-Forwarded-User",
    show_default=True,
    metavar="NAME",
    help="The header in which the proxy names the person.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address to listen on. Others than of this machine only with --behind-proxy.",
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    metavar="NAME",
    help="A name, with its port if it has one, by which browsers reach the page.",
)
@click.option(
    "--max-upload",
    "most_mb",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    metavar="MB",
    help="Refuse larger files.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    metavar="N",
    help="Delete jobs that are older. [default: keep all]",
)
def serve(
    root: Path | None,
    port: int | None,
    no_open: bool,
    destinations: Path | None,
    behind_proxy: bool,
    people: Path | None,
    user_header: str,
    host: str,
    host_names: Sequence[str],
    most_mb: int,
    keep_days: int | None,
) -> int:
    """Serve a page: drop a file, see the plan, confirm, watch, fetch what failed.

    ROOT is the folder for its jobs, ~/bulk-unenroll-jobs unless given. Runs go on when the page is
    closed, and when this server ends.

    \b
    bulk-unenroll serve
    bulk-unenroll serve /srv/jobs --port 8520 --behind-proxy --people people.toml \\
        --destinations destinations.toml --host-name unenroll.example.com
    """
    import asyncio

    from bulk_unenroll.urls import is_loopback
    from bulk_unenroll.web.app import Server
    from bulk_unenroll.web.config import read_destinations
    from bulk_unenroll.web.gate import OwnMachine
    from bulk_unenroll.web.serve import listen, make_root
    from bulk_unenroll.web.serve import serve as serve_until_stopped

    if not is_loopback(host) and not behind_proxy:
        raise Misconfigured(
            f"{host} can be reached from other machines, where nobody would be signed in",
            "add --behind-proxy, or leave --host out",
        )
    known = read_destinations(destinations)
    identity = _behind_proxy(people, user_header) if behind_proxy else OwnMachine(_user())
    jobs = make_root(root or Path.home() / "bulk-unenroll-jobs")
    listening = listen(host, port)
    number = listening.getsockname()[1]
    server = Server(
        root=jobs,
        identity=identity,
        hosts=frozenset({f"{name}:{number}" for name in OWN_HOSTS} | set(host_names)),
        destinations=known,
        most_bytes=most_mb << 20,
        port=number,
    )

    def ready() -> None:
        if not isinstance(identity, OwnMachine):
            click.echo(f"serving {jobs} on {host}, port {number}")
            return
        link = f"http://127.0.0.1:{number}/?token={identity.token}"
        click.echo(f"Open this link in your browser:\n{link}\nCtrl-C ends the page; runs go on.")
        if not no_open:
            _open(link)

    asyncio.run(serve_until_stopped(server, listening, ready, keep_days))
    return 0


def _behind_proxy(people: Path | None, header: str) -> Identity:
    from bulk_unenroll.web.config import read_people
    from bulk_unenroll.web.gate import BehindProxy

    if people is None:
        raise UsageError("--behind-proxy needs --people", "name a file with people and their roles")
    secret = os.environ.get(PROXY_SECRET, "")
    file = os.environ.get(f"{PROXY_SECRET}_FILE")
    if file:
        try:
            secret = Path(file).read_text("utf-8").strip()
        except OSError as error:
            raise Misconfigured(f"cannot read {file}: {error.strerror}", "check the path") from None
    if not secret:
        raise Misconfigured(
            "--behind-proxy needs a secret that the proxy sends as X-Proxy-Secret",
            f"set {PROXY_SECRET}_FILE",
        )
    return BehindProxy(secret, read_people(people), header)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without such a user
        return str(os.getuid())


def _open(link: str) -> None:
    """Open the link through a file that only its owner can read: arguments can be seen by all."""
    import webbrowser

    with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as file:
        file.write(f'<!DOCTYPE html><meta http-equiv="refresh" content="0;url={link}">')
    atexit.register(Path(file.name).unlink, missing_ok=True)
    webbrowser.open(Path(file.name).as_uri())
