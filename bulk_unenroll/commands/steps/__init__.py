"""The steps that commands are made of: connect, order, send, finish."""
