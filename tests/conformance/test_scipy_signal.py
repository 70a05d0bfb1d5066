"""SciPy's own tests of its 2-D and its Fourier convolutions, run on conv_jax through the adapter.

Of the Fourier convolutions the cases over two axes run, also those of arrays with further axes.
Left out are: one axis (marked slow: all of `test_many_sizes`), none, unequal numbers of axes,
wrong flags, and broadcasting; and the one case about scipy.signal.convolve, which is not ours.
"""

import collections
import importlib.util
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

SUITE = "scipy.signal.tests.test_signaltools"
# Without those marked slow.
NUM_CASES = {
    "TestConvolve2d": 19,
    "TestCorrelate2d": 4,
    "TestFFTConvolve": 44,
    "TestAllFreqConvolves": 2,
}
NUM_LEFT_OUT = {"TestFFTConvolve": 64, "TestAllFreqConvolves": 10}
HERE = pathlib.Path(__file__).parent
# A plugin in which conv_jax no longer flips where a convolution should.
BROKEN = """
import scipy_adapter
scipy_adapter.convolve2d = scipy_adapter.correlate2d
scipy_adapter.conv_jax.conv2d = scipy_adapter.conv_jax.corr2d
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


def _count(outcomes, wanted):
    names = [name for name, outcome in outcomes.items() if outcome == wanted]
    return collections.Counter(name.partition(".")[0] for name in names)


def test_no_case_of_scipy_fails(outcomes):
    assert set(outcomes.values()) == {"passed", "skipped"}


def test_all_69_cases_of_scipy_ran(outcomes):
    assert _count(outcomes, "passed") == NUM_CASES


def test_all_other_cases_were_left_out_by_the_adapter(outcomes):
    assert _count(outcomes, "skipped") == NUM_LEFT_OUT


def test_scipy_rejects_a_convolution_that_does_not_flip(tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    cases = ("TestConvolve2d::test_2d_arrays", "TestFFTConvolve::test_2d_real_same")

    outcomes = _outcomes(tmp_path, "broken", *cases)

    assert len(outcomes) == 11
    assert set(outcomes.values()) == {"failure"}
