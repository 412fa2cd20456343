"""Sending: the rate, the retries, and when to stop."""
