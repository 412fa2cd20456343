"""What may be a base URL, which two are the same API, and where other orgs may be named."""

from __future__ import annotations

import pytest

from bulk_unenroll.capillary.base_url import check_scope, parse_base_url, same_api
from bulk_unenroll.errors import Misconfigured
from bulk_unenroll.urls import is_loopback
from tests.capillary.test_credentials import BASE_URL


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
