"""The contents of a scenario file. See the package's docstring for the format."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.sandbox import reading
from bulk_unenroll.sandbox.reading import Reader, ScenarioError, read_table
from bulk_unenroll.sandbox.rules import Rule, parse_rules

SANDBOX_USERNAME: Final = "sandbox"
SANDBOX_PASSWORD: Final = "sandbox"  # noqa: S105 - for rehearsals on this machine only
SANDBOX_CLIENT_KEY: Final = "sandbox-key"
SANDBOX_CLIENT_SECRET: Final = "sandbox-secret"  # noqa: S105

STATUSES: Final = {310149: 200, 310011: 200, 320001: 401, 4000: 403, 4001: 503}
"""HTTP status by error code; 400 for the rest.

Only 403 and 503 are documented. Business errors come with 200 as well as with 4xx, but it is not
known which with which, so the default has both.
"""


@dataclass(frozen=True, slots=True)
class BookSpec:
    """The known targets, groups, customers and orgs; None means all."""

    targets: frozenset[tuple[int, int]] | None = None
    groups: frozenset[int] | None = None
    customers: frozenset[int] | None = None
    not_enrolled: frozenset[int] = frozenset()
    orgs: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """The credentials that are accepted."""

    username: str = SANDBOX_USERNAME
    password: str = field(default=SANDBOX_PASSWORD, repr=False)
    client_key: str = SANDBOX_CLIENT_KEY
    client_secret: str = field(default=SANDBOX_CLIENT_SECRET, repr=False)


@dataclass(frozen=True, slots=True)
class OAuthSpec:
    """The life of a token in seconds."""

    ttl_s: float = 300


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """The server's own limit in a sliding minute."""

    per_minute: int | None = None
    retry_after: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """The contents of a scenario file. ``errors_with_status`` is one status for all, or by code."""

    book: BookSpec = BookSpec()
    credentials: CredentialSpec = CredentialSpec()
    oauth: OAuthSpec = OAuthSpec()
    limits: LimitSpec = LimitSpec()
    errors_with_status: int | Mapping[int, int] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    seed: int = 1

    def status_of(self, code: int | str | None) -> int:
        """Return the HTTP status that comes with an error code."""
        if isinstance(self.errors_with_status, int):
            return self.errors_with_status
        number = number_of(code)
        return self.errors_with_status.get(number, STATUSES.get(number, 400))


def number_of(code: int | str | None) -> int:
    """Return an error code as a number, 0 if it is not one."""
    return int(code) if code is not None and str(code).isdecimal() else 0


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; raises ``ScenarioError`` or ``OSError``."""
    try:
        return parse_scenario(tomllib.loads(path.read_text("utf-8")), path.parent)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(" ".join(str(error).split())) from None


def parse_scenario(document: Mapping[str, Any], folder: Path = Path()) -> Scenario:
    """Return the scenario of a TOML document; its file names are relative to ``folder``."""
    return Scenario(**read_table("the scenario", document, _readers(folder), {"rule": "rules"}))


def _readers(folder: Path) -> Mapping[str, Reader]:
    def section(kind: type, name: str, readers: Mapping[str, Reader]) -> Reader:
        return lambda table: kind(**read_table(name, table, readers))

    texts = dict.fromkeys(("username", "password", "client_key", "client_secret"), reading.text)
    limits = {"per_minute": reading.one_id, "retry_after": reading.flag}
    return {
        "book": lambda table: _book(table, folder),
        "credentials": section(CredentialSpec, "[credentials]", texts),
        "oauth": section(OAuthSpec, "[oauth]", {"ttl_s": reading.number()}),
        "limits": section(LimitSpec, "[limits]", limits),
        "errors_with_status": _statuses,
        "rules": parse_rules,
        "seed": reading.integer(0),
    }


def _book(table: object, folder: Path) -> BookSpec:
    readers: dict[str, Reader] = {
        "targets": reading.targets,
        "groups": reading.ids,
        "customers": reading.ids,
        "customers_file": lambda name: _ids_in(folder / reading.text(name)),
        "not_enrolled": reading.ids,
        "orgs": reading.ids,
    }
    values = read_table("[book]", table, readers)
    from_file = values.pop("customers_file", None)
    if from_file is not None:
        values["customers"] = values.get("customers", frozenset()) | from_file
    return BookSpec(**values)


def _ids_in(path: Path) -> frozenset[int]:
    try:
        lines = path.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read: {error}") from None
    found = {line.strip(): number for number, line in enumerate(lines, start=1)}
    for word, number in found.items():
        if word and reading.digits(word) is None:
            raise ValueError(f"must have one id per line, but line {number} is {word!r}")
    return frozenset(int(word) for word in found if word)


def _statuses(value: object) -> int | dict[int, int]:
    status = reading.integer(200, 599)
    if not isinstance(value, Mapping):
        return int(status(value))
    invalid = next((code for code in value if not str(code).isdecimal()), None)
    if invalid is not None:
        raise ValueError(f"must have error codes as keys, not {invalid!r}")
    return {int(code): status(given) for code, given in value.items()}
