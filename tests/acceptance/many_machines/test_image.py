"""The image that the examples name: what its Containerfile says, and that it works."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.kit.command import REPO
from tests.kit.image import built, can_build, instructions

FILE = REPO / "Containerfile"
ROWS = "customerId,targetGroupId,targetId\n423000007,1001,2001\n423000014,1001,2001\n"


def faults(text: str) -> set[str]:
    """What would make an image that cannot be trusted, or not be run as the examples run it."""
    said = instructions(text)
    last = max(place for place, one in enumerate(said) if one.name == "FROM")
    bases, final = [one.rest for one in said if one.name == "FROM"], said[last:]
    users = [one.rest for one in final if one.name == "USER"]
    at = [place for place, one in enumerate(final) if one.name in ("RUN", "COPY", "USER")]
    checks = {
        "a base that may change": not all(re.search(r"@sha256:[0-9a-f]{64}\b", b) for b in bases),
        "several bases": len({base.partition(" ")[0] for base in bases}) > 1,
        "root": not users or not re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", users[-1]),
        "root once more": final[at[-1]].name != "USER",
        "everything is copied": any(one.name == "COPY" and one.rest[0] == "." for one in said),
        "something is fetched": any(one.name == "ADD" for one in said),
        "a shell before the program": not any(
            one.name == "ENTRYPOINT" and one.rest.startswith("[") for one in final
        ),
        "a secret": bool(re.search(r"PASSWORD|SECRET|KEY|LEDGER_URL", text)),
    }
    return {name for name, is_wrong in checks.items() if is_wrong}


def test_the_image_is_pinned_and_not_roots() -> None:
    assert faults(FILE.read_text()) == set()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("python:3.13-slim@sha256:" + "0" * 64, "python:3.13-slim", "a base that may change"),
        ("USER 10001:10001", "USER root", "root"),
        ("WORKDIR /state", "RUN touch /x", "root once more"),
        ("COPY bulk_unenroll", "COPY . .\nCOPY bulk_unenroll", "everything is copied"),
        ('ENTRYPOINT ["bulk-unenroll"]', "ENTRYPOINT bulk-unenroll", "a shell before the program"),
        ("ARG EXTRAS", "ARG PASSWORD\nARG EXTRAS", "a secret"),
    ],
    ids=lambda words: words[:12],
)
def test_a_file_that_breaks_this_is_noticed(old: str, new: str, fault: str) -> None:
    """The control."""
    text = FILE.read_text()
    assert old in text
    assert faults(text.replace(old, new)) == {fault}


@pytest.mark.thorough
@pytest.mark.skipif(not shutil.which("hadolint"), reason="hadolint is not installed")
def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    def said(text: str) -> str:
        file = tmp_path / "Containerfile"
        file.write_text(text)
        done = subprocess.run(["hadolint", str(file)], capture_output=True, text=True, check=False)
        return done.stdout

    assert said(FILE.read_text()) == ""
    assert "DL3000" in said(FILE.read_text().replace("WORKDIR /src", "WORKDIR src"))


@pytest.mark.thorough
@pytest.mark.skipif(not can_build(), reason="only root may build an image, in a mount namespace")
def test_the_image_works_as_another_user_in_a_read_only_root(tmp_path: Path) -> None:
    """Its steps run in empty roots over this machine's system; pip fetches what is installed."""
    with TemporaryDirectory(dir=tmp_path) as folder:  # which holds more than tests leave behind
        image = built(FILE.read_text(), REPO, Path(folder))

        def start(*words: str) -> subprocess.CompletedProcess[str]:
            return image.run([*image.entrypoint, *(words or image.cmd)], sealed=True)

        assert "Usage: bulk-unenroll" in start().stdout
        look = "id -u; touch /opt/unenroll/x /x || echo sealed"
        assert image.run(["sh", "-c", look], sealed=True).stdout.split() == ["10001", "sealed"]
        rehearse = "bulk-unenroll run a.csv --sandbox --yes --rate 50/s --json"
        ended = image.run(["sh", "-c", f"printf '{ROWS}' >a.csv && {rehearse}"], sealed=True)
        assert ended.returncode == 0, ended.stderr
        assert '"succeeded": 2' in ended.stdout
        ledger = "postgresql://u@127.0.0.1:9/x"
        away = start("work", "--ledger", ledger, "--job", "cleanup")
        assert away.returncode == 75, away.stderr  # and not 78: psycopg is there
