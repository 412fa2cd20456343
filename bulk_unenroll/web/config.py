"""The configuration files of a server: destinations, and people with their roles."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bulk_unenroll.capillary.base_url import parse_base_url
from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.option_values import Rate, parse_rate
from bulk_unenroll.web.gate import ROLES

CREDENTIALS: Final = ("username", "password", "client_key", "client_secret")
PREFIX: Final = "BULK_UNENROLL_"
Kind = TypeVar("Kind", bound=BaseModel)


class Destination(BaseModel):
    """Where calls may go: an API, its highest rate, and how many people must agree.

    ``username_env`` and so on name the variables of the server that hold the credentials, or with
    ``_FILE`` added the path of a file, as in job files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=60)]
    base_url: str
    rate: str = "100/min"
    approvals: Annotated[int, Field(ge=1, le=2)] = 1
    never: tuple[Path, ...] = ()
    username_env: str | None = None
    password_env: str | None = None
    client_key_env: str | None = None
    client_secret_env: str | None = None

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        return parse_base_url(value)  # one with a password would be seen in the list of processes

    @field_validator("rate")
    @classmethod
    def _is_rate(cls, value: str) -> str:
        parse_rate(value)
        return value

    @property
    def most(self) -> Rate:
        """The highest rate."""
        return parse_rate(self.rate)

    def environment(self) -> dict[str, str]:
        """The variables from which a command reads its credentials."""
        found = {}
        for name in CREDENTIALS:
            variable = getattr(self, f"{name}_env")
            for ending in ("", "_FILE"):
                value = os.environ.get(f"{variable}{ending}") if variable else None
                if value is not None:
                    found[f"{PREFIX}{name.upper()}{ending}"] = value
        return found


class _Destinations(BaseModel):
    model_config = ConfigDict(extra="forbid")

    destination: tuple[Destination, ...]


class _People(BaseModel):
    model_config = ConfigDict(extra="forbid")

    people: dict[str, tuple[str, ...]]

    @field_validator("people")
    @classmethod
    def _has_roles(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, roles in value.items():
            if unknown := set(roles) - set(ROLES):
                raise ValueError(f"{name}: {min(unknown)!r} is not a role: {', '.join(ROLES)}")
        return value


def read_destinations(path: Path | None) -> dict[str, Destination]:
    """The destinations of a file, by name. Raises ``Misconfigured`` (78)."""
    if path is None:
        return {}
    found = {one.name: one for one in _read(path, _Destinations).destination}
    return {
        name: one.model_copy(update={"never": tuple(path.parent / never for never in one.never)})
        for name, one in found.items()
    }


def read_people(path: Path) -> Mapping[str, frozenset[str]]:
    """The roles of people, by name. Raises ``Misconfigured`` (78)."""
    return {name: frozenset(roles) for name, roles in _read(path, _People).people.items()}


def _read(path: Path, kind: type[Kind]) -> Kind:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return kind.model_validate(content)
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}", "check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} is not valid TOML: {error}", "correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Misconfigured(f"{path}: {where}: {first['msg']}", "correct it") from None
