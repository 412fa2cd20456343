"""What places senders on other machines. Each engine's library is imported by one module alone."""
