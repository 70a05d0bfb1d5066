"""Checkpoints of a run that are whole or are not there: the only file that knows orbax."""

import contextlib
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from conv_jax import manifest

FORMAT = 1
ABOUT = "about.json"

Leaves = dict[str, Any]  # by what leads to them, as in "state.params['w']"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read, and why, in one line."""


class Restored(NamedTuple):
    """What the newest sound checkpoint holds."""

    step: int
    state: Any  # a tree like `abstract_state`, its arrays bit for bit those that were saved
    about: dict[str, Any]
    damage: str | None  # one line where newer checkpoints are damaged


class Checkpoints:
    """The checkpoints of a run: a folder, and in it a folder for each saved step.

    A step is saved when the caller says so, and the newest `keep` sound ones stay. It is an orbax
    checkpoint with two files more: about.json, and the manifest SHA256SUMS, which
    `sha256sum --check` reads too. All of it is on the disk before a rename gives the step its
    name, so neither the end of the process nor that of the machine leaves half a step. Orbax does
    not notice when a bit of an array has changed; the manifest does.

    Of several processes all must save and restore; they share the folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = Checkpoints(Path(folder), keep=1)
    ...     checkpoints.save(7, {"w": jnp.ones(3)}, about={"seed": 0})
    ...     restored = checkpoints.restore({"w": jnp.zeros(3)})
    >>> restored.step, restored.state["w"].tolist(), restored.about
    (7, [1.0, 1.0, 1.0], {'seed': 0})
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        """Name the folder; the first save makes it.

        Args:
          folder: of these checkpoints alone.
          keep: how many sound steps stay, at least 1.

        Raises:
          ValueError: if `keep` is below 1.
        """
        if keep < 1:
            raise ValueError(f"keep: expected at least 1, got {keep}")
        self.folder = folder.absolute()
        self.keep = keep

    @property
    def latest_step(self) -> int | None:
        """The newest sound step, None without one."""
        return max(self._sound(self._steps()), default=None)

    def save(self, step: int, state: Any, *, about: Mapping[str, Any]) -> None:
        """Save a step, then delete those that need not stay.

        Args:
          step: above every sound one in the folder.
          state: a tree of arrays; keys may be among them.
          about: what else is needed to go on, as JSON.

        Raises:
          ValueError: if there is a sound step of this number or above.
          CheckpointError: if the step cannot be written; those before it are as they were.
        """
        if newer := self._sound([other for other in self._steps() if other >= step]):
            raise ValueError(f"step: expected one above {max(newer)}, got {step}")
        leaves = _leaves(state)
        keys = {k: str(jax.random.key_impl(leaf)) for k, leaf in leaves.items() if _is_key(leaf)}
        described = {"about": dict(about), "leaves": _descriptions(leaves), "keys": keys}
        text = json.dumps({"format": FORMAT, "step": step, **described})
        try:
            self._write(step, leaves, text)
        except (OSError, RuntimeError, ValueError) as error:
            if jax.process_index() == 0:  # the others could take away what it still writes
                self._clear_away(ignore_errors=True)
            why = _reason(error)
            raise CheckpointError(f"{self.folder}: step {step} cannot be saved: {why}") from error

    def restore(self, abstract_state: Any) -> Restored | None:
        """Restore the newest sound step.

        Args:
          abstract_state: a tree like the saved one, of arrays or `jax.ShapeDtypeStruct`. An array
            comes back with the sharding of its leaf here, on fewer or more devices than it was
            saved from; uncommitted on the default device if its leaf is, or has no sharding.

        Returns:
          The step, None where none was ever saved.

        Raises:
          CheckpointError: if no step is sound, or the newest one that is holds other arrays or is
            of another format.
        """
        step, damaged = self._newest_sound()
        if step is None and not damaged:
            return None
        if step is None:
            raise CheckpointError(
                f"{self.folder}: no checkpoint is sound: {damaged}; without that folder the run "
                "begins anew"
            )
        path, abstract = self._path(step), _leaves(abstract_state)
        described = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        if described["format"] != FORMAT:
            expected = f"expected format {FORMAT}, got {described['format']}"
            raise CheckpointError(f"{path}: {expected}, of another version of conv_jax")
        _check_same(path, _descriptions(abstract), described["leaves"])
        leaves = _load(path, abstract, described["keys"])
        state = jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)
        line = f"{self.folder}: {damaged}; going on from step {step}" if damaged else None
        return Restored(step, state, described["about"], line)

    def _path(self, step: int) -> Path:
        return self.folder / str(step)

    def _partial(self, step: int) -> Path:
        return self.folder / f"{step}.partial"

    def _steps(self) -> list[int]:
        """Return the steps that have a name, sound or not, in their order."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(int(path.name) for path in paths if re.fullmatch("0|[1-9][0-9]*", path.name))

    def _sound(self, steps: list[int]) -> list[int]:
        return [step for step in steps if manifest.damage(self._path(step)) is None]

    def _newest_sound(self) -> tuple[int | None, str]:
        """Return the step to go on from, and what is wrong with those above it."""
        damaged, chosen = [], -1
        for step in reversed(self._steps()):
            what = manifest.damage(self._path(step))
            if what is None:
                chosen = step
                break
            damaged.append(f"step {step} is damaged ({what})")
        if jax.process_count() > 1:  # all go on from the same one
            chosen = int(multihost_utils.broadcast_one_to_all(np.int32(chosen)))
        return None if chosen < 0 else chosen, "; ".join(damaged)

    def _write(self, step: int, leaves: Leaves, about: str) -> None:
        partial, is_first = self._partial(step), jax.process_index() == 0
        if is_first:
            self._make_room(step)
        with _orbax() as ocp:
            ocp.save(partial, _stored(leaves))
        if is_first:
            (partial / ABOUT).write_text(about, encoding="utf-8")
            manifest.seal(partial)
            partial.rename(self._path(step))
            manifest.sync(self.folder)
            for old in self._sound(self._steps())[: -self.keep]:
                shutil.rmtree(self._path(old).rename(self._partial(old)), ignore_errors=True)

    def _clear_away(self, *, ignore_errors: bool = False) -> None:
        for leftover in self.folder.glob("*.partial*"):
            shutil.rmtree(leftover, ignore_errors=ignore_errors)

    def _make_room(self, step: int) -> None:
        """Make the folder, clear what a killed save has left, set damaged steps aside."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            manifest.sync(self.folder.parent)
        self._clear_away()
        for damaged in (self._path(other) for other in self._steps() if other >= step):
            names = (f"{damaged.name}.damaged{number or ''}" for number in itertools.count())
            free = (damaged.with_name(name) for name in names)
            damaged.rename(next(path for path in free if not path.exists()))


@contextlib.contextmanager
def _orbax() -> Iterator[Any]:
    """Give orbax with our options, and without the tracebacks that it logs of errors it raises."""
    from orbax.checkpoint import v1 as ocp

    context = ocp.Context()
    context.array.saving.use_compression = False  # weights hardly compress
    context.array.saving.enable_write_sharding_file = False  # restoring is told the shardings
    context.array.saving.array_metadata_store = None
    context.asynchronous.create_directories_asynchronously = False
    log = logging.getLogger("absl")
    was_disabled, log.disabled = log.disabled, True
    try:
        with context:
            yield ocp
    finally:
        log.disabled = was_disabled


def _leaves(tree: Any) -> Leaves:
    leaves = {
        f"state{jax.tree_util.keystr(p)}": leaf for p, leaf in jax.tree.leaves_with_path(tree)
    }
    for name, leaf in leaves.items():
        if not hasattr(leaf, "dtype"):
            raise ValueError(f"{name}: expected an array, got {type(leaf).__name__}")
    return leaves


def _descriptions(leaves: Leaves) -> dict[str, str]:
    """Return type and shape of every leaf, as in "float32[5,5]" or "key<fry>[]"."""
    return {k: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for k, leaf in leaves.items()}


def _check_same(path: Path, expected: dict[str, str], found: dict[str, str]) -> None:
    none = "no such leaf"
    for name in sorted({*expected, *found}):
        wanted, held = expected.get(name, none), found.get(name, none)
        if wanted != held:
            raise CheckpointError(f"{path}: {name}: expected {wanted}, found {held}")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(leaves: Leaves) -> Leaves:
    """Return the arrays of numbers that are stored; orbax takes none without elements."""
    data = {k: jax.random.key_data(v) if _is_key(v) else v for k, v in leaves.items() if v.size}
    return {k: v if isinstance(v, jax.Array) else np.asarray(v) for k, v in data.items()}


def _load(path: Path, abstract: Leaves, keys: Mapping[str, str]) -> list[Any]:
    """Return the leaves of a step, those of `abstract`; `keys` names what made the keys."""
    templates = {name: _template(leaf) for name, leaf in abstract.items()}
    stored = {name: template for name, template in templates.items() if template.size}
    try:
        with _orbax() as ocp:
            loaded = templates | ocp.load(path, stored)
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {_reason(error)}") from error
    return [_like(leaf, loaded[name], keys.get(name)) for name, leaf in abstract.items()]


def _template(leaf: Any) -> Any:
    """Return what orbax is to load for a leaf: an array of its sharding, or one of NumPy."""
    stored = jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
    sharding = getattr(leaf, "sharding", None) if getattr(leaf, "committed", True) else None
    if sharding is None or not leaf.size:
        return np.empty(stored.shape, stored.dtype)
    return jax.ShapeDtypeStruct(stored.shape, stored.dtype, sharding=sharding)


def _like(leaf: Any, array: Any, impl: str | None) -> Any:
    """Return what was loaded as the kind of array that a leaf is."""
    if isinstance(leaf, np.ndarray | np.generic):
        return array
    array = jnp.array(array) if isinstance(array, np.ndarray) else array
    return array if impl is None else jax.random.wrap_key_data(array, impl=impl)


def _reason(error: Exception) -> str:
    """Say in one line why a file could not be written or read."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    number = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's
    if number:
        return os.strerror(int(number[1]))
    return next(iter(str(error).splitlines()), type(error).__name__)
