"""The page of figures: kept as JSON, written as Markdown, by ``pytest --write-proof``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = DOCS / "proof.md"
KEPT: Final = DOCS / "proof.json"
MARK: Final = "<!-- figures: written by `pytest --write-proof` -->"


@dataclass(slots=True)
class Figures:
    """The figures of the attacks of one session."""

    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(
        self, name: str, promise: str, tier: str, test: str, seed: int, measured: dict[str, Any]
    ) -> None:
        """Add figures; those of the same attack and tier are put together."""
        entry = self.found.setdefault(
            f"{name} ({tier})",
            {"attack": name, "promise": promise, "tier": tier, "tests": [], "measured": {}},
        )
        entry["seed"] = seed
        if test not in entry["tests"]:
            entry["tests"].append(test)
        entry["measured"] |= measured

    def write(self) -> None:
        """Merge into what earlier sessions found, and write the page anew."""
        with FileLock(f"{KEPT}.lock"):  # several processes may share the tests
            kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
            for name, entry in self.found.items():
                kept[name] = _merged(kept.get(name, {}), entry)
            KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
            head = PAGE.read_text().partition(MARK)[0]
            PAGE.write_text(f"{head}{MARK}\n\n{_table(kept)}")


def _merged(kept: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of one attack, of which another process may have found a part."""
    tests = {*kept.get("tests", ()), *found["tests"]}
    return found | {
        "tests": sorted(tests),
        "measured": kept.get("measured", {}) | found["measured"],
    }


def _table(kept: dict[str, dict[str, Any]]) -> str:
    lines = ["| attack | what must hold | measured | run again |", "|---|---|---|---|"]
    for _, entry in sorted(kept.items()):
        figures = entry["measured"].items()
        measured = "; ".join(
            f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in figures
        )
        tests = " ".join(f"`{test}`" for test in sorted({_place(test) for test in entry["tests"]}))
        again = f"{tests}, {entry['tier']}, seed {entry['seed']}"
        lines.append(f"| {entry['attack']} | {entry['promise']} | {measured} | {again} |")
    return "\n".join(lines) + "\n"


def _place(test: str) -> str:
    """The file of a test, and its name without parameters."""
    return test.partition("[")[0].removeprefix("tests/proof/")


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
