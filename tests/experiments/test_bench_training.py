import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments import bench_training, config
from experiments.benchmarks import networks, timing, training_summary
from experiments.benchmarks.networks import NETWORKS
from experiments.record import Record

TINY = networks.Network(
    (8, 8, 1),
    (
        *(networks.Conv(2, 3, "VALID"), networks.Relu(), networks.Pool()),
        *(networks.Flatten(), networks.Dense(10)),
    ),
)


def load(*overrides):
    return config.load(Path("configs/bench_training_smoke.toml"), overrides)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A run of a network that compiles soon, without torch, whether it is installed or not."""
    folder = tmp_path_factory.mktemp("bench") / "run"
    loaded = load("layers=['3x3 s1 depthwise 64 @28']")
    console = Console(width=300, markup=False, highlight=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "MATMUL_SIZE", 64)
        patch.setattr(timing.gc, "collect", lambda: 0)  # takes longer than what is timed
        patch.setattr(bench_training, "keep_freed_memory", lambda: False)
        patch.setitem(sys.modules, "torch", None)
        patch.setitem(NETWORKS, "lenet5", TINY)
        task = bench_training.prepare(loaded)
        record = Record(folder, config.dump(loaded))
        with console.capture() as capture, record.running():
            bench_training.run(task, record, console)
    return folder, capture.get(), json.loads((folder / "result.json").read_text())


def test_everyone_is_timed(smoke):
    _, _, result = smoke
    [steps] = result["steps"]
    flax = ("ours", "nnx", "linen")
    assert set(steps["times"]) == {*flax, *(f"{name} in scan" for name in flax)}
    assert len(result["layers"]) == 2
    assert {row["quantity"] for row in result["pools"]} == {"value", "gradient"}
    for row in (steps, *result["layers"], *result["pools"]):
        assert all(times["median"] > 0 for times in row["times"].values())


def test_what_it_came_to_is_said_and_drawn(smoke):
    folder, printed, _ = smoke
    assert "not installed, so not measured: torch" in printed
    assert "lenet5, batch 8: " in printed
    assert "layers, value: lax / ours " in printed
    assert (folder / "table.md").read_text().count("\n## ") == 3
    assert {path.stem for path in (folder / "figures").iterdir()} == {"steps", "layers"}


def test_the_summary_can_be_said_again(smoke):
    folder, printed, _ = smoke
    command = [
        sys.executable,
        "-m",
        "experiments.benchmarks.training_summary",
        folder / "result.json",
    ]
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert again.splitlines()
    assert set(again.splitlines()) <= set(printed.splitlines())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_same_in_nnx_and_linen(name):
    network = NETWORKS[name]
    images = jax.ShapeDtypeStruct((2, *network.image_shape), "float32")

    def shapes(model):
        """Return those of the parameters, sorted, and that of the logits."""
        params = jax.eval_shape(model.init, jax.random.key(0))
        logits = jax.eval_shape(model.apply, params, images)
        return sorted(leaf.shape for leaf in jax.tree.leaves(params)), logits.shape

    by_nnx, by_linen = shapes(networks.nnx_model(network)), shapes(networks.linen_model(network))
    assert by_nnx == by_linen
    assert by_nnx[1] == (2, 10)


def test_lenet5_multiplies_as_much_as_the_notes_say():
    assert networks.step_flops(NETWORKS["lenet5"]) == pytest.approx(9.1e6, rel=0.02)


def test_summary_takes_the_better_of_the_others():
    times = {
        "ours": 2.0,
        "ours in scan": 3.0,
        "nnx": 8.0,
        "linen": 6.0,
        "nnx in scan": 30.0,
        "linen in scan": 60.0,
        "torch": 5.0,
        "torch.compile": 4.0,
    }
    row = {
        "network": "lenet5",
        "batch_size": 1,
        "flops": 10.0,
        "times": {name: {"median": seconds} for name, seconds in times.items()},
    }
    results = {"matmul_flops": 10.0, "steps": [row], "layers": [], "pools": []}

    [step] = training_summary.summarize(results)["steps"]

    ratios = {key: value for key, value in step.items() if "over" in key}
    assert ratios == {
        "over_floor": 2.0,
        "torch_over_ours": 2.0,
        "stock_over_ours": 3.0,
        "scan_over_ours": 1.5,
        "stock_scan_over_ours": 10.0,
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("layers=['9x9']", r"layers: expected some of .*, got '9x9'"),
        ("pools=['none']", r"pools: expected some of .*, got 'none'"),
        ("race.recipe=configs/lenet5_mnist.toml", r"race\.recipe: expected a config of lenet5 w"),
        ("race.recipe=configs/learn_kernel.toml", r"race\.recipe: expected a config of lenet5 w"),
        ("race.recipe=configs/absent.toml", r"configs/absent\.toml: no such file"),
    ],
)
def test_mistakes_are_told(override, message):
    with pytest.raises(ValueError, match=message):
        bench_training.prepare(load(override))


def test_a_slow_call_is_timed_once(monkeypatch):
    task = bench_training.Task(load(), 1, False, timing.Pace(0.01, 0.001, 2, 3), None)
    monkeypatch.setattr(timing, "time_warm", lambda call: call())

    times = bench_training._timed(task, {"slow": (lambda: 50.0, 10), "fast": (lambda: 0.0, 1)})

    assert times["slow"]["median"] == 5.0
    assert times["slow"]["rounds"] == 1
    assert times["fast"]["rounds"] >= 2
    assert np.isfinite(times["fast"]["median"])
