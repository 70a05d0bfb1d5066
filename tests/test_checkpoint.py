import contextlib
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import manifest
from conv_jax.checkpoint import ABOUT, CheckpointError, Checkpoints

ABOUT_STEP = {"rows": 12, "config": {"seed": 0, "optimizer": {"learning_rate": 0.1}}}


class State(NamedTuple):
    step: Any
    params: Any
    opt_state: Any
    average: Any
    key: Any
    settings: Any


def numbers(*shape, dtype=np.float32, seed=0):
    """Return any bits, NaNs of every payload, infinities and negative zeros among them."""
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    drawn = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return jnp.asarray(drawn.view(dtype).reshape(shape))


def make_state(*, seed=0, members=3):
    """Return the state of some members in one program, with every kind of leaf."""
    params = {
        "conv1": {"kernel": numbers(members, 3, 3, 1, 2, seed=seed)},
        "half": numbers(members, 5, dtype=jnp.bfloat16, seed=seed),
        "negative_zero": jnp.asarray(np.full((members, 2), -0.0, np.float32)),
    }
    trace = optax.TraceState(trace=jax.tree.map(lambda leaf: leaf, params))
    return State(
        step=jnp.asarray(np.full(members, 7 + seed, np.int32)),
        params=params,
        opt_state=(optax.EmptyState(), (trace, optax.ScaleByScheduleState(count=jnp.int32(9)))),
        average=None,
        key=jax.random.wrap_key_data(numbers(members, 2, dtype=np.uint32, seed=seed)),
        settings={
            "optimizer.learning_rate": numbers(members, seed=seed),
            "a/b": jnp.asarray([True, False]),
            "none_at_all": jnp.zeros((0, 3)),
        },
    )


def bits(tree):
    """Return type, shape and bytes of every array."""
    leaves = [
        jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
        for leaf in jax.tree.leaves(tree)
    ]
    return [(str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()) for leaf in leaves]


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory):
    """Steps 1, 2 and 3 as they were saved; copy before you change them."""
    checkpoints = Checkpoints(tmp_path_factory.mktemp("checkpoints") / "steps", keep=3)
    for step in (1, 2, 3):
        checkpoints.save(step, make_state(seed=step), about={**ABOUT_STEP, "rows": step})
    return checkpoints


@pytest.fixture
def copied(three_steps, tmp_path):
    """A copy of the steps, to be damaged."""
    shutil.copytree(three_steps.folder, tmp_path / "steps")
    return Checkpoints(tmp_path / "steps", keep=3)


def steps_of(checkpoints):
    return sorted(path.name for path in checkpoints.folder.iterdir())


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[round(position * (len(content) - 1))] ^= 16
    path.write_bytes(content)


def test_a_state_comes_back_bit_for_bit(three_steps):
    state = make_state(seed=3)
    restored = three_steps.restore(jax.tree.map(jnp.zeros_like, make_state()))
    assert bits(restored.state) == bits(state)
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert restored.state.key.dtype == state.key.dtype
    assert (restored.step, restored.about, restored.damage) == (3, {**ABOUT_STEP, "rows": 3}, None)


def test_shapes_alone_are_enough_to_restore(three_steps):
    restored = three_steps.restore(jax.eval_shape(make_state))
    assert bits(restored.state) == bits(make_state(seed=3))


@pytest.mark.parametrize("device", [None, 0], ids=["uncommitted", "committed"])
def test_an_array_is_committed_if_its_leaf_was(three_steps, device):
    place = jax.devices()[device] if device is not None else None
    restored = three_steps.restore(jax.device_put(make_state(), place))
    committed = {leaf.committed for leaf in jax.tree.leaves(restored.state) if leaf.size}
    assert committed == {device is not None}


def test_restoring_changes_no_file(three_steps):
    def seen():
        return [(path, path.stat().st_mtime_ns) for path in files_of(three_steps.folder)]

    before = seen()
    three_steps.restore(jax.eval_shape(make_state))
    assert seen() == before


def test_no_folder_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path / "none")
    assert checkpoints.restore({"w": jnp.zeros(3)}) is None
    assert checkpoints.latest_step is None
    assert not checkpoints.folder.exists()


def test_only_the_newest_steps_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path / "deep" / "steps", keep=2)
    for step in (1, 2, 10):
        checkpoints.save(step, {"w": jnp.ones(2)}, about={})
    assert steps_of(checkpoints) == ["10", "2"]
    assert checkpoints.latest_step == 10


def test_a_damaged_step_is_not_counted_among_those_that_stay(copied):
    flip(copied.folder / "2" / ABOUT, 0.5)
    Checkpoints(copied.folder, keep=2).save(4, make_state(), about={})
    assert steps_of(copied) == ["2", "3", "4"]


@pytest.mark.parametrize("position", [0, 0.3, 0.7, 1], ids="at_{}".format)
def test_a_flipped_bit_of_any_file_is_noticed(copied, position):
    folder = copied.folder / "3"
    files = files_of(folder)
    unnoticed = []
    for path in (path for path in files if path.stat().st_size):
        flip(path, position)
        if manifest.damage(folder) is None:
            unnoticed.append(path)
        flip(path, position)
    assert len(files) > 3
    assert unnoticed == []
    assert manifest.damage(folder) is None


@pytest.mark.parametrize("size", [0, 0.5], ids=["empty", "half"])
def test_a_truncated_file_is_noticed(copied, size):
    folder = copied.folder / "3"
    unnoticed = []
    for path in (path for path in files_of(folder) if path.stat().st_size):
        content = path.read_bytes()
        path.write_bytes(content[: int(size * len(content))])
        if manifest.damage(folder) is None:
            unnoticed.append(path)
        path.write_bytes(content)
    assert unnoticed == []


def test_a_missing_file_is_noticed(copied):
    folder = copied.folder / "3"
    unnoticed = []
    for path in files_of(folder):
        path.rename(copied.folder / "away")
        if manifest.damage(folder) is None:
            unnoticed.append(path)
        (copied.folder / "away").rename(path)
    assert unnoticed == []


def largest_file(folder):
    return max(files_of(folder), key=lambda path: path.stat().st_size)


def test_a_damaged_newest_step_falls_back_and_says_so(copied):
    flip(largest_file(copied.folder / "3"), 0.5)
    name = largest_file(copied.folder / "3").relative_to(copied.folder / "3")
    restored = copied.restore(jax.eval_shape(make_state))
    assert restored.damage == (
        f"{copied.folder}: step 3 is damaged ({name} has changed: its SHA-256 differs); "
        "going on from step 2"
    )
    assert restored.step == copied.latest_step == 2
    assert bits(restored.state) == bits(make_state(seed=2))


def test_no_sound_step_is_one_line_that_names_all(copied):
    for step in ("1", "2", "3"):
        largest_file(copied.folder / step).unlink()
    with pytest.raises(
        CheckpointError, match=r"no checkpoint is sound: step 3 .*; step 2 .*; step 1 "
    ) as e:
        copied.restore(jax.eval_shape(make_state))
    assert "\n" not in str(e.value)
    assert copied.latest_step is None


def test_a_damaged_step_is_set_aside_when_it_comes_again(copied):
    flip(copied.folder / "3" / ABOUT, 0.5)
    flipped = (copied.folder / "3" / ABOUT).read_bytes()
    copied.save(3, make_state(seed=3), about={})
    assert steps_of(copied) == ["1", "2", "3", "3.damaged"]
    assert (copied.folder / "3.damaged" / ABOUT).read_bytes() == flipped
    assert copied.latest_step == 3


@pytest.mark.parametrize("step", [2, 3])
def test_a_sound_step_is_never_written_over(three_steps, step):
    with pytest.raises(ValueError, match=f"step: expected one above 3, got {step}"):
        three_steps.save(step, make_state(), about={})


def test_what_a_killed_save_left_is_cleared_away(copied):
    for left in ("4.partial", "4.partial.orbax-checkpoint-tmp", "1.partial"):
        (copied.folder / left / "state").mkdir(parents=True)
    assert copied.latest_step == 3
    copied.save(4, make_state(), about={})
    assert steps_of(copied) == ["2", "3", "4"]


class Killed(BaseException):
    """The end of the process, as far as the code that is running can tell."""


def killed(*_, **__):
    raise Killed


SEAMS = {
    "before_the_arrays": ("orbax.checkpoint.v1.save", 3),
    "before_about": ("pathlib.Path.write_text", 3),
    "before_the_manifest": ("conv_jax.manifest.seal", 3),
    "before_it_is_on_the_disk": ("os.fsync", 3),
    "before_it_has_its_name": ("pathlib.Path.rename", 3),
    "while_an_old_one_goes": ("shutil.rmtree", 4),
}


@pytest.mark.parametrize(("seam", "latest"), SEAMS.values(), ids=SEAMS)
def test_a_save_that_was_killed_leaves_a_sound_step(copied, monkeypatch, seam, latest):
    monkeypatch.setattr(seam, killed)
    with pytest.raises(Killed):
        copied.save(4, make_state(seed=4), about=ABOUT_STEP)
    monkeypatch.undo()
    again = Checkpoints(copied.folder, keep=3)
    assert again.latest_step == latest
    assert bits(again.restore(make_state()).state) == bits(make_state(seed=latest))
    again.save(5, make_state(seed=5), about=ABOUT_STEP)
    assert steps_of(again) == [str(latest - 1), str(latest), "5"]


def test_a_format_of_the_future_is_refused(copied):
    path = copied.folder / "3" / ABOUT
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    manifest.seal(copied.folder / "3")
    with pytest.raises(CheckpointError, match="/3: expected format 1, got 2, of another version"):
        copied.restore(jax.eval_shape(make_state))


def changed(**changes):
    return make_state()._replace(**changes)


KERNEL = "float32[3,3,3,1,2]"
OTHERS = {
    "shape": (
        {"params": {**make_state().params, "half": jnp.zeros((3, 6), jnp.bfloat16)}},
        r"state.params\['half'\]: expected bfloat16\[3,6\], found bfloat16\[3,5\]",
    ),
    "dtype": (
        {"step": jnp.zeros(3)},
        r"state.step: expected float32\[3\], found int32\[3\]",
    ),
    "missing": (
        {"average": {"w": jnp.zeros(2)}},
        r"state.average\['w'\]: expected float32\[2\], found no such leaf",
    ),
    "left_over": (
        {"settings": {}},
        r"state.settings\['a/b'\]: expected no such leaf, found bool\[2\]",
    ),
    "keys": (
        {"key": jax.eval_shape(lambda: jax.random.split(jax.random.key(0, impl="rbg"), 3))},
        r"state.key: expected key<rbg>\[3\], found key<fry>\[3\]",
    ),
}


@pytest.mark.parametrize(("changes", "message"), OTHERS.values(), ids=OTHERS)
def test_another_state_is_one_line_that_names_the_leaf(three_steps, changes, message):
    with pytest.raises(CheckpointError, match=message):
        three_steps.restore(changed(**changes))


def test_what_is_no_array_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"state\['w'\]: expected an array, got float"):
        Checkpoints(tmp_path).save(1, {"w": 1.0}, about={})
    assert list(tmp_path.iterdir()) == []


def test_about_is_json(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        Checkpoints(tmp_path).save(1, {"w": jnp.ones(1)}, about={"w": jnp.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_keep_below_1_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


LARGE = 1 << 20


def test_a_file_that_cannot_grow_is_one_line_and_the_steps_before_stay_sound(copied):
    state = {"w": numbers(LARGE)}
    with file_size_limit(LARGE), pytest.raises(CheckpointError) as caught:
        copied.save(4, state, about={})
    assert str(caught.value) == f"{copied.folder}: step 4 cannot be saved: File too large"
    assert steps_of(copied) == ["1", "2", "3"]
    assert copied.latest_step == 3
    copied.save(4, state, about={})  # and again, now that it can
    assert bits(copied.restore(state).state) == bits(state)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_steps_before_stay_sound(small_disk):
    checkpoints = Checkpoints(small_disk / "steps")
    checkpoints.save(1, {"w": numbers(1000)}, about={})
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(2, {"w": numbers(LARGE)}, about={})
    message = f"{checkpoints.folder}: step 2 cannot be saved: No space left on device"
    assert str(caught.value) == message
    assert steps_of(checkpoints) == ["1"]
    assert checkpoints.latest_step == 1


@pytest.fixture
def locked_folder():
    """Return a folder, and a context in which nobody may write there: not root either."""
    if os.name != "posix":
        pytest.skip("modes are POSIX's")
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name) / "steps", os.geteuid()
        Path(name).chmod(0o755)

        @contextlib.contextmanager
        def unwritable():
            paths = [folder, *folder.rglob("*")] if folder.exists() else [folder.parent]
            for path in paths:
                path.chmod(0o555 if path.is_dir() else 0o444)
            if user == 0:
                os.seteuid(65534)  # nobody
            try:
                yield
            finally:
                os.seteuid(user)
                for path in paths:
                    path.chmod(0o755)

        yield folder, unwritable


def test_a_read_only_folder_is_one_line_and_still_restores(locked_folder):
    folder, unwritable = locked_folder
    checkpoints, state = Checkpoints(folder), {"w": numbers(10)}
    checkpoints.save(1, state, about={})
    with unwritable():
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(2, state, about={})
        restored = checkpoints.restore(state)
    assert str(caught.value) == f"{folder}: step 2 cannot be saved: Permission denied"
    assert restored.step == 1
    assert steps_of(checkpoints) == ["1"]


def test_a_folder_that_cannot_be_made_is_one_line(locked_folder):
    folder, unwritable = locked_folder
    with unwritable(), pytest.raises(CheckpointError, match="step 1 cannot be saved: Permission"):
        Checkpoints(folder).save(1, {"w": numbers(10)}, about={})
