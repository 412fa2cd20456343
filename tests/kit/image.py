"""Builds an image from a Containerfile where there is no builder: each stage in a root of its own.

The base is this machine: its system folders and this Python, read-only. What a stage adds is in its
root alone. Needs root, and the right to make a mount namespace.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

LINKS: Final = ("bin", "sbin", "lib", "lib64")
"""To folders of /usr."""
BASE_PATH: Final = f"{sys.base_prefix}/bin:/usr/sbin:/usr/bin"
UNSHARE: Final = ("unshare", "--mount", "--propagation", "private")
WITHIN: Final = f"""
set -e
root=$1 sealed=$2 user=$3 folder=$4; shift 4
mount --bind "$root" "$root"
for place in /usr /etc {sys.base_prefix}; do
    mount --bind "$place" "$root$place"
    mount -o remount,bind,ro "$root$place"
done
for place in /dev /proc; do mount --rbind "$place" "$root$place"; done
mount -t tmpfs -o mode=1777 none "$root/tmp"
if [ "$sealed" = yes ]; then
    mount -t tmpfs -o mode=1777 none "$root/state"
    mount -o remount,bind,ro "$root"
fi
exec chroot --userspec="$user" "$root" sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


class Instruction(NamedTuple):
    """One line of a Containerfile, with those that continue it."""

    name: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """What a Containerfile says, in order."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (line.split(maxsplit=1) for line in joined.splitlines())
    return [Instruction(name, rest) for name, rest in found]


def can_build() -> bool:
    """Whether this user may do here what a builder does."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@dataclass
class Stage:
    """One stage of an image, and what its instructions have set so far."""

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.environment["PATH"] = BASE_PATH
        for place in ("usr", "etc", "dev", "proc", "tmp", sys.base_prefix.lstrip("/")):
            (self.root / place).mkdir(parents=True)
        for link in LINKS:
            (self.root / link).symlink_to(f"usr/{link}")

    def follow(self, instruction: Instruction, stages: dict[str, Stage]) -> None:
        """Do what an instruction says. Raises ``ValueError`` for one that is not known here."""
        name, rest = instruction
        match name:
            case "ARG" | "ENV":
                self._set(shlex.split(rest))
            case "COPY":
                self._copy(rest.split(), stages)
            case "RUN":
                done = self.run(["sh", "-c", rest])
                assert done.returncode == 0, done.stdout + done.stderr
            case "ENTRYPOINT" | "CMD":
                setattr(self, name.lower(), json.loads(rest))
            case "WORKDIR" | "USER":
                setattr(self, name.lower(), rest)
                self._path("").mkdir(parents=True, exist_ok=True)
            case _ if name != "LABEL":
                raise ValueError(f"{name} is not known here")

    def run(
        self, words: Sequence[str], *, sealed: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as its user. ``sealed``: only /tmp and /state can be written."""
        passed_on = {k: v for k, v in os.environ.items() if re.match(r"PIP_|.*_proxy$", k, re.I)}
        how = [str(self.root), "yes" if sealed else "no", self.user, self.workdir]
        return subprocess.run(
            [*UNSHARE, "sh", "-c", WITHIN, "sh", *how, *words],
            env={**passed_on, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def _set(self, words: list[str]) -> None:
        for word in words:
            key, _, value = word.partition("=")
            self.environment[key] = Template(value).safe_substitute(self.environment)

    def _copy(self, words: list[str], stages: dict[str, Stage]) -> None:
        within = self.context
        if words[0].startswith("--from="):
            within = stages[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        for name in sources:
            source, goal = within / name.lstrip("/"), self._path(target)
            if source.is_dir():
                shutil.copytree(source, goal, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(source, goal)

    def _path(self, place: str) -> Path:
        return self.root / (Path(self.workdir) / place).relative_to("/")


def built(text: str, context: Path, within: Path) -> Stage:
    """The last stage of a Containerfile, each of them in a folder ``within``."""
    stages: dict[str, Stage] = {}
    last = ""
    for instruction in instructions(text):
        if instruction.name == "FROM":
            last = instruction.rest.partition(" AS ")[2] or "the image"
            root = within / last
            root.mkdir()
            root.chmod(0o755)
            stages[last] = Stage(root, context)
        else:
            stages[last].follow(instruction, stages)
    return stages[last]
