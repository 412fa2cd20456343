"""How calls are authorised, and which secrets are redacted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from bulk_unenroll.capillary.auth import BasicAuth, TokenAuth
from bulk_unenroll.capillary.calls import Reply
from bulk_unenroll.capillary.credentials import Basic, OAuth
from bulk_unenroll.capillary.redaction import KNOWN_TOKENS
from bulk_unenroll.capillary.verdicts import Halt

PASSWORD = 'pa"ss/wo rd'
PAIR = OAuth(SecretStr("key-word"), SecretStr('se"cret/word'), "http://127.0.0.1:1/token")


def basic() -> BasicAuth:
    return BasicAuth(Basic.of(SecretStr("till1"), SecretStr(PASSWORD)))


class Tokens:
    """Answers token calls: the nth with token n, or all with ``answer``."""

    def __init__(self, answer: Reply | None = None) -> None:
        self.given = 0
        self._answer = answer

    async def post(self, url: object, content: bytes, headers: Mapping[str, str]) -> Reply:
        if self._answer:
            return self._answer
        self.given += 1
        document = {"data": {"accessToken": f"token-{self.given}.", "ttlSeconds": 300}}
        return Reply(200, json.dumps(document).encode())


def token_auth(tokens: Any) -> TokenAuth:
    return TokenAuth(PAIR, tokens)


class TestBasic:
    def test_the_header_the_hash_and_the_password_are_redacted(self) -> None:
        auth = basic()
        header = auth.headers["Authorization"]
        digest = Basic.of(SecretStr(""), SecretStr(PASSWORD)).password_md5.get_secret_value()
        for secret in (header.removeprefix("Basic "), header.rstrip("="), digest, PASSWORD):
            assert "***" in str(auth.redact(f"you sent {secret}!"))
            assert secret.removeprefix("Basic ") not in str(auth.redact(f"you sent {secret}!"))

    @pytest.mark.parametrize(
        "spelling",
        [
            PASSWORD.upper(),
            json.dumps(PASSWORD)[1:-1],
            json.dumps(PASSWORD)[1:-1].replace("/", "\\/"),
            quote(PASSWORD, safe=""),
        ],
        ids=["upper case", "JSON", "JSON with the slash escaped", "URL"],
    )
    def test_a_password_is_redacted_in_every_spelling(self, spelling: str) -> None:
        assert basic().redact(f"<{spelling}>") == "<***>"

    def test_a_password_of_less_than_four_characters_is_not_redacted(self) -> None:
        auth = BasicAuth(Basic.of(SecretStr("till1"), SecretStr("or")))
        assert auth.redact("for or nor") == "for or nor"

    def test_none_stays_none(self) -> None:
        assert basic().redact(None) is None


class TestToken:
    async def test_a_refused_token_is_still_redacted(self) -> None:
        auth = token_auth(Tokens())
        await auth.renew(0)
        auth.invalidate(1)
        assert auth.redact("token-1. is no good") == "*** is no good"

    async def test_earlier_tokens_are_redacted_because_calls_in_flight_may_use_them(self) -> None:
        auth = token_auth(Tokens())
        for number in range(KNOWN_TOKENS):
            await auth.renew(number)
        assert auth.redact(f"token-1. and token-{KNOWN_TOKENS}.") == "*** and ***"

    async def test_key_and_secret_are_redacted(self) -> None:
        auth = token_auth(Tokens())
        assert auth.redact('key-word, se"cret/word') == "***, ***"

    async def test_a_refusal_that_repeats_key_and_secret_is_redacted(self) -> None:
        message = f"bad pair {PAIR.key.get_secret_value()}/{PAIR.secret.get_secret_value()}"
        document = {"errors": [{"code": 320001, "message": message}]}
        verdict = await token_auth(Tokens(Reply(401, json.dumps(document).encode()))).renew(0)
        assert isinstance(verdict, Halt)
        assert (verdict.code, verdict.message) == ("320001", "bad pair ***/***")
