"""Calls: how fast, when again, when to stop."""
