"""The ledger's rows as files."""
