"""Reports on what will happen or has happened: plan, summary, page, metrics, notification."""
