"""Files to numbered, checked rows."""
