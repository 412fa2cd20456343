"""What an answer can mean: one class for each verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.model import State


@dataclass(frozen=True, slots=True)
class Settle:
    """The answer is final for this customer/target. ``mismatch``: ``data`` echoes somebody else."""

    state: Literal[State.SUCCEEDED, State.NOT_ENROLLED, State.FAILED, State.REVIEW]
    code: str | None
    message: str | None
    mismatch: bool = False


APPLIED: Final = Settle(State.SUCCEEDED, None, None)


@dataclass(frozen=True, slots=True)
class Block:
    """The target, or the whole group, is unknown: its remaining rows are not sent."""

    reach: Reach
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Certainly not applied. ``everyone``: the API asks all callers to wait."""

    code: str
    message: str
    everyone: bool = False
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """Certainly never left this machine."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """May have been applied; no answer tells."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The token or the password was not accepted."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Going on makes no sense: for this org, or for the run. ``credentials``: exit 77, else 78.

    ``left``: the request may have left this machine.
    """

    reach: Reach
    code: str
    message: str
    credentials: bool = False
    left: bool = True


Verdict = Settle | Block | Retry | Unsent | InDoubt | Unauthorised | Halt
