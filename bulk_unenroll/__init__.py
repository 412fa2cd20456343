"""Take many customers out of Loyalty+ milestones and streaks, one accountable call at a time."""

__version__ = "0.1.0"
