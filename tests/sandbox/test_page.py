"""``docs/sandbox.md`` describes the sandbox as it is."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from bulk_unenroll import sandbox
from bulk_unenroll.sandbox.rules import ACTS, READERS
from bulk_unenroll.sandbox.scenario import Scenario
from tests.kit.command import REPO

PAGE = (REPO / "docs/sandbox.md").read_text("utf-8")


def test_its_scenario_can_be_read_and_has_every_section(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "ids.txt").write_text("423789336\n")
    document = tomllib.loads(text)
    sandbox.parse_scenario(document, tmp_path)
    assert {name.removesuffix("s") for name in document} == {
        field.name.removesuffix("s") for field in fields(Scenario)
    }


def test_it_names_every_act_key_and_credential() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(ACTS)
    assert all(re.search(rf"\b{name}\b", PAGE) for name in READERS)
    for word in (
        sandbox.SANDBOX_USERNAME,
        sandbox.SANDBOX_PASSWORD,
        sandbox.SANDBOX_CLIENT_KEY,
        sandbox.SANDBOX_CLIENT_SECRET,
    ):
        assert f"={word}" in PAGE
