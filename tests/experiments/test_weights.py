import json

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors
from safetensors import safe_open

from conv_jax import models
from experiments import config, images
from experiments.after import past_runs, weights
from experiments.running import run_folder


@pytest.fixture(scope="module")
def kept(trained_run):
    """The first network of the run."""
    return weights.of_run(trained_run)


@pytest.fixture
def copied(tmp_path, kept):
    """A run folder with one network, to damage."""
    (tmp_path / "weights").mkdir()
    (tmp_path / weights.file_name(0)).write_bytes(weights.to_bytes(kept))
    write_config(tmp_path, {"experiment": "lenet5"})
    return tmp_path


def write_config(folder, table, **result):
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    (folder / run_folder.CONFIG).write_text(text)
    run_folder.write_json(folder / run_folder.ENVIRONMENT, {})
    if result:
        run_folder.write_json(folder / run_folder.RESULT, result)


def metadata(path):
    with safe_open(path, framework="numpy") as file:
        return {key: json.loads(value) for key, value in file.metadata().items()}


@pytest.mark.parametrize("seed", [0, 1])
def test_kept_weights_have_the_evaluated_accuracy(trained_run, seed):
    run = past_runs.read(trained_run)
    kept = weights.of_run(trained_run, seed=seed)
    test = images.load(config.load(trained_run / "config.toml").data)[0].test

    logits = jax.jit(kept.apply)(test.images)

    assert np.mean(logits.argmax(axis=1) == test.labels) == pytest.approx(
        run.result["accuracy"][seed], abs=1e-6
    )


def test_seeds_have_their_own_weights(trained_run):
    first, second = (weights.of_run(trained_run, seed=seed).params for seed in (0, 1))
    assert np.abs(first["conv1"]["kernel"] - second["conv1"]["kernel"]).max() > 0.01


def test_the_file_tells_all_that_is_needed_to_use_it(trained_run):
    told = metadata(trained_run / weights.file_name(1))
    assert told["format"] == 1
    assert told["network"] == "LeNet5"
    assert told["options"]["channels"] == [8, 16]
    assert told["options"]["image_shape"] == [32, 32, 1]
    assert told["class_names"] == list("0123456789")
    assert (told["data"], told["seed"]) == ("digits", 1)
    assert told["stored_size"] == [8, 8]
    assert 0 < told["mean"] < told["std"] < 1


def test_arrays_come_back_bit_for_bit(kept, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(weights.to_bytes(kept))
    assert_same(weights.load(path), kept)


def test_arrays_of_any_layout_come_back(kept, tmp_path):
    path = tmp_path / "x.safetensors"
    turned = jax.tree.map(np.asfortranarray, kept.params)
    path.write_bytes(weights.to_bytes(kept._replace(params=turned)))
    assert_same(weights.load(path), kept)


def assert_same(actual, expected):
    assert actual._replace(params=None) == expected._replace(params=None)
    jax.tree.map(np.testing.assert_array_equal, actual.params, expected.params)


def test_a_small_net_comes_back(kept, tmp_path):
    options = {"stages": ((2,), (3, 3)), "num_classes": 4, "image_shape": (16, 16, 1)}
    shapes = jax.eval_shape(models.build(models.SmallNet, **options).init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes)
    small = kept._replace(params=params, network="SmallNet", options=options)
    path = tmp_path / "x.safetensors"
    path.write_bytes(weights.to_bytes(small))
    assert_same(weights.load(path), small)


def test_no_half_written_file_is_left(trained_run):
    names = [path.name for path in sorted((trained_run / "weights").iterdir())]
    assert names == ["seed-0.safetensors", "seed-1.safetensors"]


def changed(content, **about):
    """Return the file with other metadata."""
    told = {key: json.dumps(value) for key, value in about.items()}
    return safetensors.save(safetensors.load(content), told)


DAMAGES = {
    "truncated": (lambda content: content[:-9], "damaged"),
    "empty": (lambda content: b"", "damaged"),
    "header": (lambda content: b"\xff" * 99, "damaged"),
    "other": (changed, "not the weights of a run"),
    "version": (lambda content: changed(content, format="pt"), "not the weights of a run"),
    "nested": (lambda content: safetensors.save({}, {"x": "[" * 9**5}), "damaged"),
    "newer": (lambda content: changed(content, format=2, conv_jax="9.9"), "by conv_jax 9.9"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_cannot_be_read_is_one_line(copied, damage, message):
    path = copied / weights.file_name(0)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(weights.WeightsError, match=message) as caught:
        weights.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_arrays_of_another_network_are_refused(copied, kept):
    path = copied / weights.file_name(0)
    options = {**kept.options, "channels": (8, 17)}
    path.write_bytes(weights.to_bytes(kept._replace(options=options)))
    with pytest.raises(weights.WeightsError, match="expected arrays of the shapes"):
        weights.load(path)


FOREIGN = {
    "mean": ({"mean": "dark"}, "mean: Input should be a valid number"),
    "std": ({"std": float("nan")}, "std: Input should be a finite number"),
    "class_names": ({"class_names": 10}, "class_names: Input should be a valid tuple"),
    "seed": ({"seed": None}, "seed: Input should be a valid integer"),
    "network": ({"network": "VGG"}, "'VGG'"),
    "options": ({"options": {"hiden": (3,)}}, "hiden"),
}


@pytest.mark.parametrize(("about", "message"), FOREIGN.values(), ids=FOREIGN)
def test_metadata_of_another_kind_are_one_line(copied, kept, about, message):
    path = copied / weights.file_name(0)
    path.write_bytes(weights.to_bytes(kept._replace(**about)))
    with pytest.raises(weights.WeightsError, match=message) as caught:
        weights.load(path)
    assert str(caught.value).startswith(f"{path}: not the weights of a run: ")
    assert "\n" not in str(caught.value)


def test_arrays_of_another_type_are_refused(copied, kept):
    path = copied / weights.file_name(0)
    whole = jax.tree.map(lambda array: array.astype(np.int32), kept.params)
    path.write_bytes(weights.to_bytes(kept._replace(params=whole)))
    with pytest.raises(weights.WeightsError, match="int32"):
        weights.load(path)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(copied, kept, number):
    path = copied / weights.file_name(0)
    kernel = kept.params["conv1"]["kernel"].copy()
    kernel[0, 0, 0, 0] = number
    params = {**kept.params, "conv1": {**kept.params["conv1"], "kernel": kernel}}
    path.write_bytes(weights.to_bytes(kept._replace(params=params)))
    with pytest.raises(weights.WeightsError, match=r"NaN or infinity in conv1\.kernel"):
        weights.load(path)


def test_a_file_that_does_not_tell_the_size_of_the_images_is_read(copied, kept):
    path = copied / weights.file_name(0)
    about = {key: value for key, value in metadata(path).items() if key != "stored_size"}
    path.write_bytes(changed(path.read_bytes(), **about))
    assert_same(weights.load(path), kept._replace(stored_size=None))


def test_a_seed_that_was_not_trained_names_those_that_were(trained_run):
    with pytest.raises(weights.WeightsError, match=r"--seed: expected one of 0, 1, .* got 7"):
        weights.of_run(trained_run, seed=7)


WITHOUT = {
    "older": ({"experiment": "lenet5"}, {"status": "finished"}, "train again with: "),
    "interrupted": ({"experiment": "lenet5"}, {"status": "interrupted"}, "--resume "),
    "killed": ({"experiment": "lenet5"}, {}, "--resume "),
    "failed": ({"experiment": "lenet5"}, {"status": "failed", "error": "x: y"}, "failed: x: y"),
    "another": ({"experiment": "learn_kernel"}, {"status": "finished"}, "of learn_kernel"),
    "sweep": (
        {"experiment": "lenet5", "sweep.seeds": [1]},
        {"status": "finished"},
        "sweep=none KEY=VALUE",
    ),
}


@pytest.mark.parametrize(("table", "result", "message"), WITHOUT.values(), ids=WITHOUT)
def test_a_run_without_weights_says_how_to_get_some(tmp_path, table, result, message):
    write_config(tmp_path, table, **result)
    with pytest.raises(weights.WeightsError, match=message):
        weights.of_run(tmp_path)
