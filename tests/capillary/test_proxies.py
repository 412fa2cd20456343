"""Which address is called through which proxy."""

from __future__ import annotations

import os

import pytest

from bulk_unenroll.capillary.proxies import proxy_for
from bulk_unenroll.errors import Misconfigured

API = "https://eu.api.example.com"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy:3128/"}, "https://proxy:3128"),
        ({"ALL_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other.com, .example.com"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "eu.api.example.com:443"}, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "ample.com"}, "http://proxy:3128"),
    ],
)
def test_the_variables_that_other_programs_obey(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(f"{API}:443")
    assert (str(found.url) if found else None) == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_this_machine_is_called_directly(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    assert proxy_for(f"http://{host}:8080") is None


def test_its_credentials_are_in_a_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy:3128")
    found = proxy_for(API)
    assert found is not None
    assert found.headers == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
    assert "ss" not in repr(found)


@pytest.mark.parametrize(
    "value",
    ["socks5://secret@proxy:1080", "http://user:secret@proxy:port", "http://", "http://a:secret@"],
)
def test_one_that_cannot_be_used_is_named_without_its_secret(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(Misconfigured, match="HTTPS_PROXY") as caught:
        proxy_for(API)
    assert caught.value.code == 78
    assert "secret" not in f"{caught.value}{caught.value.remedy}"
