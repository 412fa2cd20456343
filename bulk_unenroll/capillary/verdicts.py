"""Verdicts: what an answer can mean, one class for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.model import State


@dataclass(frozen=True, slots=True)
class Settle:
    """The answer is final for this call. ``mismatch``: its ``data`` names another customer."""

    state: Literal[State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW]
    code: str | None
    message: str | None
    mismatch: bool = False


APPLIED: Final = Settle(State.SUCCEEDED, None, None)


@dataclass(frozen=True, slots=True)
class Block:
    """The target or its whole group is unknown: the remaining rows of it are not called."""

    reach: Reach
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Certainly not applied. ``everyone``: the API asks for a pause of all calls."""

    code: str
    message: str
    everyone: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Certainly not sent."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Perhaps applied: there is no answer that says."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The token or the password was refused."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop sending for this org, or for the run. ``credentials``: exit 77, else 78.

    ``left``: the request may have left this machine.
    """

    reach: Reach
    code: str
    message: str
    credentials: bool = False
    left: bool = True


Verdict = Settle | Block | Retry | Unsent | InDoubt | Unauthorised | Halt
