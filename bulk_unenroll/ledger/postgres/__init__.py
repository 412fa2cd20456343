"""The ledger of a job in PostgreSQL. Only ``ledger.opening`` and tests import it."""
