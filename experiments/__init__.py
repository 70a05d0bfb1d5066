"""The experiments: one file each, read top to bottom; `python -m experiments --help`."""
