"""The ledger of a run folder in SQLite. Only ``ledger.opening`` and tests import it."""
