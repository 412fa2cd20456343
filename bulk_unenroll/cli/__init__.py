"""The command line: arguments in, words and exit codes out. Imports nothing: --help is fast."""
