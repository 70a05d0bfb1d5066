"""The commands of the shell: each file adds its own to the parser by `add_to`."""

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130


class CommandError(ValueError):
    """A mistake in what was asked: lines for the user, and exit status 2."""
