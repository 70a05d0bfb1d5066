"""A run to look back at, for the tests of what is done with one."""

import pytest

from experiments.__main__ import main
from experiments.record import Record

DIGITS = "configs/lenet5_digits.toml"
QUICK = ("train.epochs=3", "model.channels=[8, 16]", "model.hidden=[64]", "checkpoint.every=0")


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """The folder of two networks that know most of the embedded digits; change nothing in it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Record, "save_figure", lambda *_: None)
        assert main(["run", DIGITS, "seeds=2", *QUICK, "--out", str(folder)]) == 0
    return folder
