"""What a user would write instead: no ledger, no limiter, no retries.

Each is ``python -m tests.benchmarks.pools.NAME BASE_URL INPUT.csv RESULTS.csv CONCURRENCY``.
"""
