import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from conv_jax import augment, losses, training
from conv_jax.divergence import DivergedError
from conv_jax.training import Batch


def linear(params, images):
    return images @ params["w"]


def regression(*, num_examples=10):
    """Examples whose squared error has its least at w = (1, 2, 3)."""
    images = np.random.default_rng(0).normal(size=(num_examples, 3)).astype("float32")
    return Batch(jnp.asarray(images), jnp.asarray(images @ np.float32([1, 2, 3])))


@functools.cache
def sgd(learning_rate=0.05, momentum=None):
    """Return the optimizer and the step, the same ones each time: they compile once."""
    optimizer = optax.sgd(learning_rate, momentum)
    return optimizer, training.make_train_step(linear, optimizer, loss=losses.squared_error)


def run(data, *, learning_rate=0.05, average=False, batch_size=3, num_epochs=4, **options):
    """Train the linear model and return the last parameters and all intervals."""
    optimizer, step = sgd(learning_rate)
    state = training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer, average=average)
    trained = training.train(
        state, data, train_step=step, batch_size=batch_size, num_epochs=num_epochs, **options
    )
    states, intervals = zip(*trained, strict=True)
    return states[-1], intervals


def test_train_finds_the_least_squares_solution():
    state, _ = run(regression(), num_epochs=400)
    np.testing.assert_allclose(state.params["w"], [1, 2, 3], atol=1e-4)


def test_train_equals_gradient_descent_by_hand():
    data = regression(num_examples=6)
    state, _ = run(data, batch_size=6, num_epochs=5)  # whole batches: the order does not matter
    x, y, w = *(np.float64(a) for a in data), np.zeros(3)
    for _ in range(5):
        w -= 0.05 * 2 * x.T @ (x @ w - y) / 6
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-5)


def test_the_loss_reported_is_the_one_before_the_update():
    data = regression(num_examples=6)
    _, intervals = run(data, batch_size=6, num_epochs=1)
    np.testing.assert_allclose(intervals[0].metrics["loss"], [np.mean(data.labels**2)], rtol=1e-6)


def test_intervals_end_with_their_epoch():
    _, intervals = run(regression(num_examples=11), batch_size=2, num_epochs=2, interval=3)
    assert [i.step for i in intervals] == [3, 5, 8, 10]
    assert [i.epoch for i in intervals] == [1, 1, 2, 2]
    assert [i.ends_epoch for i in intervals] == [False, True, False, True]
    assert [len(i.metrics["loss"]) for i in intervals] == [3, 2, 3, 2]


def test_the_interval_does_not_change_the_parameters():
    states = [run(regression(), interval=interval)[0] for interval in (1, 100)]
    np.testing.assert_array_equal(states[0].params["w"], states[1].params["w"])


def seen_in_epoch(epoch, *, num_examples=10, batch_size=3):
    order = training._epoch_order(
        jax.random.key(5), epoch, num_examples, (num_examples // batch_size, batch_size)
    )
    return np.asarray(order)


def test_an_epoch_takes_no_example_twice():
    order = seen_in_epoch(0)
    assert order.shape == (3, 3)
    assert len(np.unique(order)) == 9


def test_each_epoch_has_its_own_order():
    assert (seen_in_epoch(0) != seen_in_epoch(1)).any()


def test_train_refuses_a_batch_larger_than_the_data():
    with pytest.raises(ValueError, match="batch_size: expected at most 10 examples, got 11"):
        run(regression(), batch_size=11)


def test_train_goes_on_from_a_state_in_the_middle():
    optimizer, step = sgd(momentum=0.9)

    def state_after(num_epochs, state):
        trained = training.train(
            state, regression(), train_step=step, batch_size=2, num_epochs=num_epochs
        )
        return [state for state, _ in trained][-1]

    def start():
        return training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer)

    whole, resumed = state_after(6, start()), state_after(6, state_after(3, start()))
    np.testing.assert_array_equal(whole.params["w"], resumed.params["w"])


def test_train_leaves_the_callers_state_alone():
    optimizer, step = sgd(momentum=0.9)
    start = training.init_state(jax.random.key(1), {"w": jnp.ones(3)}, optimizer, average=True)
    trained = training.train(start, regression(), train_step=step, batch_size=2, num_epochs=2)
    states = [np.asarray(state.params["w"]) for state, _ in trained]
    np.testing.assert_array_equal(start.params["w"], 1)
    np.testing.assert_array_equal(start.average["w"], 1)
    assert (states[-1] != 1).all()


def test_divergence_names_the_step_and_the_last_good_loss():
    with pytest.raises(DivergedError, match=r"loss .* at step \d+ .*; last good loss .* at step"):
        run(regression(), learning_rate=1e6, num_epochs=50)


def test_divergence_yields_the_good_steps_first():
    seen = []

    def collect():
        optimizer, step = sgd(1e6)
        state = training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer)
        data = regression()
        trained = training.train(state, data, train_step=step, batch_size=10, num_epochs=50)
        seen.extend(loss for _, i in trained for loss in i.metrics["loss"])

    with pytest.raises(DivergedError, match=r"loss \S+ at step \d+ ") as caught:
        collect()
    assert np.isfinite(seen).all()
    assert f"at step {len(seen) + 1} " in str(caught.value)


def test_divergence_within_an_interval_keeps_its_beginning():
    optimizer, step = sgd(1e6)
    state = training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer)
    data = regression(num_examples=200)
    trained = training.train(state, data, train_step=step, batch_size=1, num_epochs=1)
    _, interval = next(trained)
    assert 0 < len(interval.metrics["loss"]) == interval.step < 100
    with pytest.raises(DivergedError):
        next(trained)


def test_bad_data_is_told_apart_from_a_high_learning_rate():
    data = regression()._replace(labels=jnp.full(10, jnp.nan))
    with pytest.raises(DivergedError, match=r"step 1 .*targets.*not finite"):
        run(data)


def test_moving_average_is_the_warmed_up_mean_of_the_parameters():
    data = regression(num_examples=6)
    state, _ = run(data, batch_size=6, num_epochs=3, average=True)
    x, y = (np.float64(a) for a in data)
    w, average = np.zeros(3), np.zeros(3)
    for t in range(3):
        w = w - 0.05 * 2 * x.T @ (x @ w - y) / 6
        decay = min(0.999, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * w
    np.testing.assert_allclose(state.average["w"], average, rtol=1e-5)


def test_cross_entropy_equals_its_definition():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    labels = jnp.array([0, 2, 1, 1])
    loss, metrics = jax.jit(losses.cross_entropy(label_smoothing=0.1))(logits, labels)
    log_p = np.log(np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum(1, keepdims=True))
    targets = 0.9 * np.eye(3)[labels] + 0.1 / 3
    np.testing.assert_allclose(loss, -(targets * log_p).sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(log_p.argmax(1) == labels))


def test_an_update_that_overflows_is_divergence():
    with pytest.raises(DivergedError, match=r"step 1 .*update inf.*learning rate"):
        run(regression(), learning_rate=1e38, batch_size=10, num_epochs=1)


@pytest.mark.parametrize("option", ["batch_size", "num_epochs", "interval"])
def test_train_refuses_a_number_below_1(option):
    with pytest.raises(ValueError, match=f"{option}: expected at least 1, got 0"):
        run(regression(), **{option: 0})


def test_yielded_states_are_donated():
    optimizer, step = sgd()
    state = training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer)
    trained = training.train(state, regression(), train_step=step, batch_size=5, num_epochs=2)
    first, _ = next(trained)
    next(trained)
    assert first.params["w"].is_deleted()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_a_second_seed_compiles_nothing(dtype):
    optimizer = optax.sgd(0.05, momentum=0.9)
    step = training.make_train_step(linear, optimizer, loss=losses.squared_error)
    data = jax.tree.map(lambda array: array.astype(dtype), regression())

    def train(seed):
        params = {"w": jnp.zeros(3, dtype)}
        state = training.init_state(jax.random.key(seed), params, optimizer, average=True)
        return list(training.train(state, data, train_step=step, batch_size=5, num_epochs=2))

    before = training._steps._cache_size()
    train(0)
    train(1)
    assert training._steps._cache_size() == before + 1


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64], ids="batch{}".format)
def test_evaluate_counts_every_example(batch_size):
    numbers = np.random.default_rng(2)
    images, labels = numbers.normal(size=(10, 3)).astype("float32"), numbers.integers(0, 4, 10)
    data = Batch(jnp.asarray(images), jnp.asarray(labels, "int32"))
    params = {"w": jnp.eye(3, 4)}
    measured, logits = training.evaluate(linear, params, data, batch_size=batch_size)
    expected = images @ np.eye(3, 4)
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
    assert measured["accuracy"] == np.mean(expected.argmax(1) == labels)
    log_p = expected - np.log(np.exp(expected).sum(1, keepdims=True))
    mean = -log_p[np.arange(10), labels].mean()
    assert measured["loss"] == pytest.approx(mean, rel=1e-5)


def test_standardize_gives_mean_0_and_deviation_1():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), "uint8")
    mean, std = images.mean() / 255, images.std() / 255
    out = np.asarray(training.standardize(jnp.asarray(images), mean=mean, std=std))
    np.testing.assert_allclose([out.mean(), out.std()], [0, 1], atol=1e-4)


random_shift = jax.jit(augment.random_shift, static_argnames="max_shift")


def test_random_shift_moves_each_image_by_whole_pixels():
    images = np.zeros((64, 9, 9, 1), np.uint8)
    images[:, 4, 4] = 200
    shifted = random_shift(jax.random.key(0), images, max_shift=2)
    _, rows, columns, _ = np.nonzero(np.asarray(shifted))
    assert shifted.dtype == jnp.uint8
    assert set(rows) == set(columns) == {2, 3, 4, 5, 6}


def test_random_shift_fills_with_zeros():
    shifted = random_shift(jax.random.key(1), np.full((64, 9, 9, 1), 200, np.uint8), max_shift=2)
    assert 0 < np.count_nonzero(shifted) < shifted.size
    assert set(np.unique(shifted)) == {0, 200}


def test_random_shift_refuses_a_negative_shift():
    with pytest.raises(ValueError, match="max_shift: expected at least 0, got -1"):
        augment.random_shift(jax.random.key(0), jnp.ones((1, 4, 4, 1)), max_shift=-1)


def test_augmentation_differs_from_step_to_step():
    seen = []

    def spy(key, images):
        jax.debug.callback(lambda bits: seen.append(bits.tolist()), jax.random.key_data(key))
        return images

    optimizer = optax.sgd(0.1)
    step = training.make_train_step(linear, optimizer, loss=losses.squared_error, augment=spy)
    state = training.init_state(jax.random.key(1), {"w": jnp.zeros(3)}, optimizer)
    trained = training.train(state, regression(), train_step=step, batch_size=5, num_epochs=2)
    assert [i.step for _, i in trained] == [2, 4]
    jax.effects_barrier()
    assert len({tuple(bits) for bits in seen}) == 4
