"""The command line: arguments in, words and exit codes out; empty, so that --help starts fast."""
