"""Values of a parameter that are left to a later tier: ``[8, *thorough(100), *long(1000)]``."""

from __future__ import annotations

from typing import Any

import pytest


def thorough(*values: object) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]


def long(*values: object) -> list[Any]:
    return [pytest.param(value, marks=pytest.mark.long) for value in values]
