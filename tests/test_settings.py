"""Options and environment: what is taken, what is refused, and that no secret ever shows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.base_url import check_scope, parse_base_url, same_api
from bulk_unenroll.capillary.credentials import (
    Basic,
    Credentials,
    OAuth,
    credentials,
    read_environment,
)
from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.settings import (
    Limit,
    Rate,
    RunSettings,
    is_loopback,
    parse_delimiter,
    parse_duration_s,
    parse_limit,
    parse_rate,
    parse_time_of_day,
    parse_timeout_s,
)

BASE_URL = "https://eu.api.example.com/v3.1"


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "rate", "per_s"),
        [
            ("100/min", Rate(100, 60.0), 100 / 60),
            ("1/s", Rate(1, 1.0), 1.0),
            ("3000/s", Rate(3000, 1.0), 3000.0),
            ("10/h", Rate(10, 3600.0), 10 / 3600),
            (" 7/s ", Rate(7, 1.0), 7.0),
            ("999999999/h", Rate(999999999, 3600.0), 999999999 / 3600),
        ],
    )
    def test_a_rate(self, text: str, rate: Rate, per_s: float) -> None:
        assert parse_rate(text) == rate
        assert rate.per_s == pytest.approx(per_s)
        assert str(rate) == text.strip()

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "100",
            "0/s",
            "-1/s",
            "1.5/s",
            "100/m",
            "100/sec",
            "/s",
            "1 /s",
            "01/s",
            "1e3/s",
            "1/s/s",
            "١/s",
            "1_000/s",
            "1/day",
            "9999999999/s",
        ],
    )
    def test_no_rate(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a valid rate"):
            parse_rate(text)

    @pytest.mark.parametrize(
        ("text", "share"),
        [
            ("0", Limit(0, percent=False)),
            ("12", Limit(12, percent=False)),
            ("0%", Limit(0, percent=True)),
            ("10%", Limit(10, percent=True)),
            ("0.5%", Limit(0.5, percent=True)),
            ("100%", Limit(100, percent=True)),
            (" 50% ", Limit(50, percent=True)),
        ],
    )
    def test_a_number_or_a_percentage(self, text: str, share: Limit) -> None:
        assert parse_limit(text) == share
        assert str(share) == text.strip()

    @pytest.mark.parametrize(
        "text", ["", "%", "-1", "-1%", "101%", "100.1%", "1.5", "ten", "10 %", "10%%", "٣%", "1e2"]
    )
    def test_neither(self, text: str) -> None:
        with pytest.raises(ValueError, match="neither"):
            parse_limit(text)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("90s", 90),
            ("15m", 900),
            ("1h30m", 5400),
            ("1h", 3600),
            ("1h1m1s", 3661),
            ("2h5s", 7205),
            ("0s", 0),
        ],
    )
    def test_a_duration(self, text: str, seconds: float) -> None:
        assert parse_duration_s(text) == seconds

    @pytest.mark.parametrize("text", ["", "90", "m", "1.5h", "30m1h", "-5s", "5 m", "1d", "5ms"])
    def test_no_duration(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a valid duration"):
            parse_duration_s(text)

    @pytest.mark.parametrize(("given", "seconds"), [("0.5", 0.5), ("3600", 3600.0), (75, 75.0)])
    def test_a_timeout(self, given: str | float, seconds: float) -> None:
        assert parse_timeout_s(given) == seconds

    @pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "3601", "soon", "", 0, 3601])
    def test_no_timeout(self, given: str | float) -> None:
        with pytest.raises(ValueError, match="is not a valid number of seconds"):
            parse_timeout_s(given)

    def test_a_time_of_day(self) -> None:
        assert parse_time_of_day("05:00") == time(5)
        for text in ("25:00", "5", "", "05:00:00"):
            with pytest.raises(ValueError, match="is not a valid time of day"):
                parse_time_of_day(text)

    def test_a_delimiter(self) -> None:
        given = {";": ";", "tab": "\t", "\\t": "\t", "^": "^"}
        assert {text: parse_delimiter(text) for text in given} == given
        for text in ("", ",;", '"', "\n"):
            with pytest.raises(ValueError, match="is not a valid delimiter"):
                parse_delimiter(text)

    @pytest.mark.parametrize(
        ("parse", "value"),
        [
            (parse_rate, Rate(100, 60.0)),
            (parse_limit, Limit(50, percent=True)),
            (parse_duration_s, 90.5),
            (parse_timeout_s, 75.0),
            (parse_time_of_day, time(5)),
            (parse_delimiter, "\t"),
        ],
    )
    def test_what_was_read_once_is_taken_as_it_is(
        self, parse: Callable[[object], object], value: object
    ) -> None:
        assert parse(value) == value

    def test_numbers_are_taken_as_a_job_file_or_a_caller_gives_them(self) -> None:
        assert parse_limit(12) == Limit(12, percent=False)
        assert parse_duration_s(90) == 90.0
        for wrong in (-1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="is not a valid duration"):
                parse_duration_s(wrong)

    @given(st.text(max_size=12).filter(lambda text: not text.strip()[:1].isdigit()))
    def test_a_refusal_shows_what_was_typed(self, text: str) -> None:
        for parse in (parse_rate, parse_limit, parse_duration_s):
            with pytest.raises(ValueError, match=r"write|neither") as caught:
                parse(text)
            assert repr(text) in str(caught.value)

    @given(st.integers(1, 10**9 - 1), st.sampled_from(["s", "min", "h"]))
    def test_a_rate_reads_as_it_is_written(self, count: int, unit: str) -> None:
        assert str(parse_rate(f"{count}/{unit}")) == f"{count}/{unit}"


class TestStop:
    """When a run stops by itself: seconds from the command's start."""

    NOON = datetime(2026, 1, 2, 12, 0, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("given", "stop_in_s"),
        [
            ({}, None),
            ({"stop_after_s": 5.0}, 5.0),
            ({"stop_at": time(12, 1)}, 30.0),
            ({"stop_at": time(12, 0)}, 86_400.0 - 30.0),
            ({"stop_at": time(11, 59)}, 86_400.0 - 90.0),
            ({"stop_at": time(12, 1), "stop_after_s": 20.0}, 20.0),
            ({"stop_at": time(12, 1), "stop_after_s": 40.0}, 30.0),
        ],
    )
    def test_the_first_of_a_duration_and_the_next_time_of_day(
        self, given: dict[str, Any], stop_in_s: float | None
    ) -> None:
        assert RunSettings(**given, began_at=self.NOON).stop_in_s == stop_in_s


class TestLimit:
    @pytest.mark.parametrize(
        ("limit", "part", "whole", "exceeded"),
        [
            (Limit(12, percent=False), 12, 12, False),
            (Limit(12, percent=False), 13, 1_000_000, True),
            (Limit(0, percent=False), 0, 0, False),
            (Limit(0, percent=False), 1, 1, True),
            (Limit(10, percent=True), 100, 1000, False),
            (Limit(10, percent=True), 101, 1000, True),
            (Limit(0, percent=True), 0, 0, False),
            (Limit(0, percent=True), 1, 1000, True),
            (Limit(100, percent=True), 1000, 1000, False),
            (Limit(0.1, percent=True), 2, 1000, True),
        ],
    )
    def test_more_than_the_limit(self, limit: Limit, part: int, whole: int, exceeded: bool) -> None:
        assert limit.exceeded(part, whole) is exceeded

    def test_a_percentage_counts_from_the_least_on_and_a_number_at_once(self) -> None:
        assert not Limit(50, percent=True).exceeded(99, 99, least=100)
        assert Limit(50, percent=True).exceeded(51, 100, least=100)
        assert Limit(5, percent=False).exceeded(6, 6, least=100)

    @given(st.integers(0, 100), st.integers(0, 10**9), st.integers(0, 10**9))
    def test_a_percentage_is_exact(self, percent: int, one: int, other: int) -> None:
        part, whole = min(one, other), max(one, other)
        expected = whole > 0 and Fraction(part, whole) > Fraction(percent, 100)
        assert Limit(percent, percent=True).exceeded(part, whole) is expected


# ── the API's address ────────────────────────────────────────────────────────────────────────────


def refusal_of(text: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        parse_base_url(text)
    assert caught.value.code == 78
    assert caught.value.remedy
    return caught.value


class TestBaseUrl:
    @pytest.mark.parametrize(
        ("text", "base_url"),
        [
            (BASE_URL, BASE_URL),
            (f"{BASE_URL}/", BASE_URL),
            (f" {BASE_URL}//\n", BASE_URL),
            ("HTTPS://EU.API.Example.COM/v3.1", BASE_URL),
            ("https://h/api_gateway/intouch-api-v3/v3.1", None),
            ("https://h/CaseMatters/v3.1", None),
            ("https://h", None),
            ("https://h:8443/v3.1", None),
            ("http://127.0.0.1:8080/v3.1", None),
            ("http://127.9.9.9/v3.1", None),
            ("http://localhost:1/v3.1", None),
            ("http://[::1]:8080/v3.1", None),
        ],
    )
    def test_it_is_taken_without_a_trailing_slash(self, text: str, base_url: str | None) -> None:
        assert parse_base_url(text) == (base_url or text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "/v3.1",
            "h/v3.1",
            "ftp://h/v3.1",
            "https://",
            "https:///v3.1",
            "file:///etc/passwd",
            "https://h:port/v3.1",
            "https://h:99999/v3.1",
            "https://[::1/v3.1",
            "javascript:1",
        ],
    )
    def test_what_is_no_url_is_refused(self, text: str) -> None:
        refusal_of(text)

    @pytest.mark.parametrize(
        "text",
        [
            "https://till@h/v3.1",
            "https://till:secret@h/v3.1",
            "https://@h/v3.1",
            "https://:@h/v3.1",
            "https://h/v3.1?a=b",
            "https://h/v3.1#top",
        ],
    )
    def test_it_holds_a_host_and_a_path_only(self, text: str) -> None:
        assert "host and a path only" in refusal_of(text).reason

    @pytest.mark.parametrize(
        "host",
        [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "[fe80::1]",
            "2130706433",
            "127.1",
        ],
    )
    def test_plain_http_goes_to_this_machine_only(self, host: str) -> None:
        assert "in the clear" in refusal_of(f"http://{host}/v3.1").reason

    @pytest.mark.parametrize(
        "text",
        [
            "https://till:hunter2@h/v3.1",
            "ftp://till:hunter2@h/v3.1",
            "https://till:hunter2/v3.1",
            "http://till:hunter2@h/v3.1",
            "https://h/v3.1?secret=hunter2",
            "till:hunter2@h/v3.1",
        ],
    )
    def test_a_password_typed_into_it_is_not_repeated(self, text: str) -> None:
        refusal = refusal_of(text)
        assert "hunter2" not in f"{refusal} {refusal.reason} {refusal.remedy} {refusal!r}"

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("localhost", True),
            ("LOCALHOST", True),
            ("127.0.0.1", True),
            ("::1", True),
            ("example.com", False),
            ("128.0.0.1", False),
            ("", False),
        ],
    )
    def test_loopback_is_told_without_asking_the_network(self, host: str, expected: bool) -> None:
        assert is_loopback(host) is expected


class TestSameApi:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (BASE_URL, BASE_URL),
            (BASE_URL, "https://eu.api.example.com:443/v3.1"),
            ("http://127.0.0.1:1/v3.1", "http://127.0.0.1:65535/v3.1"),
            ("http://localhost/v3.1", "http://localhost:8080/v3.1"),
            ("http://[::1]:1/v3.1", "http://[::1]:2/v3.1"),
        ],
    )
    def test_the_same(self, one: str, other: str) -> None:
        assert same_api(one, other)
        assert same_api(other, one)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (BASE_URL, "https://us.api.example.com/v3.1"),
            (BASE_URL, "https://eu.api.example.com/v3"),
            (BASE_URL, "https://eu.api.example.com:8443/v3.1"),
            (BASE_URL, "https://eu.api.example.com/V3.1"),
            ("http://127.0.0.1:1/v3.1", "http://127.0.0.1:1/v3"),
            ("http://127.0.0.1:1/v3.1", "https://127.0.0.1:1/v3.1"),
            ("http://127.0.0.1:1/v3.1", "http://localhost:1/v3.1"),
        ],
    )
    def test_another_host_or_prefix_or_port(self, one: str, other: str) -> None:
        assert not same_api(one, other)
        assert not same_api(other, one)

    @pytest.mark.parametrize("text", [BASE_URL, "http://127.0.0.1:9/v3.1"])
    def test_a_trailing_slash_does_not_matter(self, text: str) -> None:
        assert same_api(parse_base_url(text), parse_base_url(f"{text}/"))


class TestScope:
    @pytest.mark.parametrize("base_url", ["https://h/v3.1", "https://h/api_gateway/x/v3.1"])
    def test_another_org_is_called_where_scope_headers_count(self, base_url: str) -> None:
        check_scope(base_url, other_orgs=True)

    @pytest.mark.parametrize("base_url", ["https://h/v3", "https://h", "https://h/v3.1/x"])
    def test_elsewhere_it_is_refused_for_the_parent_might_be_called(self, base_url: str) -> None:
        check_scope(base_url, other_orgs=False)
        with pytest.raises(Misconfigured, match="parent org") as caught:
            check_scope(base_url, other_orgs=True)
        assert caught.value.code == 78


# ── credentials ──────────────────────────────────────────────────────────────────────────────────

SECRETS = {
    "USERNAME": "store123",
    "PASSWORD": "Pass123",
    "PASSWORD_MD5": "2f23fa3579f3f75175793649115c1b25",
    "CLIENT_KEY": "key-word",
    "CLIENT_SECRET": "secret-word",
}
COMPLETE = {
    frozenset({"USERNAME", "PASSWORD"}): Basic,
    frozenset({"USERNAME", "PASSWORD_MD5"}): Basic,
    frozenset({"CLIENT_KEY", "CLIENT_SECRET"}): OAuth,
}
SUBSETS = [frozenset(chosen) for n in range(6) for chosen in itertools.combinations(SECRETS, n)]


class Machine:
    """The environment and the secret files of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        for name in (*SECRETS, "BASE_URL", "TOKEN_URL"):
            monkeypatch.delenv(f"BULK_UNENROLL_{name}", raising=False)
            monkeypatch.delenv(f"BULK_UNENROLL_{name}_FILE", raising=False)

    def set(self, name: str, value: str) -> None:
        self._monkeypatch.setenv(f"BULK_UNENROLL_{name}", value)

    def put(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.write_bytes(content)
        self.set(f"{name}_FILE", str(path))

    def credentials(self) -> Credentials:
        return credentials(read_environment(), BASE_URL)

    def refusal(self) -> Misconfigured:
        with pytest.raises(Misconfigured) as caught:
            self.credentials()
        assert caught.value.code == 78
        return caught.value


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path)


def revealed(found: Credentials) -> tuple[str, str]:
    if isinstance(found, Basic):
        return found.username.get_secret_value(), found.password_md5.get_secret_value()
    return found.key.get_secret_value(), found.secret.get_secret_value()


class TestCredentials:
    @pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
    @pytest.mark.parametrize("from_files", [False, True])
    def test_exactly_one_complete_pair_is_taken(
        self, machine: Machine, names: frozenset[str], from_files: bool
    ) -> None:
        for name in names:
            if from_files:
                machine.put(name, SECRETS[name].encode())
            else:
                machine.set(name, SECRETS[name])
        if names in COMPLETE:
            assert isinstance(machine.credentials(), COMPLETE[names])
        else:
            assert machine.refusal().remedy

    def test_the_password_is_hashed_as_the_api_asks(self, machine: Machine) -> None:
        machine.set("USERNAME", "store123")
        machine.set("PASSWORD", "Pass123")
        found = machine.credentials()
        assert revealed(found) == ("store123", "2f23fa3579f3f75175793649115c1b25")
        assert isinstance(found, Basic)
        assert found.password is not None
        assert found.password.get_secret_value() == "Pass123"

    def test_a_hash_is_taken_as_it_is(self, machine: Machine) -> None:
        machine.set("USERNAME", "store123")
        machine.set("PASSWORD_MD5", SECRETS["PASSWORD_MD5"])
        found = machine.credentials()
        assert revealed(found) == ("store123", SECRETS["PASSWORD_MD5"])
        assert isinstance(found, Basic)
        assert found.password is None

    @pytest.mark.parametrize(
        ("content", "secret"),
        [
            (b"two words", "two words"),
            (b"word\n", "word"),
            (b"word\r\n", "word"),
            (b" word ", " word "),
            (b"word\n\n", "word\n"),
            ("p\u00e4ss\n".encode(), "p\u00e4ss"),
        ],
    )
    def test_of_a_file_only_the_trailing_newline_is_dropped(
        self, machine: Machine, content: bytes, secret: str
    ) -> None:
        machine.set("CLIENT_KEY", "key-word")
        machine.put("CLIENT_SECRET", content)
        assert revealed(machine.credentials()) == ("key-word", secret)

    @pytest.mark.parametrize("name", sorted(SECRETS))
    def test_a_variable_and_its_file_together_are_refused(
        self, machine: Machine, name: str
    ) -> None:
        machine.set(name, SECRETS[name])
        machine.put(name, SECRETS[name].encode())
        reason = machine.refusal().reason
        assert f"BULK_UNENROLL_{name} and BULK_UNENROLL_{name}_FILE" in reason

    @pytest.mark.parametrize("content", [b"", b"\n"])
    def test_an_empty_file_is_refused(self, machine: Machine, content: bytes) -> None:
        machine.set("USERNAME", "store123")
        machine.put("PASSWORD", content)
        assert "is empty" in machine.refusal().reason

    def test_a_file_that_is_not_there_is_refused(self, machine: Machine, tmp_path: Path) -> None:
        machine.set("USERNAME", "store123")
        machine.set("PASSWORD_FILE", str(tmp_path / "nowhere"))
        assert "BULK_UNENROLL_PASSWORD_FILE" in machine.refusal().reason

    def test_an_empty_variable_counts_as_unset(self, machine: Machine) -> None:
        machine.set("USERNAME", "")
        machine.set("CLIENT_KEY", "key-word")
        machine.set("CLIENT_SECRET", "secret-word")
        assert isinstance(machine.credentials(), OAuth)

    def test_the_token_comes_from_the_same_host(self, machine: Machine) -> None:
        machine.set("CLIENT_KEY", "key-word")
        machine.set("CLIENT_SECRET", "secret-word")
        found = machine.credentials()
        assert isinstance(found, OAuth)
        assert found.token_url == "https://eu.api.example.com/v3/oauth/token/generate"

    def test_or_from_where_the_environment_says(self, machine: Machine) -> None:
        machine.set("CLIENT_KEY", "key-word")
        machine.set("CLIENT_SECRET", "secret-word")
        machine.set("TOKEN_URL", "https://auth.example.com/token")
        found = machine.credentials()
        assert isinstance(found, OAuth)
        assert found.token_url == "https://auth.example.com/token"

    def test_but_never_in_the_clear(self, machine: Machine) -> None:
        machine.set("CLIENT_KEY", "key-word")
        machine.set("CLIENT_SECRET", "secret-word")
        machine.set("TOKEN_URL", "http://auth.example.com/token")
        assert "in the clear" in machine.refusal().reason


class TestSecrecy:
    @pytest.mark.parametrize("names", COMPLETE, ids=lambda names: "+".join(sorted(names)))
    def test_no_secret_shows_when_credentials_are_printed(
        self, machine: Machine, names: frozenset[str]
    ) -> None:
        for name in names:
            machine.set(name, SECRETS[name])
        environment, found = read_environment(), machine.credentials()
        shown = f"{found!r} {found} {environment!r} {environment} {environment.model_dump()}"
        assert not [secret for secret in SECRETS.values() if secret in shown]

    @pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
    def test_no_secret_shows_in_a_refusal(self, machine: Machine, names: frozenset[str]) -> None:
        if names in COMPLETE:
            machine.put(sorted(names)[0], b"")  # spoil it
        for name in names:
            machine.set(name, SECRETS[name])
        refusal = machine.refusal()
        shown = f"{refusal!r} {refusal} {refusal.reason} {refusal.remedy}"
        assert not [secret for secret in SECRETS.values() if secret in shown]

    def test_not_even_of_a_file_that_is_no_text(self, machine: Machine) -> None:
        machine.set("USERNAME", "store123")
        machine.put("PASSWORD", b"hunter2\xff")
        refusal = machine.refusal()
        assert "not UTF-8" in refusal.reason
        assert "hunter2" not in f"{refusal!r} {refusal.__cause__!r}"
