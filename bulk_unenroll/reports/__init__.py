"""What happened, in figures and words."""
