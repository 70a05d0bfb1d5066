"""The commands of the shell: each file adds its own to the parser by `add_to`."""

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130


class CommandError(ValueError):
    """A mistake in what was asked: a line for the user, and exit status 2."""

    def __init__(self, mistake: object) -> None:
        """Take what is to be said, with names of files as they are."""
        from experiments.printed_table import plain  # imports rich, as the parser does not

        super().__init__(plain(mistake))


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return what mends that a package is not there, None where the module is one of ours."""
    if (error.name or "").partition(".")[0] in ("", "conv_jax", "experiments"):
        return None
    return f"{error}: pip install -c constraints.txt -e ."
