"""What sending costs, measured: ``python -m tests.benchmarks --help``."""
