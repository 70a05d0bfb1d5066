from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments import config, lenet5_training
from experiments import correlation_vs_convolution as experiment
from experiments.record import Record

CONFIG = Path("configs/correlation_vs_convolution.toml")
SHORT = (
    "seeds=2",
    "train.epochs=1",
    "train.log_every=2",
    "data.train_size=192",
    "model.channels=[2, 3]",
    "model.hidden=[4]",
)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """What a short run printed, its result, its folder and what its networks came to."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    loaded = config.load(CONFIG, SHORT)
    task = experiment.prepare(loaded)
    record = Record(folder, config.dump(loaded))
    console = Console(width=200, markup=False, highlight=False)
    outcomes, train = {}, lenet5_training.train

    def watched(task, networks, **options):
        outcomes[networks[0].shared["by"]] = train(task, networks, **options)
        return outcomes[networks[0].shared["by"]]

    with pytest.MonkeyPatch.context() as patch, console.capture() as capture:
        patch.setattr(lenet5_training, "train", watched)
        experiment.run(task, record, console)
    return capture.get(), record.results, folder, outcomes


def test_convolution_learns_the_flipped_kernels_bit_for_bit(short):
    *_, outcomes = short
    pairs = zip(outcomes["correlation"], outcomes["convolution, flipped start"], strict=True)
    for correlation, mirrored in pairs:
        for layer in ("conv1", "conv2"):
            learned = correlation.params[layer]["kernel"]
            flipped = mirrored.params[layer]["kernel"]
            np.testing.assert_array_equal(np.flip(flipped, (0, 1)), learned)
            assert (flipped != learned).any()
        for layer in ("fc1", "fc2"):
            for name, learned in correlation.params[layer].items():
                np.testing.assert_array_equal(mirrored.params[layer][name], learned)


def test_losses_and_evaluations_are_those_of_correlation_bit_for_bit(short):
    *_, outcomes = short
    pairs = zip(outcomes["correlation"], outcomes["convolution, flipped start"], strict=True)
    for correlation, mirrored in pairs:
        np.testing.assert_array_equal(mirrored.curve.losses, correlation.curve.losses)
        assert mirrored.evaluations == correlation.evaluations


def test_result_says_which_networks_are_mirror_images(short):
    _, result, *_ = short
    assert result["mirror_images"] == [True, True]
    assert result["largest_difference_of_mirror_images"] == 0


def test_the_same_kernels_make_another_network_by_convolution(short):
    _, result, _, outcomes = short
    correlation, convolution = (outcomes[name][0] for name in ("correlation", "convolution"))
    assert not experiment._is_mirror_image(correlation, convolution)
    assert experiment._distance(correlation, convolution) > 1e-3
    assert result["seeds"] == [0, 1]


@pytest.mark.parametrize("layer", ["conv2", "fc1"])
def test_one_bit_makes_no_mirror_image(short, layer):
    *_, outcomes = short
    correlation, mirrored = (
        outcomes[name][0] for name in ("correlation", "convolution, flipped start")
    )
    kernel = mirrored.params[layer]["kernel"].copy()
    kernel.flat[0] = np.nextafter(kernel.flat[0], np.float32(9))
    params = {**mirrored.params, layer: {**mirrored.params[layer], "kernel": kernel}}
    assert experiment._is_mirror_image(correlation, mirrored)
    assert not experiment._is_mirror_image(correlation, mirrored._replace(params=params))


def test_difference_is_paired(short):
    _, result, *_ = short
    first, second = (np.array(result["accuracy"][n]) for n in ("correlation", "convolution"))
    assert result["difference"]["mean"] == pytest.approx((second - first).mean())
    assert result["difference"]["std"] == pytest.approx((second - first).std(ddof=1))
    assert result["difference"]["n"] == 2


def test_printed_lines_say_what_could_have_been_noticed(short):
    printed, result, *_ = short
    assert "2 of 2 networks are bit for bit those of correlation" in printed
    assert f"a difference of {100 * result['noticeable_difference']:.2f} %" in printed


def test_lines_of_metrics_name_the_program(short):
    *_, folder, _ = short
    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    for name in ("correlation", "convolution", "convolution, flipped start"):
        assert text.count(f'"setting": {{"by": "{name}"}}, "epoch": 1, "loss"') == 2


def test_figure_is_written(short):
    *_, folder, _ = short
    assert (folder / "figures" / "operators.png").stat().st_size > 5000


def test_flipping_turns_kernels_alone():
    params = {"conv1": {"kernel": np.arange(12.0).reshape(2, 3, 1, 2), "bias": np.arange(2.0)}}
    flipped = experiment.flip_kernels(params)
    np.testing.assert_array_equal(flipped["conv1"]["kernel"][0, 0, 0], [10, 11])
    np.testing.assert_array_equal(flipped["conv1"]["bias"], [0, 1])
    jax.tree.map(np.testing.assert_array_equal, experiment.flip_kernels(flipped), params)


def test_clipped_gradients_are_refused():
    with pytest.raises(ValueError, match=r"optimizer\.clip_norm: expected none, .*, got 1\.0"):
        experiment.prepare(config.load(CONFIG, ["optimizer.clip_norm=1"]))


def test_the_operator_is_not_for_the_config_to_say():
    with pytest.raises(config.ConfigError, match=r"model\.operator: unknown key"):
        config.load(CONFIG, ["model.operator=convolution"])
