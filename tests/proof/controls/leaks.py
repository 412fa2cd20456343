"""The program made to leak secrets on purpose, or to crash in the middle of a call."""

from __future__ import annotations

from typing import Any

from bulk_unenroll.capillary import redaction
from bulk_unenroll.capillary.client import Client
from bulk_unenroll.capillary.redaction import Secrets
from bulk_unenroll.commands.steps.call_log import CallLog
from bulk_unenroll.model import Call, Decision
from bulk_unenroll.sending import landing


def crash() -> None:
    """An internal error, while local variables hold the credentials."""

    async def post(self: Client, url: Any, content: bytes, headers: Any, _: Any = None) -> Any:
        raise RuntimeError("broken on purpose")

    Client.post = post  # type: ignore[method-assign,assignment]


def redact_nothing() -> None:
    """Write down unchanged what a server repeats."""
    Secrets.redact = lambda self, text: text  # type: ignore[method-assign]


def redact_messages_only() -> None:
    """Codes and request ids are trusted."""

    def legible(text: str, redact: Any, most_chars: int) -> str:
        return str(redact(text)) if most_chars == redaction.MAX_MESSAGE_CHARS else text

    redaction.legible = landing.legible = legible  # type: ignore[attr-defined]


def cut_first() -> None:
    """Texts are cut before secrets are looked for, so that half of one may stay."""
    whole = redaction.legible

    def legible(text: str, redact: Any, most_chars: int) -> str:
        return whole(text[:most_chars], redact, most_chars)

    redaction.legible = legible


def log_ids() -> None:
    """Customers are named in the log unasked."""
    recorded = CallLog.recorded

    def telling(self: CallLog, call: Call, decision: Decision) -> None:
        self._log_ids = True
        recorded(self, call, decision)

    CallLog.recorded = telling  # type: ignore[method-assign]
