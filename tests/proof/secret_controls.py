"""The program with its discretion broken on purpose, or made to break in the middle of a call."""

from __future__ import annotations

from typing import Any

from bulk_unenroll.capillary import judge as protocol
from bulk_unenroll.capillary.auth import Secrets
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.cli.screens import Watch
from bulk_unenroll.model import Call, Step
from bulk_unenroll.sending import runner


def crash() -> None:
    """An internal error, at a moment when the credentials stand in local variables."""

    async def post(self: Client, url: Any, content: bytes, headers: Any, _: Any = None) -> Any:
        raise RuntimeError("broken on purpose")

    Client.post = post  # type: ignore[method-assign,assignment]


def redact_nothing() -> None:
    """What a server repeats is written down as it is."""
    Secrets.redact = lambda self, text: text  # type: ignore[method-assign]


def redact_messages_only() -> None:
    """Codes and request ids are trusted."""

    def legible(text: str, redact: Any, most_chars: int) -> str:
        return str(redact(text)) if most_chars == protocol.MAX_MESSAGE_CHARS else text

    protocol.legible = runner.legible = legible  # type: ignore[attr-defined]


def cut_first() -> None:
    """Texts are cut before secrets are looked for, so that half of one may stay."""
    whole = protocol.legible

    def legible(text: str, redact: Any, most_chars: int) -> str:
        return whole(text[:most_chars], redact, most_chars)

    protocol.legible = legible


def log_ids() -> None:
    """Customers are named in the log unasked."""
    recorded = Watch.recorded

    def telling(self: Watch, call: Call, step: Step) -> None:
        self._log_ids = True
        recorded(self, call, step)

    Watch.recorded = telling  # type: ignore[method-assign]
