"""Who is let in, and for what: hosts, origins, sessions and people, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bulk_unenroll.web.gate import (
    IDLE_S,
    Asked,
    BehindProxy,
    OwnMachine,
    refused_host,
    refused_origin,
)

HOSTS = frozenset({"127.0.0.1:8520", "localhost:8520", "[::1]:8520"})
FORM = "application/x-www-form-urlencoded"
OWN = "http://127.0.0.1:8520"


def asked(method: str = "GET", kind: str = "", session: str = "", **headers: str) -> Asked:
    named: dict[str, Sequence[str]] = {
        name.replace("_", "-").lower(): value.split("|") for name, value in headers.items()
    }
    return Asked(method, named, kind, session)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8520", None),
        ("LOCALHOST:8520", None),
        ("[::1]:8520", None),
        ("evil.example:8520", 421),
        ("127.0.0.1:1", 421),
        ("0.0.0.0:8520", 421),
        ("127.0.0.1:8520|evil.example", 400),
        ("", 400),
    ],
)
def test_hosts(host: str, status: int | None) -> None:
    refusal = refused_host(asked(Host=host), HOSTS)
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "same-origin", "Origin": OWN}, True),
        ({"Origin": OWN}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8521"}, False),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": OWN}, False),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "none"}, False),
        ({"Sec_Fetch_Site": "same-origin|cross-site"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_only_this_page_s_own_requests_change_anything(
    method: str, headers: dict[str, str], good: bool
) -> None:
    refusal = refused_origin(asked(method, FORM, **headers), HOSTS)
    assert (refusal is None) == good
    assert refused_origin(asked("GET", **headers), HOSTS) is None


@pytest.mark.parametrize("kind", ["text/plain", "application/json", ""])
def test_a_post_that_is_no_form_is_refused(kind: str) -> None:
    refusal = refused_origin(asked("POST", kind, Origin=OWN), HOSTS)
    assert refusal
    assert refusal.status == 403


class TestOwnMachine:
    def test_the_link_opens_a_session_and_the_wrong_one_none(self) -> None:
        own = OwnMachine("anna")
        session = own.open(own.token, 0)
        assert session
        assert own.open("x", 0) is None
        person = own.person(asked(session=session), 10)
        assert person
        assert person.name == "anna"
        assert own.person(asked(session="other"), 10) is None

    def test_it_ends_after_idle_hours_and_not_before(self) -> None:
        own = OwnMachine("anna")
        session = own.open(own.token, 0) or ""
        assert own.person(asked(session=session), IDLE_S - 1)
        assert own.person(asked(session=session), 2 * IDLE_S - 2)
        assert own.person(asked(session=session), 3 * IDLE_S) is None
        assert own.person(asked(session=session), 3 * IDLE_S) is None

    def test_what_a_proxy_says_counts_for_nothing(self) -> None:
        headers = {"X_Forwarded_User": "boss", "X_Proxy_Secret": ""}
        assert OwnMachine("anna").person(asked(**headers), 0) is None


class TestBehindProxy:
    PROXY = BehindProxy("s3cret", {"anna": frozenset({"view"}), "bob": frozenset({"confirm"})})

    @pytest.mark.parametrize(
        ("headers", "who"),
        [
            ({"X_Proxy_Secret": "s3cret", "X_Forwarded_User": "anna"}, "anna"),
            ({"X_Proxy_Secret": "wrong", "X_Forwarded_User": "anna"}, None),
            ({"X_Forwarded_User": "anna"}, None),
            ({"X_Proxy_Secret": "s3cret"}, None),
            ({"X_Proxy_Secret": "s3cret", "X_Forwarded_User": "eve"}, None),
            ({"X_Proxy_Secret": "s3cret", "X_Forwarded_User": "anna|bob"}, None),
            ({"X_Proxy_Secret": "s3cret|s3cret", "X_Forwarded_User": "anna"}, None),
        ],
    )
    def test_one_known_name_and_the_secret(self, headers: dict[str, str], who: str | None) -> None:
        person = self.PROXY.person(asked(**headers), 0)
        assert (person and person.name) == who

    def test_roles(self) -> None:
        headers = {"X_Proxy_Secret": "s3cret", "X_Forwarded_User": "anna"}
        person = self.PROXY.person(asked(**headers), 0)
        assert person
        assert person.may("view")
        assert not person.may("confirm")
