"""The named statements of ``ledger.sql``."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final


def _read() -> dict[str, str]:
    text = files(__package__).joinpath("ledger.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


SQL: Final = _read()
