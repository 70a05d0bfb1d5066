"""Training by two processes, which JAX connects: each has one CPU device."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
import test_many_networks as networks

SCRIPT = pathlib.Path(__file__).with_name("one_of_several_processes.py")


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """What two processes measured, of networks divided among them and of batches divided."""
    result = tmp_path_factory.mktemp("processes") / "losses.npz"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(index), "2", str(port), str(result)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    return np.load(result)


def test_networks_are_divided_among_processes(losses):
    _, expected = networks.trained_together()
    bound = networks.bound(expected["loss"])
    np.testing.assert_allclose(losses["together"], expected["loss"][:, :2], rtol=0, atol=bound)


def test_batches_are_divided_among_processes(losses):
    _, expected = networks.trained_alone(1)
    bound = networks.bound(expected["loss"])
    np.testing.assert_allclose(losses["alone"], expected["loss"], rtol=0, atol=bound)
