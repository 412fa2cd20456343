"""The rows of the ledger, written to files."""
