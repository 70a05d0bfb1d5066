import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conv_jax import augment
from experiments import config

SMOKE = Path("configs/lenet5_smoke.toml")
STRENGTHS = {
    "shift": 2,
    "rotation": 20.0,
    "scale": 0.3,
    "shear": 20.0,
    "translation": 1.5,
    "elastic": 30.0,
    "erasing": 0.9,
}


def images():
    grey = np.random.default_rng(0).integers(0, 256, (8, 9, 9, 1), dtype=np.uint8)
    return jnp.asarray(grey)


def table(*overrides):
    return config.load(SMOKE, [f"augment.{text}" for text in overrides]).augment.model_dump()


@pytest.mark.parametrize(
    "options",
    [{}, dict.fromkeys(STRENGTHS, 0), dict.fromkeys(STRENGTHS), {"elastic_sigma": 3.0}],
    ids=["nothing", "zeros", "none", "only_a_sigma"],
)
def test_no_strength_is_no_augmentation(options):
    assert augment.from_config(options) is None


def test_the_table_is_off_by_itself():
    assert augment.from_config(table()) is None


def program(changed):
    """Return the text of a program, not compiled, under one name for all."""

    def main(key, images):
        return changed(key, images)

    return jax.jit(main).lower(jax.random.key(0), images()).as_text()


@pytest.mark.parametrize("name", [name for name in STRENGTHS if name != "shift"])
def test_every_strength_of_the_table_is_heard(name):
    weak, strong = (
        program(augment.from_config(table(f"{name}={factor * STRENGTHS[name]}")))
        for factor in (0.5, 1)
    )

    assert weak != strong


@pytest.mark.parametrize(("name", "value"), [("elastic_sigma", 2.0), ("erasing_area", 0.05)])
def test_every_other_option_of_the_table_is_heard(name, value):
    on = ("elastic=30.0", "erasing=0.9")
    without, given = (
        program(augment.from_config(table(*on, *more))) for more in ((), (f"{name}={value}",))
    )

    assert without != given


def test_a_shift_alone_is_random_shift_with_the_same_key():
    shift = functools.partial(augment.random_shift, max_shift=2)

    assert program(augment.from_config(table("shift=2"))) == program(shift)


def test_a_distortion_alone_is_random_distortion_with_the_same_key():
    options = {"shear": 20.0, "elastic": 30.0, "elastic_sigma": 3.0}
    distortion = functools.partial(augment.random_distortion, **options)

    assert program(augment.from_config(options)) == program(distortion)


def test_parts_follow_one_another_each_with_a_key_of_its_own():
    affine = {name: STRENGTHS[name] for name in ("rotation", "scale", "shear", "translation")}

    def in_turn(key, images):
        keys = iter(jax.random.split(key, 3))
        images = augment.random_distortion(next(keys), images, elastic=30.0, **affine)
        images = augment.random_shift(next(keys), images, max_shift=2)
        return augment.random_erasing(next(keys), images, probability=0.9)

    assert program(augment.from_config(STRENGTHS)) == program(in_turn)


def test_all_strengths_but_the_shift_may_be_traced():
    names = [name for name in STRENGTHS if name != "shift"]

    def changed(key, strength):
        return augment.from_config(dict.fromkeys(names, strength))(key, images())

    keys = jax.random.split(jax.random.key(4), 2)
    result = jax.eval_shape(jax.vmap(changed), keys, np.float32([0, 0.9]))

    assert (result.shape, result.dtype) == ((2, 8, 9, 9, 1), np.uint8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotaton": 3.0}, "augment: expected some of rotation, .*, got 'rotaton'"),
        ({"shift": 1.5}, "shift: expected a whole number of at least 0, got 1.5"),
        ({"shift": -1}, "shift: expected a whole number of at least 0, got -1"),
    ],
    ids=str,
)
def test_a_mistake_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        augment.from_config(options)


def test_a_traced_shift_is_named():
    with pytest.raises(ValueError, match="shift: expected a whole number of at least 0, got"):
        jax.jit(lambda shift: augment.from_config({"shift": shift}) or 0)(2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rotation=181", "augment.rotation: input should be less than or equal to 180, got 181"),
        ("elastic=-1", "augment.elastic: input should be greater than or equal to 0, got -1"),
        ("shift=1.5", "augment.shift: input should be a valid integer"),
        ("rotations=3", "augment.rotations: unknown key; did you mean 'rotation'?"),
    ],
)
def test_a_mistake_in_the_table_is_named(override, message):
    with pytest.raises(config.ConfigError) as caught:
        table(override)
    assert message in str(caught.value)
