"""Tells a token that expired, and is replaced, from credentials that are refused."""

from __future__ import annotations

from bulk_unenroll.capillary.auth import Auth
from bulk_unenroll.capillary.verdicts import Unauthorised, Verdict
from bulk_unenroll.model import Call


class TokenRefusals:
    """Remembers which calls had their token refused.

    A call that is refused again with a token fetched after its first refusal will be refused with
    any. Other tokens do not count: they may have expired together with the first.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._newest_when_refused: dict[int, int] = {}

    def next_is_final(self, call: Call) -> bool:
        """Whether another refusal of ``call``, with the token of now, would be final."""
        if not self._auth.renewable:
            return True
        newest = self._newest_when_refused.get(call.id)
        return newest is not None and self._auth.generation > newest

    def record(self, call: Call, generation: int, verdict: Verdict) -> None:
        """``call`` came back with ``verdict``; ``generation`` is that of its token."""
        if isinstance(verdict, Unauthorised):
            self._newest_when_refused.setdefault(call.id, self._auth.generation)
            self._auth.invalidate(generation)
        else:
            self._newest_when_refused.pop(call.id, None)
