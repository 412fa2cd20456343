"""The program with one of its laws broken, for control arms: an attack must notice each."""
