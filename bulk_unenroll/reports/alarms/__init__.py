"""What about the inputs looks wrong: alarms by what they look at. Pure."""
