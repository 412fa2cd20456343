"""What a command works with: the ledger of a folder, and the API or a sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.capillary.base_url import check_scope, parse_base_url, same_api
from bulk_unenroll.capillary.credentials import Basic, Endpoint, credentials, read_environment
from bulk_unenroll.capillary.proxies import proxy_for
from bulk_unenroll.errors import (
    Fenced,
    Interrupted,
    LedgerAway,
    LedgerBehind,
    LedgerFailed,
    LedgerOutOfReach,
    Misconfigured,
    Next,
    OptionValue,
    UsageError,
)
from bulk_unenroll.inputs.finding import twin
from bulk_unenroll.ledger.interface import Ledger, LedgerReader, Trust
from bulk_unenroll.ledger.opening import has_ledger, open_ledger
from bulk_unenroll.reports.next_command import run_again
from bulk_unenroll.reports.plan import Destination
from bulk_unenroll.reports.rehearsal import kind_of
from bulk_unenroll.settings import RunSettings

USER: Final = "calls_as"
"""Under this name a shared ledger notes as whom its run makes the calls."""


@contextmanager
def working_ledger(
    folder: Path, *, make: bool = True, trust: Trust = Trust.USUAL
) -> Iterator[Ledger]:
    """``open_ledger``, whose failures name the next command.

    Raises ``Fenced`` (75) where the server of a shared job is away.
    """
    with sharing_server(), ExitStack() as stack:
        try:
            ledger = stack.enter_context(open_ledger(folder, make=make, trust=trust))
        except LedgerOutOfReach:
            raise
        except LedgerBehind as stop:
            stop.next = look_first(folder)
            raise
        except LedgerFailed as stop:
            stop.next = Next("verify", (str(folder),))
            raise
        try:
            yield ledger
        except Interrupted as stop:
            stop.next = Next("status", (str(folder),))
            raise
        except LedgerAway:
            raise
        except LedgerFailed as stop:
            stop.next = stop.next or Next("resume", (str(folder),))
            raise


@contextmanager
def sharing_server() -> Iterator[None]:
    """Within the block, raise ``Fenced`` (75) if the server of a shared job is away."""
    try:
        yield
    except LedgerAway as away:
        raise Fenced(away.reason, "once it answers, start again: nobody is lost") from None


def look_first(folder: Path) -> Next:
    """What to do about a ledger that is behind: see what it would call."""
    return Next("resume", (str(folder),), {"dry-run": True})


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


def destination(run_settings: RunSettings, reader: LedgerReader) -> Destination:
    """Where a run would send, as far as options, environment and folder say. Builds no client."""
    if run_settings.sandbox or kind_of(reader):
        return Destination(rehearsal=True)
    environment = read_environment()
    url = run_settings.base_url or environment.base_url or reader.base_url()
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
        raise UsageError(
            f"the scenario {scenario} is not valid: {error}",
            "mend it, or give --sandbox-scenario FILE",
        ) from None
    base_url, stop = sandbox.start_in_thread(loaded)
    till = SecretStr(sandbox.SANDBOX_USERNAME)
    password = SecretStr(sandbox.SANDBOX_PASSWORD)
    try:
        yield Endpoint(base_url, Basic.of(till, password))
    finally:
        stop()


# ── is it what the folder is for? ────────────────────────────────────────────────────────────────


def check_kind(reader: LedgerReader, folder: Path, *, rehearsal: bool, own: bool) -> None:
    """Raise ``Misconfigured`` (78) for a rehearsal in a real folder, and the other way round.

    ``own``: the inputs are files of results of this folder, and belong nowhere else.
    """
    kind = kind_of(reader)
    if kind is not None and kind != rehearsal:
        if own and kind:
            raise Misconfigured(
                _other_kind(folder, kind),
                "mend the rows in the input itself, or add --sandbox to rehearse them",
                lacking={"sandbox": True},
            )
        if own:
            raise Misconfigured(
                _other_kind(folder, kind),
                "its files of results cannot be rehearsed: leave --sandbox out, or rehearse a copy"
                " of the input",
            )
        other = twin(folder, rehearsal=rehearsal)
        raise Misconfigured(
            _other_kind(folder, kind), f"give --out {other}", lacking={"out": str(other)}
        )


def check_goes_on(
    reader: LedgerReader, folder: Path, given: Mapping[str, Any], go_on: Next
) -> None:
    """Raise ``Misconfigured`` (78) where ``resume`` or ``retry`` is to make a folder another kind.

    ``given`` are the options by field; ``go_on`` is the command without them.
    """
    kind = kind_of(reader)
    wants_rehearsal = given.get("sandbox", kind)
    if kind and given.get("base_url"):
        wants_rehearsal = False
    if kind is None or kind == wants_rehearsal:
        return
    url = given.get("base_url")
    options: dict[str, OptionValue] = {"base-url": parse_base_url(url)} if url else {}
    other = twin(folder, rehearsal=not kind)
    if has_ledger(other):
        then = replace(go_on, arguments=(str(other),)).with_options(**options)
        raise Misconfigured(_other_kind(folder, kind), f"go on in {other}", then)
    where = options if kind else {"sandbox": True}
    raise Misconfigured(
        _other_kind(folder, kind),
        "run the inputs in a folder of their own",
        run_again(reader).with_options(**where),
    )


def _other_kind(folder: Path, rehearsal: bool) -> str:
    if rehearsal:
        return f"{folder} is a rehearsal, and stays one: no real customer is called from it"
    return f"{folder} is no rehearsal: its customers are called for real"


def check_same_api(reader: LedgerReader, endpoint: Endpoint) -> None:
    """Raise ``Misconfigured`` (78) if the folder was confirmed for another API."""
    kept = reader.base_url()
    if kept is None or same_api(kept, endpoint.base_url):
        return
    if not reader.has_judged():
        raise Misconfigured(
            f"this folder was confirmed for {kept}, where no call was accepted,"
            f" not for {endpoint.base_url}",
            "confirm it anew",
            run_again(reader).with_options(**{"base-url": endpoint.base_url}),
        )
    raise other_api(kept, endpoint.base_url)


def note_user(ledger: Ledger, endpoint: Endpoint) -> None:
    """Note as whom a shared run makes its calls, for those that join it."""
    if ledger.shared:
        ledger.note(USER, endpoint.credentials.user)


def check_same_user(reader: LedgerReader, endpoint: Endpoint) -> None:
    """Raise ``Misconfigured`` (78) for who would make the calls of a run as somebody else.

    That may be a user of another org, where the same ids are other customers; and the rate that
    senders keep together is that of one user.
    """
    noted, user = reader.note(USER), endpoint.credentials.user
    if noted not in (None, user):
        raise Misconfigured(
            f"this run makes its calls as {noted}, not as {user}, who may belong to another org",
            "set the credentials of the other senders; to change those of all, `stop` the job and"
            " `resume` it",
        )


def is_confirmed_anew(reader: LedgerReader, endpoint: Endpoint) -> bool:
    """Whether a run takes the folder to another API, which it may while none judged a call.

    Raises ``Misconfigured`` (78) where it may not.
    """
    kept = reader.base_url()
    if kept is None or same_api(kept, endpoint.base_url):
        return False
    if reader.has_judged():
        raise other_api(kept, endpoint.base_url)
    return True


def other_api(kept_url: str, url: str) -> Misconfigured:
    """The error of a folder that was confirmed for ``kept_url`` and is now to send to ``url``."""
    return Misconfigured(
        f"this folder was confirmed for {kept_url}, not for {url}",
        "use the same base URL, or another --out folder",
        lacking={"base-url": kept_url},
    )


def check_orgs(ledger: Ledger, endpoint: Endpoint) -> None:
    """Raise ``Misconfigured`` (78) if the endpoint does not take the orgs of the ledger."""
    check_scope(endpoint.base_url, ledger.reader.has_other_orgs())
