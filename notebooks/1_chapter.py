# %% [markdown]
# # Convolutions for images
#
# The chapter "Convolutions for Images" of Zhang, Lipton, Li and Smola, *Dive into Deep Learning*,
# gone through section by section in JAX. It answers: what does a convolutional layer compute, how
# large is its output, how does it find edges, how is its kernel learned, and what does it see?
#
# The chapter's Julia edition and the PyTorch notes "Understanding convolutions" print matrices
# and losses. Those of these sections are asserted here, those of the exercises in notebook 2 and
# those on padding and stride in notebook 3. So if the pages run, their numbers are right.

# %%
# %matplotlib inline
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import models, plots

# %% [markdown]
# ## Cross-correlation
#
# Lay a small *kernel* on the upper left corner of an image. Multiply each pixel by the kernel
# element that lies on it and add the products up: that is the first output. Slide this *window*
# to the right and then down, and the outputs form an image again:
#
# $$y_{ij} = \sum_{a, b} x_{i + a,\, j + b}\, k_{ab}$$
#
# Here are all positions of a 2x2 kernel on a 3x3 image. Kernel elements are small and blue.

# %%
image = jnp.arange(9.0).reshape(3, 3)
kernel = jnp.array([[0.0, 1.0], [2.0, 3.0]])

plots.sliding_window(image, kernel, cell=0.42)

# %%
output = cj.corr2d(image, kernel)
np.testing.assert_array_equal(
    output,
    [
        [0 * 0 + 1 * 1 + 3 * 2 + 4 * 3, 1 * 0 + 2 * 1 + 4 * 2 + 5 * 3],
        [3 * 0 + 4 * 1 + 6 * 2 + 7 * 3, 4 * 0 + 5 * 1 + 7 * 2 + 8 * 3],
    ],
)
np.testing.assert_array_equal(output, [[19, 25], [37, 43]])
output

# %% [markdown]
# The chapter writes this as two nested loops. In JAX it is a function of one position, mapped over
# columns and then over rows. This is the definition against which conv_jax tests its algorithms.


# %%
def correlate_by_definition(image, kernel):
    def at(i, j):
        return jnp.sum(lax.dynamic_slice(image, (i, j), kernel.shape) * kernel)

    rows, columns = (jnp.arange(n - k + 1) for n, k in zip(image.shape, kernel.shape, strict=True))
    return jax.vmap(jax.vmap(at, in_axes=(None, 0)), in_axes=(0, None))(rows, columns)


np.testing.assert_array_equal(jax.jit(correlate_by_definition)(image, kernel), output)
np.testing.assert_array_equal(cj.corr2d_reference(image, kernel), output)

# %% [markdown]
# ### The size of the output
#
# The window has to fit into the image, so an axis of $n$ pixels leaves it $n - k + 1$ places.
# (Padding and stride, in notebook 3, change that.)

# %%
for n in range(1, 9):
    for k in range(1, n + 1):
        assert cj.output_shape((n, 9), (k, 4)) == (n - k + 1, 6)

# %% [markdown]
# ### What it takes and gives
#
# `corr2d` keeps the type of floats and sums integers exactly, in 32 bits. (The chapter's Julia
# function returns Float64 and the notes' PyTorch function float32, whatever comes in.) Leading
# axes are a batch. It is linear in the image and in the kernel, so its derivatives are
# correlations too: here each kernel element gets the sum of the four pixels that it meets.

# %%
for dtype in ("float32", "bfloat16", "int8", "uint8"):
    typed = cj.corr2d(image.astype(dtype), kernel.astype(dtype))
    np.testing.assert_array_equal(typed.astype("float32"), output)
    print(f"{dtype:8s} -> {typed.dtype}")

# %%
images = jnp.stack([image, 10 * image])
kernels = jnp.stack([kernel, kernel[::-1], kernel.T])

per_image = jax.jit(cj.corr2d)(images, kernel)
per_kernel = jax.vmap(cj.corr2d, in_axes=(None, 0))(image, kernels)
slope = jax.grad(lambda kernel: cj.corr2d(image, kernel).sum())(kernel)

np.testing.assert_array_equal(per_image[1], 10 * output)
np.testing.assert_array_equal(per_kernel[2], cj.corr2d(image, kernel.T))
np.testing.assert_array_equal(slope, [[8, 12], [20, 24]])
per_image.shape, per_kernel.shape

# %% [markdown]
# There are many ways to compute this sum. `corr2d` takes the one that its cost model predicts to be
# fastest for the shapes, and `plan` tells which:

# %%
for side in (3, 15, 63):
    print(f"{side:2d}x{side:<2d}", cj.plan((1024, 1024), (side, side), platform="cpu"))

# %% [markdown]
# ## Convolutional layers
#
# A convolutional layer correlates its input with a *weight* and adds a *bias*, one number. Both
# are parameters: the weight starts at random, uniform in [0, 1) as in the chapter, the bias at 0.
# A layer with an $h \times w$ kernel is called an $h \times w$ convolution. (The chapter's Julia
# layer fails when it is called: it reads a field `kernel`, and its own is named `weight`.)
#
# `models.build` turns the layer, a Flax module, into two pure functions.

# %%
layer = models.build(models.Conv2D, kernel_size=(2, 2))
params = layer.init(jax.random.key(0))

assert params["weight"].shape == (2, 2)
assert ((params["weight"] >= 0) & (params["weight"] < 1)).all()
np.testing.assert_array_equal(params["bias"], [0])
np.testing.assert_allclose(
    layer.apply(params, image), cj.corr2d(image, params["weight"]) + params["bias"], rtol=1e-6
)

shifted = layer.apply({"weight": kernel, "bias": jnp.array([0.5])}, image)
np.testing.assert_array_equal(shifted, output + 0.5)
params

# %% [markdown]
# ## Edges of an object
#
# A 6x8 image is white, 1, with four black columns in the middle, 0. The kernel [1, -1] subtracts
# from each pixel its neighbour on the right. Where the two are equal the output is 0; it is 1
# where white turns to black, -1 where black turns to white.

# %%
stripe = jnp.ones((6, 8)).at[:, 2:6].set(0)
difference = jnp.array([[1.0, -1.0]])
edges = cj.corr2d(stripe, difference)
of_transposed = cj.corr2d(stripe.T, difference)

np.testing.assert_array_equal(edges, [[0, 1, 0, 0, 0, -1, 0]] * 6)
np.testing.assert_array_equal(of_transposed, np.zeros((8, 5)))
plots.arrays(
    {"image": stripe, "its edges": edges, "image, transposed": stripe.T, "no edges": of_transposed},
    greys=["image", "image, transposed"],
    cell=0.28,
)

# %% [markdown]
# The transposed image gives 0 everywhere: this kernel sees vertical edges only. Its transpose, a
# column, sees the horizontal ones.
#
# In terms of derivatives the kernel computes $x_{ij} - x_{i,\,j+1}$, which is minus the forward
# difference along a row. (The chapter writes $x_{i+1,\,j}$ there: it counts columns first, and its
# arrays rows. The sign is as it says.)

# %%
np.testing.assert_array_equal(cj.corr2d(stripe.T, difference.T), edges.T)
np.testing.assert_array_equal(edges, stripe[:, :-1] - stripe[:, 1:])

# %% [markdown]
# ## Learning a kernel
#
# Nobody can write down what the hundredth kernel of a deep network should do. It is learned. We
# know `stripe` and `edges`, pretend not to know [1, -1], and go down the gradient of the squared
# error. A step is a pure function, so the whole descent is one `lax.scan`.


# %%
def squared_error(kernel, correlate=cj.corr2d):
    return jnp.sum((correlate(stripe, kernel) - edges) ** 2)


@functools.partial(jax.jit, static_argnames=("correlate", "num_steps"))
def descend(kernel, *, num_steps, correlate=cj.corr2d, learning_rate=0.03):
    """Return the loss before each step, and the kernel before each step and after the last."""

    def step(kernel, _):
        loss, gradient = jax.value_and_grad(squared_error)(kernel, correlate)
        return kernel - learning_rate * gradient, (loss, kernel)

    last, (losses, path) = lax.scan(step, kernel, length=num_steps)
    return losses, jnp.concatenate([path, last[None]])


# %% [markdown]
# Neither source tells its initial kernel. The notes print losses of three decimals, which a small
# region of initial kernels gives; we start at a point of it. As in both sources, the loss of a step
# is the one *before* that step moves the kernel: "epoch 5" has seen four updates.

# %%
notes_losses, notes_path = descend(jnp.array([[-0.1705, 0.4315]]), num_steps=20)

notes_printed = {5: "0.743", 10: "0.025", 15: "0.002", 20: "0.000"}
for epoch, printed in notes_printed.items():
    print(f"Epoch {epoch}, loss {notes_losses[epoch - 1]:.3f}")
    assert f"{notes_losses[epoch - 1]:.3f}" == printed
assert [f"{element:.4f}" for element in notes_path[-1, 0]] == ["1.0013", "-0.9983"]
notes_path[-1]

# %% [markdown]
# The chapter prints 17 digits. A search through the float32 numbers finds one single initial kernel
# that gives them. The layer there is Flux's `Conv`, which flips its kernel (the section after this
# one is about that), so it learns [-1, 1] and not [1, -1]; the chapter does not say so.

# %%
chapter_start = jnp.array([[1.2102887630462646, -1.1691985130310059]])
chapter_losses, chapter_path = descend(chapter_start, num_steps=10, correlate=cj.conv2d)

chapter_printed = {
    2: "23.584481099119426",
    4: "3.9607391083212136",
    6: "0.6661072908585268",
    8: "0.11241184883977695",
    10: "0.01912891086388413",
}
for epoch, printed in chapter_printed.items():
    print(f"epoch {epoch:2d} loss {chapter_losses[epoch - 1]:.8f}, printed {printed}")
    np.testing.assert_allclose(chapter_losses[epoch - 1], float(printed), rtol=2e-6)
assert [f"{element:.6f}" for element in chapter_path[-1, 0]] == ["-0.972548", "0.976960"]
chapter_path[-1]

# %% [markdown]
# Float32 reproduces the losses to its precision. To reproduce all 17 digits we have to do what
# Flux did: weights and predictions in float32, errors, gradients and updates in float64.

# %%
weight = np.float32(chapter_start[0])  # [a, b], where the flipped kernel meets pixels as [b, a]
left, right = np.array(stripe[:, :-1]), np.array(stripe[:, 1:])
for epoch in range(1, 11):
    error = (weight[1] * left + weight[0] * right) - np.float64(edges)
    loss, *gradient = (
        math.fsum(terms.ravel()) for terms in (error**2, 2 * error * right, 2 * error * left)
    )
    weight = np.float32(weight - 0.03 * np.array(gradient))
    if epoch in chapter_printed:
        assert repr(loss) == chapter_printed[epoch], (loss, epoch)

# %% [markdown]
# ### Why the losses fall as they do
#
# For this image the loss of a kernel [a, b] is a paraboloid, $15 s^2 + 3 d^2$ with $s = a + b$ and
# $d = a - b - 2$. The eigenvalues of its Hessian are 60 and 12. So a step at rate 0.03 multiplies
# $s$ by $1 - 60 \cdot 0.03 = -0.8$ and $d$ by $1 - 12 \cdot 0.03 = 0.64$: the kernel jumps from
# side to side of a valley while it goes along it, and after $t$ updates the loss is
# $15 s_0^2\, 0.64^t + 3 d_0^2\, 0.4096^t$. The rate is 90 % of $2 / 60$, from which on the descent
# diverges; the best constant one would be $2 / (60 + 12) = 1/36$.

# %%
hessian = jax.jit(jax.hessian(squared_error))(difference).reshape(2, 2)
np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [12, 60], rtol=1e-6)


def predicted_loss(start, num_updates):
    a, b = np.float64(start).ravel()
    return 15 * (a + b) ** 2 * 0.64**num_updates + 3 * (a - b - 2) ** 2 * 0.4096**num_updates


runs = {  # as kernels of a correlation
    "notes": (notes_losses, notes_path[:, 0]),
    "chapter": (chapter_losses, chapter_path[:, 0, ::-1]),
}
for losses, path in runs.values():
    expected = predicted_loss(path[0], np.arange(len(losses)))
    np.testing.assert_allclose(losses, expected, rtol=1e-3)

# %%
grid = jnp.linspace(-1.6, 1.6, 121)
over_a = jax.vmap(lambda a, b: squared_error(jnp.stack([a, b])[None]), in_axes=(0, None))
surface = jax.jit(jax.vmap(over_a, in_axes=(None, 0)))(grid, grid)
levels = np.geomspace(0.1, 100, 13)

figure, (valley, curve) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
valley.contour(grid, grid, surface, levels=levels, cmap="Greys_r", linewidths=0.7)
for (name, (losses, path)), colour in zip(runs.items(), ("C0", "C3"), strict=True):
    steps = np.arange(1, len(losses) + 1)
    valley.plot(*path.T, "o-", color=colour, markersize=3, linewidth=1, label=name)
    valley.plot(*path[0], "s", color=colour, markersize=8)
    curve.plot(steps, predicted_loss(path[0], steps - 1), color=colour, linewidth=1)
    curve.plot(steps, losses, "o", color=colour, markersize=4, label=f"{name}, measured")
    printed = np.array(list(notes_printed if name == "notes" else chapter_printed))
    rings = {"markersize": 11, "markerfacecolor": "none", "color": colour}
    curve.plot(printed, losses[printed - 1], "o", **rings, label=f"{name}, printed")
valley.plot(1, -1, "*", color="black", markersize=14, label="[1, -1]")
valley.set(
    xlabel="a", ylabel="b", aspect="equal", title="The kernel over its loss, from the square"
)
curve.set(yscale="log", xlabel="epoch", ylabel="loss before the step", title="Lines: closed form")
curve.set_xticks(range(0, 21, 5))
curve.grid(alpha=0.3)
for axes in (valley, curve):
    axes.legend(fontsize=9)

# %% [markdown]
# ## Cross-correlation and convolution
#
# A *strict* convolution flips the kernel on both axes before it slides it. So a strict convolution
# with the flipped kernel is the cross-correlation; with the kernel itself it is something else. In
# conv_jax the name says it: `corr2d` never flips, `conv2d` always does.

# %%
np.testing.assert_array_equal(cj.conv2d(image, kernel[::-1, ::-1]), output)
np.testing.assert_array_equal(cj.conv2d(image, kernel), [[5, 11], [23, 29]])

# %% [markdown]
# For a layer that *learns* its kernel it makes no difference: it learns the flipped one, and its
# outputs and losses are the same. That is why deep learning says convolution for both. The
# chapter's run again, by correlation, from the flipped initial kernel:

# %%
losses, path = descend(chapter_start[:, ::-1], num_steps=10, correlate=cj.corr2d)
np.testing.assert_allclose(losses, chapter_losses, rtol=2e-6)
np.testing.assert_allclose(path, chapter_path[:, :, ::-1], rtol=1e-6, atol=1e-7)
path[-1]

# %% [markdown]
# ## Feature map and receptive field
#
# The output of a layer is called a *feature map*: what the layer found, and where. The *receptive
# field* of one of its elements is everything that may affect it. For one 2x2 layer that is a
# window of four pixels. A second 2x2 layer makes one element $z$ of the feature map above. It sees
# four elements of the map, and through them all nine pixels.

# %%
z = cj.corr2d(output, kernel)
np.testing.assert_array_equal(z, [[228]])
plots.sliding_window(output, kernel, cell=0.42)

# %% [markdown]
# Which pixels an output sees, its gradient tells. With kernels of ones it counts the paths from a
# pixel to the output: most of them begin in the middle. A field grows by $k - 1$ pixels with each
# $k \times k$ layer, so deep networks see far.


# %%
def paths_to_one_output(num_layers, size=2):
    """Return the gradient of one output with respect to its receptive field."""
    side = num_layers * (size - 1) + 1

    def one_output(image):
        for _ in range(num_layers):
            image = cj.corr2d(image, jnp.ones((size, size)))
        return image[0, 0]

    return jax.jit(jax.grad(one_output))(jnp.zeros((side, side)))


fields = {f"{n} layer{'s' if n > 1 else ''} of 2x2": paths_to_one_output(n) for n in (1, 2, 3, 4)}
np.testing.assert_array_equal(fields["2 layers of 2x2"], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
plots.arrays(fields)

# %% [markdown]
# Ten 5x5 layers see 41x41 pixels. They also shrink an image of 240x240 to 200x200: "30 %" of the
# image is lost, the notes say, which is right for its area, 30.56 %, and 16.67 % of each side.

# %%
shape = (240, 240)
for _ in range(10):
    shape = cj.output_shape(shape, (5, 5))
field = paths_to_one_output(10, size=5)

assert shape == (200, 200)
assert field.shape == (41, 41)
assert (field > 0).all()
print(f"lost: {1 - (200 / 240) ** 2:.2%} of the area, {1 - 200 / 240:.2%} of each side")

# %% [markdown]
# With padding, a receptive field can be larger than the image: three 3x3 layers that keep the size
# of a 3x3 image have a field of 7x7, most of it padding.
#
# The name comes from physiology. Hubel and Wiesel (1959, 1962) found cells of the visual cortex
# that answer to edges in one place and direction, and Field (1987) drew what a picture looks like
# to six such sensors: its correlations with six oriented kernels.
#
# ## A whole network
#
# The notes end with a LeNet5: two 5x5 convolutions, each with pooling, then two dense layers. An
# image of 32x32 passes through it in the sizes that the notes print. (Their `view(-1, 500)` mixes
# the images of a batch if they are not 32x32, without an error; ours flattens each image for
# itself and refuses other sizes. And theirs returns classes, through which no gradient flows; ours
# returns logits, and `predict` the classes.)

# %%
print(models.summary())
network = models.build(models.LeNet5, method="feature_maps", **models.PRESETS["notes"])
weights = jax.eval_shape(network.init, jax.random.key(0))
maps = jax.eval_shape(network.apply, weights, jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32))
assert [maps[name].shape for name in ("conv1", "pool1", "conv2", "pool2", "flatten", "logits")] == [
    (1, 28, 28, 20),
    (1, 14, 14, 20),
    (1, 10, 10, 20),
    (1, 5, 5, 20),
    (1, 500),
    (1, 10),
]

# %% [markdown]
# ## In short
#
# - A convolutional layer is a cross-correlation and a bias. Two loops define it; it is local, cheap
#   and the same everywhere in the image, which is what makes it fast on every chip.
# - An image of $n$ pixels and a kernel of $k$ leave $n - k + 1$ outputs along an axis.
# - A kernel can be designed, as [1, -1] for edges, or learned from pairs of images. A layer that
#   flips its kernel learns the flipped one.
# - Each layer adds $k - 1$ pixels to the receptive field, and takes as many from the feature map.
#
# **Where to go next:** notebook 2 answers the chapter's exercises, 3 is on padding and stride, 4 on
# the design of kernels, 5 on receptive fields.
