"""What was planned and done before, for alarms: per API, without customer ids.

Each run folder has a record: in its own ledger, and in a small database of the user. Both may be
deleted: nothing but alarms and the hold of a first time depends on them. Rehearsals have none.
"""
