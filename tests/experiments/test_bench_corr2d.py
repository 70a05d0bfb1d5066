import json
import mmap
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from conv_jax import plots
from experiments import bench_corr2d, config
from experiments.benchmarks import cells, corr2d_summary, figures, timing
from experiments.benchmarks.cells import Cell, WrongResultError
from experiments.benchmarks.contestants import Contestant, contestants, on_device
from experiments.record import Record

TINY = [
    "grid.sizes=[16]",
    "grid.kernels=['1x3', '4x4']",
    "grid.batches=[2]",
    "clock.compile_limit=1e3",
    "clock.limit=1e3",
    "grid.contestants=['auto', 'separable', 'lax', 'scipy.fftconvolve', 'torch.conv2d']",
]


def load(*overrides):
    return config.load(Path("configs/bench_corr2d_smoke.toml"), [*TINY, *overrides])


def run(folder, *overrides):
    """Run a tiny grid; return the printed lines and the run folder."""
    loaded = load(*overrides)
    task = bench_corr2d.prepare(loaded)
    record = Record(folder, config.dump(loaded))
    console = Console(width=200, markup=False, highlight=False)
    with console.capture() as capture, record.running():
        bench_corr2d.run(task, record, console)
    return capture.get().splitlines()


def be_quick(patch):
    """Leave the process's memory alone: collecting garbage takes longer than what is timed."""
    patch.setattr(timing, "MATMUL_SIZE", 64)
    patch.setattr(timing.gc, "collect", lambda: 0)
    patch.setattr(bench_corr2d, "keep_freed_memory", lambda: False)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw nothing, except in `tiny_run`, which is made first."""
    be_quick(monkeypatch)
    monkeypatch.setattr(figures, "draw", lambda *_: None)


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A run without torch, whether it is installed or not."""
    folder = tmp_path_factory.mktemp("bench") / "run"
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setitem(sys.modules, "torch", None)
        printed = run(folder)
    return folder, printed, json.loads((folder / "result.json").read_text())


def test_every_cell_is_measured(tiny_run):
    _, printed, result = tiny_run
    assert result["status"] == "finished"
    assert len(result["cells"]) == 2 * 2 * 2
    assert all(cell["times"]["auto"]["median"] > 0 for cell in result["cells"])
    assert sum(line.startswith("cell  step") for line in printed) == 8


def test_a_missing_package_is_told(tiny_run):
    _, printed, result = tiny_run
    assert "torch" in result["missing"]
    assert any(line.startswith("not installed, so not measured: ") for line in printed)
    assert all("torch.conv2d" not in cell["times"] for cell in result["cells"])


def test_who_takes_part_depends_on_the_cell(tiny_run):
    _, _, result = tiny_run
    with_separable = {c["kind"] for c in result["cells"] if "separable" in c["times"]}
    with_scipy = {c["quantity"] for c in result["cells"] if "scipy.fftconvolve" in c["times"]}
    assert with_separable == {"separable"}
    assert with_scipy == {"value"}


def test_kinds_share_compiled_programs(tiny_run):
    _, _, result = tiny_run
    kinds = {c["kind"] for c in result["cells"] if "compile" in c["times"]["lax"]}
    assert kinds == {"random"}


def test_the_same_program_is_timed_once(tmp_path):
    overrides = ["grid.contestants=['auto', 'shifted', 'lax']", "grid.kinds=['random']"]
    run(tmp_path / "run", *overrides, "grid.quantities=['value']", "grid.kernels=['1x3']")
    [cell] = json.loads((tmp_path / "run" / "result.json").read_text())["cells"]
    times = cell["times"]
    assert times["shifted"]["same_program"] == "auto"
    assert times["shifted"]["median"] == times["auto"]["median"]
    assert "same_program" not in times["lax"]


def test_limits_are_measured(tiny_run):
    _, _, result = tiny_run
    assert result["limits"]["matmul_flops"] > 0
    [copy] = result["limits"]["copy"]
    assert (copy["n"], copy["batch"]) == (16, 2)
    assert copy["bytes_per_second"] > 0
    assert copy["increment_seconds"] > 0


def test_files_of_a_run(tiny_run):
    folder, _, _ = tiny_run
    pictures = ("ratios_value", "times_gradient", "times_value")
    assert {path.stem for path in (folder / "figures").iterdir()} == set(pictures)
    assert "## gradient, batch of 2, separable kernel" in (folder / "table.md").read_text()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["kind"] for row in rows][:2] == ["random", "separable"]


def test_same_padding_is_right_too(tmp_path):
    """No error: every contestant is checked against the truth."""
    wanted = ["auto", "separable", "lax", "jax.scipy"]
    wanted += ["scipy.correlate2d", "scipy.ndimage.correlate", "scipy.oaconvolve"]
    overrides = ["grid.padding=same", "grid.kernels=['4x4']", f"grid.contestants={wanted}"]
    run(tmp_path / "run", *overrides)


@pytest.mark.parametrize("name", ["cv2.filter2D", "cv2.sepFilter2D"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_opencv_is_right(tmp_path, name, padding):
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'bench' alone")
    overrides = [f"grid.contestants=['{name}']", f"grid.padding={padding}"]
    run(tmp_path / "run", *overrides, "grid.quantities=['value']")


@pytest.mark.parametrize("name", ["torch.conv2d", "torch.fft", "torch.separable"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_torch_is_right(tmp_path, name, padding):
    pytest.importorskip("torch", reason="torch comes with the extra 'bench' alone")
    overrides = [f"grid.contestants=['{name}']", f"grid.padding={padding}"]
    run(tmp_path / "run", *overrides, "grid.kernels=['5x3']")


def shifted_by_one(case):
    """Correlate, one row too low."""
    ready = contestants()["scipy.correlate2d"].make(case)
    return ready and ready._replace(call=lambda: np.roll(ready.call(), 1, axis=-2))


def test_a_wrong_contestant_is_an_error(tmp_path, monkeypatch):
    wrong = {"auto": Contestant(shifted_by_one)}
    monkeypatch.setattr(bench_corr2d, "contestants", lambda: wrong)
    with pytest.raises(WrongResultError, match=r"auto is wrong in .*: value: expected an error up"):
        run(tmp_path / "run", "grid.contestants=['auto']")


def test_a_refused_cell_is_not_measured(tmp_path, monkeypatch):
    refusing = {**contestants(), "direct": Contestant(lambda case: None)}
    monkeypatch.setattr(bench_corr2d, "contestants", lambda: refusing)
    run(tmp_path / "run", "grid.contestants=['direct', 'lax']", "grid.quantities=['value']")
    cells = json.loads((tmp_path / "run" / "result.json").read_text())["cells"]
    assert all(set(cell["times"]) == {"lax"} for cell in cells)


def test_an_interrupted_run_keeps_its_cells(tmp_path, monkeypatch):
    measure, left = bench_corr2d._measure, iter([True, True, False])

    def interrupted(*arguments):
        if not next(left):
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(bench_corr2d, "_measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], len(result["cells"])) == ("interrupted", 2)


def test_large_batches_are_left_out():
    overrides = ["grid.max_bytes=2048", "grid.max_gradient_bytes=1024", "grid.batches=[1, 2]"]
    task = bench_corr2d.prepare(load(*overrides))
    assert [(row["batch"], row["quantity"]) for row in task.left_out] == [(2, "gradient")]
    assert {(c.batch, c.quantity) for c in task.cells} == {
        (1, "value"),
        (1, "gradient"),
        (2, "value"),
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grid.kernels=['17x1']", "grid.kernels: expected kernels within the smallest image, 16, "),
        ("grid.contestants=['lex']", "grid.contestants: expected some of auto, .*, got 'lex'"),
    ],
    ids=["kernel", "contestant"],
)
def test_a_mistake_is_named(override, message):
    with pytest.raises(ValueError, match=message):
        bench_corr2d.prepare(load(override))


def test_a_kernel_is_two_numbers():
    with pytest.raises(config.ConfigError, match=r"grid\.kernels\.0: string should match"):
        load("grid.kernels=['3']")


SMALL = Cell(128, "3x3", "random", 1, "value")
PREDICTIONS = {
    "the_pixels_of_one_kernel": (SMALL._replace(n=256), "taps", 4 * 0.5),
    "the_batch": (SMALL._replace(batch=16), "pixels", 16 * 0.5),
    "the_elements": (SMALL._replace(kernel="6x6"), "taps", 4 * 0.5),
    "the_sides": (SMALL._replace(kernel="6x6"), "sides", 2 * 0.5),
    "nothing": (SMALL._replace(kernel="6x6"), "pixels", 0.5),
}


@pytest.mark.parametrize(("cell", "growth", "seconds"), PREDICTIONS.values(), ids=PREDICTIONS)
def test_time_is_predicted_to_grow_with(cell, growth, seconds):
    assert timing.predict([(SMALL, 0.5)], cell, growth=growth) == pytest.approx(seconds)


def test_the_same_kernel_predicts_best():
    past = [(SMALL, 0.5), (SMALL._replace(kernel="63x63"), 9.0)]
    assert timing.predict(past, SMALL._replace(n=256), growth="taps") == pytest.approx(2.0)


def test_nothing_is_predicted_without_a_past():
    assert timing.predict([], SMALL, growth="taps") is None


def test_a_slow_contestant_is_left_out(tmp_path):
    overrides = ["clock.limit=1e-6", "grid.contestants=['lax']", "grid.quantities=['value']"]
    run(tmp_path / "run", *overrides)
    first, *rest = json.loads((tmp_path / "run" / "result.json").read_text())["cells"]
    assert first["times"]["lax"]["rounds"] == 1
    assert rest[-1]["times"]["lax"]["skipped"].startswith("predicted ")


def test_what_compiles_long_is_left_out_but_never_auto(tmp_path):
    overrides = ["clock.compile_limit=1e-6", "grid.contestants=['auto', 'direct']"]
    run(tmp_path / "run", *overrides, "grid.quantities=['value']", "grid.kernels=['4x4']")
    *_, last = json.loads((tmp_path / "run" / "result.json").read_text())["cells"]
    assert last["times"]["direct"]["skipped"].startswith("compiled for ")
    assert "median" in last["times"]["auto"]


def test_turns_end_with_the_seconds_but_not_before_the_fewest_rounds():
    pace = timing.Pace(seconds=0.02, turn=0.001, min_rounds=3, max_rounds=1000)
    calls = {"slow": lambda: time.sleep(0.015), "fast": lambda: time.sleep(0.001)}
    turns = timing.time_in_turns(calls, pace=pace, seed=0)
    assert len(turns["slow"]) == 3
    assert 3 < len(turns["fast"]) <= 20
    assert np.median(turns["slow"]) > 0.01 > np.median(turns["fast"])


def test_a_turn_that_the_host_disturbed_does_not_count(monkeypatch):
    stolen = iter([0.0, 0.01, *[0.01] * 100])  # in the first turn
    monkeypatch.setattr(timing, "stolen_seconds", lambda: next(stolen))
    seconds = iter([5.0, *[1.0] * 100])
    monkeypatch.setattr(timing, "time_once", lambda call: (next(seconds), None))
    pace = timing.Pace(seconds=4.0, turn=0.0, min_rounds=3, max_rounds=10)
    assert timing.time_in_turns({"it": print}, pace=pace, seed=0) == {"it": [1.0, 1.0, 1.0]}


def test_a_turn_that_was_given_memory_does_not_count(monkeypatch):
    new = iter([0, 2**30, *[2**30] * 100])  # in the first turn
    monkeypatch.setattr(timing, "stolen_seconds", lambda: 0.0)
    monkeypatch.setattr(timing, "page_faults", lambda: next(new))
    seconds = iter([5.0, *[1.0] * 100])
    monkeypatch.setattr(timing, "time_once", lambda call: (next(seconds), None))
    pace = timing.Pace(seconds=4.0, turn=0.0, min_rounds=3, max_rounds=10)
    assert timing.time_in_turns({"it": print}, pace=pace, seed=0) == {"it": [1.0, 1.0, 1.0]}


def test_slow_calls_are_timed_warm(monkeypatch):
    new = iter([0, 2**30, 2**30, 2**31, 2**31, 2**31])  # the third call needs none
    monkeypatch.setattr(timing, "page_faults", lambda: next(new))
    seconds = iter([5.0, 4.0, 3.0])
    monkeypatch.setattr(timing, "time_once", lambda call: (next(seconds), None))
    assert timing.time_warm(print) == 3.0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")
def test_new_memory_is_noticed():
    before = timing.page_faults()
    with mmap.mmap(-1, 5000 * mmap.PAGESIZE) as memory:
        memory[:: mmap.PAGESIZE] = b"1" * 5000
    assert timing.page_faults() - before >= 5000


def test_a_host_that_always_disturbs_does_not_stop_the_clock(monkeypatch):
    stolen = iter(range(1000))
    monkeypatch.setattr(timing, "stolen_seconds", lambda: next(stolen))
    pace = timing.Pace(seconds=0.0, turn=0.0, min_rounds=3, max_rounds=10)
    turns = timing.time_in_turns({"it": lambda: None}, pace=pace, seed=0)
    assert len(turns["it"]) == 3


def test_statistics():
    found = timing.statistics([4.0, 1.0, 2.0, 3.0, 100.0])
    assert found == {"median": 3.0, "iqr": 2.0, "rounds": 5}


def made_up(n=512, kernel="3x3", batch=1, quantity="value", **seconds):
    times = {name.replace("_", "."): {"median": taken} for name, taken in seconds.items()}
    about = {"n": n, "kernel": kernel, "kind": "random", "batch": batch, "quantity": quantity}
    return {**about, "times": times}


def summarize(*cells):
    copies = [
        {"n": n, "batch": 1, "bytes_per_second": 1e10, "increment_seconds": 0.7}
        for n in (128, 512, 2048)
    ]
    return corr2d_summary.summarize(cells, copies=copies)


CELLS = [
    made_up(auto=1.0, direct=1.0, lax=2.0, cv2_filter2D=4.0, torch_conv2d=9.0),
    made_up(kernel="5x5", auto=2.0, direct=1.0, fft=3.0, lax=16.0, torch_conv2d=2.0),
    made_up(kernel="63x63", auto=1.0, lax=1000.0, scipy_fftconvolve=0.5),
    made_up(n=128, auto=1.0, lax=1e-9, cv2_filter2D=1e-9),
    made_up(quantity="gradient", auto=1.0, lax=3.0, torch_conv2d=8.0, torch_separable=2.0),
]


def test_the_best_other_library_is_compared():
    compared = summarize(*CELLS)["others_over_auto"]["value"]
    assert compared["geometric_mean"] == pytest.approx((4 * 1 * 0.5) ** (1 / 3))
    assert compared["least"]["ratio"] == 0.5
    assert (compared["least"]["kernel"], compared["least"]["of"]) == ("63x63", "scipy.fftconvolve")


def test_cells_behind_are_listed():
    compared = summarize(*CELLS)["others_over_auto"]["value"]
    assert compared["below_0.9"] == 1
    assert compared["below_increment"] == 1
    assert [cell["kernel"] for cell in compared["cells_below_0.9"]] == ["63x63"]


def test_a_slower_auto_changes_the_verdict():
    """The same comparison must find the loss in a cell that was won before."""
    slower = made_up(auto=5.0, direct=1.0, lax=2.0, cv2_filter2D=4.0, torch_conv2d=9.0)
    summary = summarize(slower, *CELLS[1:])
    assert summary["others_over_auto"]["value"]["below_0.9"] == 2
    assert summary["others_over_auto"]["value"]["below_increment"] == 1
    assert summary["auto_over_own_best"]["value"]["greatest"]["ratio"] == 5.0


def test_lax_is_compared_over_small_kernels():
    compared = summarize(*CELLS)["lax_over_auto"]["value"]
    assert compared["kernels_up_to_15"]["geometric_mean"] == pytest.approx(4.0)
    assert compared["all_kernels"]["cells"] == 3


def test_auto_is_compared_with_our_best_algorithm():
    compared = summarize(*CELLS)["auto_over_own_best"]["value"]
    assert compared["share_within_1.15"] == 0.5
    assert (compared["greatest"]["ratio"], compared["greatest"]["to"]) == (2.0, "direct")


def test_gradients_have_their_own_numbers():
    summary = summarize(*CELLS)
    assert summary["others_over_auto"]["gradient"]["geometric_mean"] == pytest.approx(2.0)
    assert summary["lax_over_auto"]["gradient"]["all_kernels"]["least"]["ratio"] == 3.0


def test_gradients_are_compared_with_torchs_convolutions_apart():
    cell = made_up(quantity="gradient", auto=1.0, torch_conv2d=6.0, torch_fft=1.5)
    summary = summarize(cell)
    assert summary["torch_over_auto"]["gradient"]["geometric_mean"] == pytest.approx(6.0)
    assert summary["others_over_auto"]["gradient"]["geometric_mean"] == pytest.approx(1.5)


def test_share_of_the_copy_bandwidth():
    [row] = summarize(made_up(n=2048, auto=2 * 8 * 2048**2 / 1e10), *CELLS)["copy_share"]
    assert row["share"] == pytest.approx(0.5)


def test_the_largest_compile_is_found():
    cell = made_up(auto=1.0, fft=1.0)
    cell["times"]["fft"]["compile"] = 7.0
    cell["times"]["auto"]["compile"] = 2.0
    found = summarize(*CELLS, cell)["largest_compile"]
    assert (found["all"]["seconds"], found["all"]["contestant"]) == (7.0, "fft")
    assert found["auto"]["seconds"] == 2.0


def test_a_skipped_contestant_is_not_compared():
    cell = made_up(auto=1.0, lax=2.0)
    cell["times"]["torch.conv2d"] = {"skipped": "predicted 12 s"}
    summary = summarize(cell)
    assert summary["others_over_auto"]["value"] is None
    assert len(corr2d_summary.lines(summary)) == 2


def test_tables_hold_time_ratio_and_name():
    table = corr2d_summary.tables(CELLS)
    assert "| n | 3x3 | 5x5 | 63x63 |" in table
    assert "| 512 | 1e+03 ms (4.00x cv2.filter2D) | 2e+03 ms (1.00x torch.conv2d) |" in table


def test_ratios_are_written_in_their_cells():
    values = np.array([[0.5, np.nan], [2.25, 12.0]])
    figure = plots.ratio_maps(
        {"p": values}, rows=["1", "2"], columns=["a", "b"], title="", label=""
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.5", "", "2.2", "12"]


@pytest.fixture
def case():
    cell = Cell(6, "2x3", "random", 1, "value")
    images = cells.normal(0, (1, 6, 6))
    inputs = cells.make_inputs(cell, images, None, padding="valid", seed=1)
    return cells.Case(cell, "valid", 1, inputs, on_device(inputs), {})


def test_a_program_is_compiled_once_whatever_its_name(case):
    make = contestants()["direct"].make
    assert make(case).compile_seconds is not None
    by_text = {key: program for key, program in case.programs.items() if isinstance(key, str)}
    assert make(case._replace(programs=by_text)).compile_seconds is None


def test_truth_is_the_definition(case):
    windows = np.lib.stride_tricks.sliding_window_view(case.inputs.images[0].astype(float), (2, 3))
    expected = np.einsum("ijab,ab->ij", windows, case.inputs.kernel)
    np.testing.assert_allclose(cells.truth(case)["value"][0], expected, atol=1e-12)
