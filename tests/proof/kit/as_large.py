"""Small files taken for large ones."""

from __future__ import annotations

import pytest


def treat_all_as_large(patch: pytest.MonkeyPatch) -> None:
    """From here on small files are read by columns and loaded in bulk, as large ones are."""
    patch.setattr("bulk_unenroll.inputs.formats.csv_reader.TABLE_FROM_CHARS", 0)
    patch.setattr("bulk_unenroll.ledger.sqlite.loading.BULK_FROM_ROWS", 1)
    patch.setattr("bulk_unenroll.ledger.sqlite.loading.COMMIT_ROWS", 1)
