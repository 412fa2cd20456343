"""Credentials come complete from the environment, once, and show nowhere."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from bulk_unenroll.capillary.credentials import (
    Basic,
    Credentials,
    OAuth,
    credentials,
    read_environment,
)
from bulk_unenroll.errors import Misconfigured

BASE_URL = "https://eu.api.example.com/v3.1"


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
        self.monkeypatch = monkeypatch
        self._folder = folder
        for name in (*SECRETS, "BASE_URL", "TOKEN_URL"):
            monkeypatch.delenv(f"BULK_UNENROLL_{name}", raising=False)
            monkeypatch.delenv(f"BULK_UNENROLL_{name}_FILE", raising=False)

    def set(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(f"BULK_UNENROLL_{name}", value)

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
    @pytest.mark.parametrize("in_file", [False, True], ids=["variable", "file"])
    @pytest.mark.parametrize(
        ("before", "after", "what"),
        [
            (" ", "", "begins or ends with a blank"),
            ("", " ", "begins or ends with a blank"),
            ("", "\t", "has a control character"),
            ("", "\u00a0", "begins or ends with a blank"),
            ("", "\r", "has a line break"),
            ("", "\n\n", "has a line break"),
            ("first\n", "", "has a line break"),
            ("\ufeff", "", "begins with a byte order mark (BOM)"),
            ('"', '"', "is in quotes"),
            ("'", "'", "is in quotes"),
            ("\x1b[0m", "", "has a control character"),
        ],
    )
    def test_what_a_copy_or_an_editor_adds_to_a_secret_is_told(
        self, machine: Machine, name: str, in_file: bool, before: str, after: str, what: str
    ) -> None:
        for other in next(names for names in COMPLETE if name in names):
            machine.set(other, SECRETS[other])
        value = f"{before}{SECRETS[name]}{after}"
        if in_file:
            machine.monkeypatch.delenv(f"BULK_UNENROLL_{name}", raising=False)
            machine.put(name, value.encode() + (b"\n" if after == "\r" else b""))
        else:
            machine.set(name, value)
        if in_file and after == "\r":  # a file may end with a line end, of Windows too
            machine.credentials()
            return
        reason = machine.refusal().reason
        assert what in reason
        assert f"BULK_UNENROLL_{name}" in reason
        assert SECRETS[name] not in reason

    @pytest.mark.parametrize("password", ["it's", 'a"b', '"', "two words", "p\u00e4ss", "$x'y'"])
    def test_odd_but_possible_passwords_are_taken(self, machine: Machine, password: str) -> None:
        machine.set("USERNAME", "store123")
        machine.set("PASSWORD", password)
        found = machine.credentials()
        assert isinstance(found, Basic)
        assert found.password is not None
        assert found.password.get_secret_value() == password

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
