"""Reads input files into numbered, checked rows."""
