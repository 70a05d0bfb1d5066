# %% [markdown]
# # Receptive fields
#
# An output of a convolutional network depends on a patch of the image: its *receptive field*.
# This page answers how large that patch is and where it lies, for stacks of layers, for branches
# and for any network that JAX can trace; and how much of it really matters, which is less.
#
# It follows the chapter's section "Feature Map and Receptive Field" and goes on from there. The
# numbers in the text are asserted in the code beside it, or named with their source.

# %%
# %matplotlib inline
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.tree_util import Partial
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import data, kernels, models, plots
from conv_jax.receptive_field import (
    branches,
    conv,
    dense,
    effective_receptive_field,
    from_model,
    measured,
    pool,
    receptive_field,
    table,
    transposed_conv,
)

# %% [markdown]
# ## Two layers of 2x2 see nine pixels
#
# One output of a 2x2 correlation sees four elements of its input. Put a second 2x2 layer on top:
# its output sees four elements of the first feature map, and each of those sees four pixels. They
# overlap, so together they see 3x3 = 9 pixels, not 16.
#
# Gradients show it. With kernels of ones, the derivative of the output by a pixel is the number
# of paths from the pixel to the output: 16 paths, four of them from the middle.

# %%
ones = jnp.ones((2, 2))


def one_layer(image):
    return cj.corr2d(image, ones)


def two_layers(image):
    return cj.corr2d(cj.corr2d(image, ones), ones)


paths = {
    "one layer of 2x2": effective_receptive_field(one_layer, (2, 2), num_images=1).gradient,
    "two layers of 2x2": effective_receptive_field(two_layers, (3, 3), num_images=1).gradient,
}
np.testing.assert_array_equal(paths["one layer of 2x2"], [[1, 1], [1, 1]])
np.testing.assert_array_equal(paths["two layers of 2x2"], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])

first, second = receptive_field([conv(2), conv(2)])
assert first.size == (2, 2)
assert second.size == (3, 3)
plots.arrays(paths, title="Paths to one output")

# %% [markdown]
# ## The arithmetic
#
# Follow one axis. Let an element of a feature map see `size` pixels, let its neighbour see a
# patch that lies `jump` pixels further, and let the first element's patch start at pixel `start`.
# The image itself has size 1, jump 1 and start 0. A layer whose kernel spans $e$ elements, with
# stride $s$ and $p$ zeros before, takes $e$ neighbours together. So
#
# $$\text{size}' = \text{size} + (e - 1)\,\text{jump}, \qquad
#   \text{jump}' = s\,\text{jump}, \qquad
#   \text{start}' = \text{start} - p\,\text{jump}.$$
#
# A kernel of $k$ elements with dilation $d$ spans $e = d\,(k - 1) + 1$. Araujo, Norris and Sim
# derive this in "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019).
# `receptive_field` computes it, exactly, for every layer of a list. The chapter's ten layers of
# 5x5:

# %%
ten = receptive_field([conv(5)] * 10, image_shape=(240, 240))
assert ten[-1].shape == (200, 200)
assert ten[-1].size == (41, 41)
assert ten[-1].pixels((0, 199)) == ((0, 40), (199, 239))  # the corner at the upper right
print(table(ten))

# %% [markdown]
# Each further layer of a plain stack adds the same number of pixels. To see more with few layers,
# let the jump grow, by strides and pools, or spread the kernel, by dilation. Both double what a
# layer adds.

# %%
depth = 7
stacks = {
    "3x3": [conv(3, padding="same")] * depth,
    "3x3, dilation 1, 2, 4, ...": [conv(3, padding="same", dilation=2**i) for i in range(depth)],
    "3x3, stride 2": [conv(3, stride=2, padding="same")] * depth,
}
found = {name: receptive_field(layers) for name, layers in stacks.items()}
sizes = {name: [field.size[0] for field in fields] for name, fields in found.items()}
assert [fields[-1].jump[0] for fields in found.values()] == [1, 1, 128]
assert sizes["3x3"] == [2 * n + 1 for n in range(1, depth + 1)]
assert sizes["3x3, dilation 1, 2, 4, ..."] == [2 ** (n + 1) - 1 for n in range(1, depth + 1)]
assert sizes["3x3, stride 2"] == [2 ** (n + 1) - 1 for n in range(1, depth + 1)]

figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for style, (name, values) in zip(("o-", "s-", "x--"), sizes.items(), strict=True):
    axes.plot(range(1, depth + 1), values, style, label=name)
axes.set(xlabel="layers", ylabel="field (pixels, log)", yscale="log", title="How fields grow")
axes.set_yticks([3, 7, 15, 31, 63, 127, 255], [3, 7, 15, 31, 63, 127, 255])
axes.minorticks_off()
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# The two fast stacks have the same fields, but not the same maps: the dilated one keeps all
# positions (jump 1), the strided one only every 128th.
#
# ## Larger than the image
#
# With padding, nothing stops a field from growing beyond the image. Ten 3x3 layers that keep the
# size of an 8x8 image have fields of 21x21. What lies outside is padding, and every output sees
# all 64 pixels.

# %%
*_, beyond = receptive_field([conv(3, padding="same")] * 10, image_shape=(8, 8))
assert beyond.size == (21, 21)
assert beyond.start == (-10, -10)
assert beyond.spans == (((0, 7),) * 8, ((0, 7),) * 8)  # first and last pixel that each output sees
assert beyond.padding == ((10, 10), (10, 10))  # before and after, for rows and columns
beyond

# %% [markdown]
# ## LeNet5, layer by layer
#
# A pool moves a window like a convolution, and a dense layer sees its whole map. So the field of
# LeNet5 needs no more than the list of its layers.

# %%
layers = [
    conv(5, name="conv1"),
    pool(2, name="pool1"),
    conv(5, name="conv2"),
    pool(2, name="pool2"),
    dense(name="fc1"),
]
fields = receptive_field(layers, image_shape=(32, 32))
assert [field.size[0] for field in fields] == [5, 6, 14, 16, 32]
assert [field.jump[0] for field in fields[:4]] == [1, 2, 2, 4]
print(table(fields))

# %%
digit = data.resize(data.load("digits").test.images[:1], image_size=32)[0, :, :, 0]
plots.layer_fields(digit, fields, title="What LeNet5's layers see of a digit")

# %% [markdown]
# Nobody has to write that list. `from_model` traces a function, as `jax.jit` would, and follows
# what each primitive of the program takes from its operands: convolutions of lax and of this
# library, pools, slices, pads, reshapes, sums, products. It gives the field of every output, and
# of every convolution and pool if asked. It is exact, and where it cannot know, as for an index
# that depends on the image, it claims more rather than less.
#
# Nothing is computed, so the weights need not exist: here even their initialization is only
# traced.


# %%
def lenet5(images):
    return models.LeNet5(rngs=nnx.Rngs(0))(images)


read = from_model(lenet5, (1, 32, 32, 1), layers=True)

assert [field[1:] for field in read[:4]] == [field[1:] for field in fields[:4]]
assert read[-1].name == "output"  # the logits, which see everything
assert read[-1].pixels((0, 0)) == ((0, 31), (0, 31))
print(table(read))

# %% [markdown]
# ## Branches
#
# In a residual block the image takes two paths, in an inception block four, and they meet in a
# sum or a concatenation. An output then sees from the first pixel of any path to the last pixel
# of any. The jumps of the paths must agree, or the sizes of the maps would not.
#
# A transposed convolution goes the other way: it divides the jump by its stride. So a UNet, which
# goes down and up again and concatenates, ends where it began, with jump 1.

# %%
down_and_up = [pool(2), conv(3, padding="same"), transposed_conv(2, stride=2)]
unet = receptive_field(
    [conv(3, padding="same"), branches([], down_and_up, name="down, up, concat"), conv(3)],
    image_shape=(16, 16),
)
assert [field.size[0] for field in unet] == [3, 8, 10]
assert [field.jump[0] for field in unet] == [1, 1, 1]
print(table(unet))

# %% [markdown]
# Deep residual networks see far more than their image. Here is ResNet-50, whose images have
# 224x224 pixels: 483x483, the number that Araujo, Norris and Sim give for it. (Their network puts
# each stride at the end of a stage.) VGG16, with thirteen 3x3 layers and five pools, sees
# 212x212.


# %%
def bottleneck(*, stride=1):
    shortcut = [conv(1, stride=stride)] if stride > 1 else []
    return branches(shortcut, [conv(1), conv(3, stride=stride, padding="same"), conv(1)])


resnet50 = [conv(7, stride=2, padding="same"), pool(3, stride=2, padding="same")]
for num_blocks, stride in ((3, 2), (4, 2), (6, 2), (3, 1)):
    resnet50 += [bottleneck()] * (num_blocks - 1) + [bottleneck(stride=stride)]
vgg16 = []
for num_convs in (2, 2, 3, 3, 3):
    vgg16 += [conv(3, padding="same")] * num_convs + [pool(2)]

assert receptive_field(resnet50)[-1].size == (483, 483)
assert receptive_field(vgg16)[-1].size == (212, 212)


# %% [markdown]
# The same is read off a Flax module. This small residual network has a stride, a pool and a
# shortcut, and takes its convolution from `conv_jax`; the list of its layers gives the same
# field.


# %%
class ResNet(nnx.Module):
    def __init__(self, *, rngs):
        conv = functools.partial(
            nnx.Conv, conv_general_dilated=cj.conv_general_dilated, use_bias=False, rngs=rngs
        )
        self.stem = conv(1, 8, (3, 3), padding=1)
        self.inner = nnx.List([conv(8, 8, (3, 3), padding=1) for _ in range(2)])
        self.strided = nnx.List([conv(8, 16, (3, 3), strides=2, padding=1), conv(16, 16, (3, 3))])
        self.shortcut = conv(8, 16, (1, 1), strides=2)

    def __call__(self, images):
        x = cj.max_pool(nnx.relu(self.stem(images)), (2, 2), (2, 2))
        x = x + self.inner[1](nnx.relu(self.inner[0](x)))
        return self.shortcut(x) + self.strided[1](nnx.relu(self.strided[0](x)))


(field,) = from_model(lambda images: ResNet(rngs=nnx.Rngs(0))(images), (1, 48, 48, 1))
listed = [
    conv(3, padding=1),
    pool(2),
    branches([], [conv(3, padding=1), conv(3, padding=1)]),
    branches([conv(1, stride=2)], [conv(3, stride=2, padding=1), conv(3, padding=1)]),
]
assert field == receptive_field(listed, image_shape=(48, 48))[-1]._replace(name="output")
field

# %% [markdown]
# ## How much of it matters
#
# A pixel in the middle of the field reaches the output along many paths, one at the border along
# few. For a stack of $n$ layers with kernels of ones, the number of paths from each pixel is the
# kernel convolved with itself $n$ times. By the central limit theorem that tends to a Gaussian: a
# box of three has variance 2/3, so after $n$ layers the variance is $2n/3$ along each axis. The
# field grows with $n$, the Gaussian in it only with $\sqrt n$.
#
# Luo, Li, Urtasun and Zemel ("Understanding the Effective Receptive Field in Deep Convolutional
# Neural Networks", NeurIPS 2016) call this the *effective receptive field*.
# `effective_receptive_field` measures it: the magnitude of the gradient of one output, averaged
# over images. Its root mean square radius is exactly $\sqrt{4n/3}$ here, over both axes.

# %%
box = jnp.ones((3, 3))


def stack_of_boxes(image, num_layers):
    return functools.reduce(lambda x, _: cj.corr2d(x, box), range(num_layers), image)


num_layers = 12
side = 2 * num_layers + 1
boxes = effective_receptive_field(
    functools.partial(stack_of_boxes, num_layers=num_layers), (side, side), num_images=1
)
assert math.isclose(boxes.radius, math.sqrt(4 * num_layers / 3), rel_tol=1e-6)

profile = boxes.gradient[num_layers] / boxes.gradient.max()
offsets = np.arange(side) - num_layers
gaussian = np.exp(-(offsets**2) / (2 * 2 * num_layers / 3))
assert np.abs(profile - gaussian).max() < 0.02

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
left.imshow(boxes.gradient, cmap="gray_r")
left.set(title=f"Paths to one output, {num_layers} layers of 3x3", xlabel="column", ylabel="row")
right.plot(offsets, gaussian, "C1", lw=5, alpha=0.4, label=f"variance {2 * num_layers / 3:g}")
right.plot(offsets, profile, "k.-", lw=0.8, label="middle row")
right.axvspan(-boxes.side / 2, boxes.side / 2, color="C0", alpha=0.12)
right.text(
    0, -0.02, f"square with 95.45 %: {boxes.side}", ha="center", va="top", fontsize=8, color="C0"
)
right.set(title=f"Nearly a Gaussian, in a field of {side}", xlabel="pixels from the middle")
right.set_ylim(-0.12, 1.05)
right.legend(frameon=False, fontsize=8, loc="upper left")
right.grid(alpha=0.3)

# %% [markdown]
# Random weights change little of that. Take linear stacks of random 3x3 kernels, 40 of each
# depth, and the mean magnitude of their gradients. Signs cancel most where paths are many, so
# what matters reaches a little further, up to $\sqrt 2$ times as far: now the *squares* of the
# gradients follow the paths. On the way there the slope in the logarithms is a little above 1/2;
# Luo et al. fitted 0.56.


# %%
depths = np.array([2, 4, 8, 16, 32])
deepest = depths.max()


@jax.jit
@jax.vmap
def gradient_of_middle(weights):
    """Return the gradient of the middle output of layers that keep the size."""

    def middle(image):
        def add_layer(x, kernel):
            return cj.corr2d(x, kernel, padding="same"), None

        return lax.scan(add_layer, image, weights)[0][deepest, deepest]

    return jax.grad(middle)(jnp.zeros((2 * deepest + 1, 2 * deepest + 1)))


# Layers of the identity make all stacks equally deep, so that they share one compiled program.
random_kernels = jax.random.normal(jax.random.key(0), (40, deepest, 3, 3)) / 3
sides, radii = 2 * depths + 1, []
for num_layers in depths:
    is_layer = (jnp.arange(deepest) < num_layers)[None, :, None, None]
    gradients = gradient_of_middle(
        jnp.where(is_layer, random_kernels, kernels.identity(3)[None, None])
    )
    radii.append(measured(np.abs(gradients).mean(0, dtype=np.float64)).radius)

slope, _ = np.polyfit(np.log(depths), np.log(radii), 1)
field_slope, _ = np.polyfit(np.log(depths), np.log(sides), 1)
assert 0.5 < slope < 0.65
assert 0.9 < field_slope < 1
ratios = radii / np.sqrt(4 * depths / 3)
assert (ratios > 1).all()
assert (ratios < 1.5).all()

figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
axes.loglog(depths, sides, "ks-", label=f"side of the field, slope {field_slope:.2f}")
axes.loglog(depths, radii, "C3o-", label=f"radius, random kernels, slope {slope:.2f}")
axes.loglog(depths, np.sqrt(4 * depths / 3), "C0o-", label="radius, kernels of ones, slope 0.50")
axes.set_xticks(depths, depths)
axes.set_yticks([1, 2, 5, 10, 20, 50], [1, 2, 5, 10, 20, 50])
axes.minorticks_off()
axes.set(
    xlabel="layers of 3x3 (log)", ylabel="pixels (log)", title="What is seen, and what matters"
)
axes.legend(frameon=False, fontsize=8)
axes.grid(alpha=0.3)

# %% [markdown]
# ## Shortcuts make the effective field smaller
#
# In a residual stack, each layer adds to what it was given. Most paths then skip most layers, and
# stay near the middle. So Luo et al. expect shortcuts to shrink what matters, and it shows: here
# in two stacks of eight layers with ReLUs and the same random weights, with a field of 17x17.


# %%
def convolved(images, weights):
    return cj.conv_general_dilated(
        images, weights, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def stack(weights, images, *, shortcuts):
    def add_layer(x, w):
        return shortcuts * x + jax.nn.relu(convolved(x, w)), None

    first, others = weights
    return lax.scan(add_layer, convolved(images, first), others)[0]


keys = jax.random.split(jax.random.key(5))
weights = (
    jax.random.normal(keys[0], (3, 3, 1, 8)) * math.sqrt(2 / 9),
    jax.random.normal(keys[1], (7, 3, 3, 8, 8)) * math.sqrt(2 / 72),
)
image_shape = (1, 21, 21, 1)
measured_fields, frames = {}, {}
for name, shortcuts in {"plain": 0, "residual": 1}.items():
    network = Partial(functools.partial(stack, shortcuts=shortcuts), weights)
    (field,) = from_model(network, image_shape)
    frames[name] = field.pixels((10, 10))
    measured_fields[name] = effective_receptive_field(
        network, image_shape, cotangent="normal", num_images=16
    )
assert frames["plain"] == frames["residual"] == ((2, 18), (2, 18))
assert measured_fields["residual"].radius < 0.9 * measured_fields["plain"].radius
plots.effective_fields({"8 layers": measured_fields}, boxes=frames, title="Random weights, ReLU")

# %% [markdown]
# ## LeNet5
#
# The effective fields of LeNet5 with random weights, on real digits. Where the field is a single
# kernel (conv1), all of it matters alike; from layer to layer the borders fade. `python -m
# experiments run configs/receptive_fields.toml` measures the same after training: the radii stay
# within 2 % of those before, so what changes is which pixels matter, not how far they lie.

# %%
network = models.build(models.LeNet5, method="feature_maps")
params = jax.jit(network.init)(jax.random.key(0))
digits = data.resize(data.load("digits").test.images[:8], image_size=32)
digits = jnp.asarray(digits[:, None] / np.float32(255))


def feature_map(params, images, *, name):
    return network.apply(params, images)[name]


names = ["conv1", "pool2", "fc1"]
shapes = {
    field.name: field
    for field in from_model(functools.partial(network.apply, params), (1, 32, 32, 1))
}
measured_fields, frames = {}, {}
for name in names:
    measured_fields[name] = effective_receptive_field(
        Partial(functools.partial(feature_map, name=name), params),
        (1, 32, 32, 1),
        images=digits,
        cotangent="normal",
    )
    frames[name] = shapes[name].pixels([(n - 1) // 2 for n in shapes[name].shape])

assert all(measured_fields[name].support == frames[name] for name in names)
equal = [
    math.sqrt((shapes[name].size[0] ** 2 - 1) / 6) for name in names
]  # pixels that all matter alike
shares = [measured_fields[name].radius / radius for name, radius in zip(names, equal, strict=True)]
assert 0.95 < shares[0] < 1.05
assert max(shares[1:]) < 0.95
plots.effective_fields({"random weights": measured_fields}, boxes=frames, title="LeNet5 on digits")

# %% [markdown]
# ## Sensors in the brain
#
# The name is older than convolutional networks. Physiologists call the part of the visual world
# that changes how a nerve cell fires its receptive field. Hubel and Wiesel mapped such fields in
# the visual cortex of the cat (1959, 1962) and the monkey (1968): many cells answer to an edge or
# a bar in one place and orientation, and some, deeper in, wherever it lies nearby, as if they
# pooled. Field (1987) asked why. Natural images have amplitudes that fall as one over the
# frequency, and sensors that are local in place, orientation and frequency, an octave wide,
# answer such images with few large values and many small ones: a good code. The first layers of
# trained networks often come to look alike.
#
# For one correlation the receptive field in this sense *is* the kernel: the gradient of the
# output by each pixel, sign included. Here is a bank of six sensors after Field's figure, and a
# photograph as each of them sees it.

# %%
bank = np.asarray(kernels.field_1987_bank())
assert bank.shape == (6, 41, 41)
sensor = effective_receptive_field(
    functools.partial(cj.corr2d, kernel=bank[0], algorithm="direct"), (41, 41), num_images=1
)
np.testing.assert_array_equal(sensor.gradient, np.abs(bank[0]))

photograph = data.photograph()[40:340, 110:410]
responses = [cj.corr2d(photograph, kernel, padding="same", boundary="symmetric") for kernel in bank]
figure, grid = plt.subplots(2, 6, figsize=(9.6, 3.6), layout="constrained")
for (above, below), kernel, seen in zip(grid.T, bank, responses, strict=True):
    above.imshow(kernel, cmap="RdBu_r", vmin=-np.abs(kernel).max(), vmax=np.abs(kernel).max())
    below.imshow(seen, cmap="RdBu_r", vmin=-0.25, vmax=0.25)
figure.suptitle("Six sensors (above) and a photograph as each sees it")
for axes in grid.flat:
    axes.set_axis_off()

# %% [markdown]
# ## In short
#
# - Size, jump and start follow each other from layer to layer; strides and pools multiply the jump,
#   transposed convolutions divide it, branches take the union.
# - `receptive_field(layers)` needs no image, and with its size tells what every output sees;
#   `from_model(fn, image_shape)` reads the same off any function, and never claims too little.
# - A field may be larger than the image. What matters of it is smaller: near a Gaussian, with a
#   radius that grows as the square root of the depth.
# - `effective_receptive_field(fn, image_shape)` measures that by gradients.
#
# **Where to go next:** notebook 4 designs sensors such as these, 6 writes a correlation as a
# matrix, in which a receptive field is the non-zero part of a row, and 7 trains a network.
