import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors import numpy as safetensors

from conv_jax import data, interop, models
from experiments.__main__ import main
from experiments.after import export, export_images, weights

ALONE = (
    "import sys; sys.modules.update(conv_jax=None, experiments=None, flax=None)\n"
    "import numpy as np; grey = np.load('grey.npy')\n"
)


@pytest.fixture(scope="module")
def network(trained_run):
    return weights.of_run(trained_run, seed=1)


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    """All formats of the second network."""
    folder = tmp_path_factory.mktemp("exported") / "files"
    assert main(["export", str(trained_run), "--seed", "1", "--to", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def grey():
    return np.random.default_rng(0).uniform(0, 255, (7, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def logits(network, grey):
    return np.asarray(jax.jit(network.apply)(grey))


def block(folder, file):
    """Return the lines by which README.md loads a file."""
    (text,) = re.findall(
        rf"## {file}\n.*?```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL
    )
    return text


STORED = [("digits", 8, 1, 1), ("mnist", 28, 1, 0), ("idx", 27, 3, 0), ("idx", 40, 3, 0)]


@pytest.mark.parametrize(("data_name", "size", "channels", "tolerance"), STORED, ids=str)
def test_an_image_becomes_what_the_network_was_trained_on(
    network, tmp_path, monkeypatch, data_name, size, channels, tolerance
):
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, channels), dtype=np.uint8)
    trained_on = data.resize(image, image_size=max(size, 32))
    other = network._replace(
        data=data_name,
        stored_size=(size, size),
        options={**network.options, "image_shape": trained_on.shape[1:]},
    )
    monkeypatch.chdir(tmp_path)
    Image.fromarray(image[0].squeeze()).save("image.png")
    (tmp_path / "README.md").write_text(export_images.about(other))
    names = {}
    exec(block(tmp_path, "Images"), names)
    assert names["grey"].dtype == np.float32
    np.testing.assert_allclose(names["grey"], trained_on, rtol=0, atol=tolerance)  # Pillow rounds


def test_images_are_described(exported):
    text = (exported / "README.md").read_text()
    assert (
        "Those of the training had 8x8 pixels, light on dark.\nThey were enlarged 4 times" in text
    )


def test_images_of_unknown_size_are_not_said_to_be_as_they_were(network):
    text = export_images.about(network._replace(data="idx", stored_size=None))
    assert "is not recorded" in text


def assert_same(actual, expected):
    """Compare logits of two programs: sums of at most 785 terms, in other orders."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_folder_holds_the_formats_and_how_they_are_loaded(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {"weights.safetensors", "torch.safetensors", "model.stablehlo", "README.md"}


def test_the_program_runs_as_its_lines_say_where_our_code_is_not(exported, grey, logits):
    np.save(exported / "grey.npy", grey)
    code = ALONE + block(exported, "model.stablehlo") + "np.save('logits.npy', logits)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(np.load(exported / "logits.npy"), logits)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_program_takes_any_number_of_images(exported, grey, logits, batch):
    program = jax.export.deserialize((exported / "model.stablehlo").read_bytes())
    assert_same(program.call(jnp.asarray(grey[:batch])), logits[:batch])


def test_the_program_is_for_every_platform(exported):
    program = jax.export.deserialize((exported / "model.stablehlo").read_bytes())
    assert program.platforms == ("cpu", "cuda", "tpu")


def test_the_programs_lines_take_whole_numbers(exported, grey, monkeypatch):
    monkeypatch.chdir(exported)
    names = {"grey": grey.astype(np.uint8)}
    exec(block(exported, "model.stablehlo"), names)
    assert names["logits"].shape == (7, 10)


def test_our_file_loads_as_its_lines_say(exported, grey, logits, monkeypatch):
    monkeypatch.chdir(exported)
    names = {"grey": grey}
    exec(block(exported, "weights.safetensors"), names)
    assert_same(names["logits"], logits)


def test_pytorchs_file_gives_the_parameters_back(exported, network):
    state_dict = safetensors.load_file(exported / "torch.safetensors")
    params = interop.from_torch(state_dict, image_shape=(32, 32, 1))
    jax.tree.map(np.testing.assert_array_equal, params, network.params)


def test_pytorchs_lines_name_the_layers_with_their_sizes(exported):
    text = block(exported, "torch.safetensors")
    compile(text, "README.md", "exec")
    assert re.findall(r"(\w+)=nn\.(Conv2d|Linear)\(([\d, ]+)\)", text) == [
        ("conv1", "Conv2d", "1, 8, 5"),
        ("conv2", "Conv2d", "8, 16, 5"),
        ("fc1", "Linear", "400, 64"),
        ("fc2", "Linear", "64, 10"),
    ]


def test_a_network_that_convolves_is_flipped_for_pytorch(network):
    flipped = network._replace(options={**network.options, "operator": "convolution"})
    written = export.files(flipped, ["torch"])["torch.safetensors"]
    expected = network.params["conv1"]["kernel"][::-1, ::-1, 0, 0]
    np.testing.assert_array_equal(safetensors.load(written)["conv1.weight"][0, 0], expected)


def test_a_small_net_has_no_format_of_pytorch(network):
    options = {"stages": ((2,), (3,)), "num_classes": 10, "image_shape": (16, 16, 1)}
    shapes = jax.eval_shape(models.build(models.SmallNet, **options).init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, np.float32), shapes)
    small = network._replace(params=params, network="SmallNet", options=options)
    assert export.formats_of(small) == ["safetensors", "stablehlo"]
    with pytest.raises(ValueError, match="--format torch: expected a LeNet5, got a SmallNet"):
        export.files(small, ["torch"])


def test_one_format_alone_is_written_into_the_run_by_default(trained_run, capsys):
    assert main(["export", str(trained_run), "--format", "safetensors"]) == 0
    folder = trained_run / "export" / "seed-0"
    lines = capsys.readouterr().out.splitlines()
    names = ["weights.safetensors", "README.md"]
    assert [line.partition("  ")[0] for line in lines] == [str(folder / name) for name in names]


def test_an_export_that_failed_can_be_repeated(trained_run, tmp_path, monkeypatch, capsys):
    def write_on_a_full_disk(path, content):
        path.touch()
        if path.name == "README.md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = ["export", str(trained_run), "--format", "torch", "--to", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_on_a_full_disk)
        assert main(words) == 2
    error = capsys.readouterr().err
    assert error == f"--to: {tmp_path} cannot be written: No space left on device\n"
    assert main(words) == 0


def test_a_folder_that_was_not_named_is_named_alone(trained_run, capsys):
    words = ["export", str(trained_run), "--seed", "1", "--format", "torch"]
    assert main(words) == 0
    assert main(words) == 2
    folder = trained_run / "export" / "seed-1"
    error = capsys.readouterr().err
    assert error == f"{folder} already holds files; name another by --to\n"


MISTAKES = {
    "no_run": (["/nowhere"], "/nowhere: no such folder"),
    "seed": (["RUN", "--seed", "9"], "--seed: expected one of 0, 1, those of RUN, got 9"),
    "used": (["RUN", "--to", "RUN"], "--to: RUN already holds files; choose another"),
    "below_a_file": (["RUN", "--to", "RUN/lock/x"], "--to: RUN/lock/x cannot be written: "),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_callers_mistake_is_one_line_and_writes_nothing(trained_run, capsys, words, message):
    message = message.replace("RUN", str(trained_run))
    words = [word.replace("RUN", str(trained_run)) for word in words]
    before = sorted(trained_run.rglob("*"))
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert len(error.splitlines()) == 1
    assert sorted(trained_run.rglob("*")) == before
