"""What a command works with: the ledger of a folder, and the API or a sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bulk_unenroll.capillary.base_url import check_scope, parse_base_url, same_api
from bulk_unenroll.capillary.credentials import Basic, Endpoint, credentials, read_environment
from bulk_unenroll.capillary.proxies import proxy_for
from bulk_unenroll.errors import (
    Interrupted,
    LedgerFailed,
    LedgerOutOfReach,
    Misconfigured,
    Next,
    UsageError,
)
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.ledger.opening import open_ledger
from bulk_unenroll.reports.plan import Destination
from bulk_unenroll.settings import RunSettings


@contextmanager
def working_ledger(folder: Path) -> Iterator[Ledger]:
    """``open_ledger``, whose failures name the next command."""
    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(open_ledger(folder))
        except LedgerOutOfReach:
            raise
        except LedgerFailed as stop:
            stop.next = Next("verify", (str(folder),))
            raise
        try:
            yield ledger
        except Interrupted as stop:
            stop.next = Next("status", (str(folder),))
            raise
        except LedgerFailed as stop:
            stop.next = stop.next or Next("resume", (str(folder),))
            raise


@contextmanager
def api(run_settings: RunSettings, kept_url: str | None) -> Iterator[Endpoint]:
    """The endpoint to send to; a sandbox runs until the context ends. Raises ``Misconfigured``."""
    if run_settings.sandbox:
        with _sandbox(run_settings.sandbox_scenario) as rehearsal:
            yield rehearsal
        return
    url = base_url(run_settings, kept_url)
    yield Endpoint(url, credentials(read_environment(), url))


def base_url(run_settings: RunSettings, kept_url: str | None) -> str:
    """The URL from ``--base-url``, the environment, or ``kept_url``, which the folder has.

    Raises ``Misconfigured`` (78) if there is none, or it is not valid.
    """
    url = run_settings.base_url or read_environment().base_url or kept_url
    if not url:
        raise Misconfigured(
            "no base URL: there is no default host for a call that cannot be undone",
            "give --base-url https://HOST/v3.1 or set BULK_UNENROLL_BASE_URL, or add --sandbox",
        )
    parsed = parse_base_url(url)
    proxy_for(parsed)  # one that cannot be used is found before a call needs it
    return parsed


def destination(run_settings: RunSettings, kept_url: str | None) -> Destination:
    """Where a run would send, as far as options, environment and folder say. Builds no client."""
    if run_settings.sandbox:
        return Destination(rehearsal=True)
    environment = read_environment()
    url = run_settings.base_url or environment.base_url or kept_url
    return Destination(parse_base_url(url) if url else None, environment.user())


def destination_of(endpoint: Endpoint, run_settings: RunSettings) -> Destination:
    """Where a run sends."""
    return Destination(endpoint.base_url, endpoint.credentials.user, run_settings.sandbox)


@contextmanager
def _sandbox(scenario: Path | None) -> Iterator[Endpoint]:
    from pydantic import SecretStr

    from bulk_unenroll import sandbox

    try:
        loaded = sandbox.load_scenario(scenario) if scenario else None
    except (OSError, sandbox.ScenarioError) as error:
        raise UsageError(f"the scenario is not valid: {error}") from None
    base_url, stop = sandbox.start_in_thread(loaded)
    till = SecretStr(sandbox.SANDBOX_USERNAME)
    password = SecretStr(sandbox.SANDBOX_PASSWORD)
    try:
        yield Endpoint(base_url, Basic.of(till, password))
    finally:
        stop()


def check_same_api(ledger: Ledger, endpoint: Endpoint) -> None:
    """Raise ``Misconfigured`` (78) if the folder was confirmed for another API."""
    kept = ledger.reader.base_url()
    if kept and not same_api(kept, endpoint.base_url):
        raise other_api(kept, endpoint.base_url)


def other_api(kept_url: str, url: str) -> Misconfigured:
    """The error of a folder that was confirmed for ``kept_url`` and is now to send to ``url``."""
    return Misconfigured(
        f"this folder was confirmed for {kept_url}, not for {url}",
        "use the same base URL, or another --out folder",
    )


def check_orgs(ledger: Ledger, endpoint: Endpoint) -> None:
    """Raise ``Misconfigured`` (78) if the endpoint does not take the orgs of the ledger."""
    check_scope(endpoint.base_url, ledger.reader.has_other_orgs())
