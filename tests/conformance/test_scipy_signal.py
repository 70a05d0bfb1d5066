"""SciPy's own tests of correlate2d and convolve2d, run on conv_jax through the adapter."""

import collections
import importlib.util
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

SUITE = "scipy.signal.tests.test_signaltools"
NUM_CASES = {"TestConvolve2d": 19, "TestCorrelate2d": 4}  # without the one marked slow
HERE = pathlib.Path(__file__).parent
# A plugin in which conv_jax no longer flips where a convolution should.
BROKEN = """
import scipy_adapter
scipy_adapter.convolve2d = scipy_adapter.correlate2d
from scipy_adapter import pytest_collection_modifyitems
"""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("scipy.signal.tests") is None,
    reason="this SciPy was installed without its tests",
)


def _outcomes(folder, plugin, *nodes):
    """Run a part of the suite in a process of its own; return the outcome of each case."""
    report = folder / "report.xml"
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-c", folder / "pytest.ini", "--pyargs"]
    options = ["-p", plugin, "-p", "no:cacheprovider", "-m", "not slow", f"--junitxml={report}"]
    search = os.pathsep.join([str(folder), str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {key: value for key, value in os.environ.items() if key != "SCIPY_ARRAY_API"}
    finished = subprocess.run(
        [*command, *options, *(f"{SUITE}::{node}" for node in nodes)],
        cwd=folder,
        env=environment | {"PYTHONPATH": search, "JAX_ENABLE_X64": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert report.exists(), finished.stdout + finished.stderr
    cases = xml.etree.ElementTree.parse(report).iter("testcase")
    return {
        f"{case.get('classname').rpartition('.')[2]}.{case.get('name')}": _outcome(case)
        for case in cases
    }


def _outcome(case):
    unusual = {"failure", "error", "skipped"} & {child.tag for child in case}
    return "".join(sorted(unusual)) or "passed"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return _outcomes(tmp_path_factory.mktemp("scipy"), "scipy_adapter", *NUM_CASES)


def test_every_case_of_scipy_passes(outcomes):
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "passed"} == {}


def test_all_23_cases_of_scipy_ran(outcomes):
    classes = collections.Counter(name.partition(".")[0] for name in outcomes)

    assert classes == NUM_CASES


def test_scipy_rejects_a_convolution_that_does_not_flip(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)

    outcomes = _outcomes(tmp_path, "broken", "TestConvolve2d::test_2d_arrays")

    assert outcomes == {"TestConvolve2d.test_2d_arrays[numpy]": "failure"}
