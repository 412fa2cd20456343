"""Attacks are watched by another process than the one that is attacked."""

from __future__ import annotations

import pytest

from tests.kit.command import Witness, WitnessProcess


@pytest.fixture
def kind_of_witness() -> type[Witness]:
    return WitnessProcess
