# %% [markdown]
# # Padding, stride, dilation
#
# This page answers: how large is the output of a correlation, what lies around the image, where
# do the padding words put it, what do stride and dilation do to the window, and how does all of
# that look from a pixel's side?
#
# The matrices and formulas of the notes "Understanding convolutions", section "Padding and
# Stride", are asserted on the way.

# %%
# %matplotlib inline
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
import scipy.signal
from jax import lax
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import conv_jax as cj
from conv_jax import plots

# %% [markdown]
# ## Why pad
#
# A window of $k$ pixels has $n - k + 1$ places on an axis of $n$. So every layer takes something
# off the border: ten 5x5 layers make 200x200 out of 240x240. And what is at the border counts less:
# the pixel in a corner is seen by one window, one in the middle by $k^2$.
#
# *Padding* puts pixels around the image, most often zeros, so that the window has more places. Here
# is the notes' example, a 3x3 image with one row and column of zeros on each side, under a 2x2
# kernel, at all 16 positions.

# %%
image = jnp.arange(9.0).reshape(3, 3)
kernel = jnp.array([[0.0, 1.0], [2.0, 3.0]])

plots.sliding_window(image, kernel, padding=1, cell=0.24)

# %%
padded = cj.corr2d(image, kernel, padding=1)
np.testing.assert_array_equal(
    padded, [[0, 3, 8, 4], [9, 19, 25, 10], [21, 37, 43, 16], [6, 7, 8, 0]]
)
np.testing.assert_array_equal(padded[1:3, 1:3], cj.corr2d(image, kernel))

# %% [markdown]
# ## The padding words
#
# | `padding=` | pixels before and after an axis | size of the output |
# |---|---|---|
# | `"valid"` | none | $n - e + 1$ |
# | `"same"` | $\lfloor (e - 1) / 2 \rfloor$ before, the rest of $e - 1$ after | $n$ |
# | `"same_lower"` | $\lceil (e - 1) / 2 \rceil$ before, the rest after | $n$ |
# | `"full"` | $e - 1$ on both sides: every place where the window touches the image | $n + e - 1$ |
# | `2` | two on all four sides | $n + 4 - e + 1$ |
# | `((1, 0), (2, 3))` | (top, bottom), (left, right) | $n + \ldots - e + 1$ |
#
# $e$ is the extent of the kernel, which is its size $k$ as long as its elements are not spread
# (dilation, below). The words apply to each axis by itself. For an image of six pixels and a kernel
# of four:

# %%
size, kernel_size = 6, 4
words = {"valid": (0, 0), "same": (1, 2), "same_lower": (2, 1), "full": (3, 3)}

figure, axes = plt.subplots(figsize=(7.4, 3.2), layout="constrained")
for y, (word, (before, after)) in enumerate(words.items()):
    [_, places] = cj.output_shape((1, size), (1, kernel_size), padding=((0, 0), (before, after)))
    assert cj.output_shape((9, size), (4, kernel_size), padding=word)[1] == places
    for x in range(-before, size + after):
        face = "white" if 0 <= x < size else "0.85"
        axes.add_patch(Rectangle((x, y), 1, 0.5, facecolor=face, edgecolor="0.5"))
    for place, colour in ((0, "C0"), (places - 1, "C3")):
        x = place - before
        axes.add_patch(Rectangle((x, y), kernel_size, 0.5, fill=False, ec=colour, lw=2.5, zorder=3))
    axes.text(-3.4, y + 0.25, f'"{word}"', ha="right", va="center", fontsize=11)
    axes.text(9.4, y + 0.25, f"{places} outputs", va="center", fontsize=10)
axes.set(xlim=(-5.8, 11.4), ylim=(3.7, -0.2), aspect="equal")
axes.set_title("Image white, padding grey; first window blue, last red", fontsize=10)
axes.set_axis_off()

# %% [markdown]
# ### Even kernels: two conventions called "same"
#
# A kernel of odd size has a middle, and its padding is the same on both sides. One of even size has
# none, and libraries disagree on which side gets the odd pixel. To see what a function does, give
# it a kernel that is 1 at its first element and 0 elsewhere: it shifts the image, and the zeros
# that come in were put before it. (For a convolution the last element is the 1.)

# %%
row = jnp.ones((1, 9))


def by_lax(padding):
    return lambda image, kernel: lax.conv(image[None, None], kernel[None, None], (1, 1), padding)[
        0, 0
    ]


functions = {
    'conv_jax.corr2d, "same"': lambda x, k: cj.corr2d(x, k, padding="same"),
    "jax.lax.conv, SAME": by_lax("SAME"),
    "scipy.signal.correlate2d": lambda x, k: scipy.signal.correlate2d(x, k, "same"),
    "jax.scipy.signal.correlate2d": lambda x, k: jax.scipy.signal.correlate2d(x, k, "same"),
    "scipy.ndimage.convolve": lambda x, k: scipy.ndimage.convolve(x, k[:, ::-1], mode="constant"),
    'conv_jax.corr2d, "same_lower"': lambda x, k: cj.corr2d(x, k, padding="same_lower"),
    "jax.lax.conv, SAME_LOWER": by_lax("SAME_LOWER"),
    "scipy.signal.correlate": lambda x, k: scipy.signal.correlate(x, k, "same", method="direct"),
    "scipy.signal.convolve2d": lambda x, k: scipy.signal.convolve2d(x, k[:, ::-1], "same"),
    "jax.scipy.signal.correlate": lambda x, k: jax.scipy.signal.correlate(x, k, "same"),
    "jax.scipy.signal.convolve2d": lambda x, k: jax.scipy.signal.convolve2d(x, k[:, ::-1], "same"),
    "scipy.ndimage.correlate": lambda x, k: scipy.ndimage.correlate(x, k, mode="constant"),
}
print(f"{'pixels before, for kernels of':30s}  2  3  4  5")
for name, function in functions.items():
    first_elements = [jnp.zeros((1, k)).at[0, 0].set(1) for k in (2, 3, 4, 5)]
    before = [int(np.sum(np.asarray(function(row, first)) == 0)) for first in first_elements]
    assert before == ([1, 1, 2, 2] if list(functions).index(name) >= 5 else [0, 1, 1, 2]), name
    print(f"{name:30s}", *(f"{pixels:2d}" for pixels in before))

# %% [markdown]
# torch's `padding="same"` is of the first kind, OpenCV's `filter2D` of the second, and SciPy has
# both, even for `correlate2d` and `correlate`. Whoever takes one for the other is off by a pixel,
# so conv_jax gives each its name.
#
# ## Boundaries: what the padding holds
#
# Zeros are only one choice. Five rules, named as in `jnp.pad`; the padding may be longer than the
# image. A kernel of a single 1 shows what `corr2d` sees:

# %%
strokes = ["......", ".XXXX.", ".X....", ".XXX..", ".X....", ".X....", "......"]
ramp = np.add.outer(np.linspace(0.1, 0.3, 7), np.linspace(0, 0.4, 6))
letter = np.where([[mark == "X" for mark in line] for line in strokes], 1.0, ramp)
boundaries = ("constant", "edge", "reflect", "symmetric", "wrap")

figure, grid = plt.subplots(1, 5, figsize=(10.5, 2.5), layout="constrained")
for axes, boundary in zip(grid, boundaries, strict=True):
    axes.imshow(cj.corr2d(letter, [[1.0]], padding=9, boundary=boundary), cmap="gray", vmin=0)
    axes.add_patch(Rectangle((8.5, 8.5), 6, 7, fill=False, edgecolor="C3", linewidth=2))
    axes.set_title(boundary)
    axes.set_axis_off()

# %%
letters = "abcd"
positions = jnp.arange(1.0, 5.0)[None]
expected = {
    "constant": ".....abcd.....",
    "edge": "aaaaaabcdddddd",
    "reflect": "bcdcbabcdcbabc",
    "symmetric": "ddcbaabcddcbaa",
    "wrap": "dabcdabcdabcda",
}
for boundary in boundaries:
    sight = cj.corr2d(positions, [[1.0]], padding=((0, 0), (5, 5)), boundary=boundary)[0]
    written = "".join(("." + letters)[int(value)] for value in sight)
    print(f"{boundary:10s} {written[:5]} {written[5:9]} {written[9:]}")
    assert written == expected[boundary]

# %% [markdown]
# The choice shows at the border. A blur of a white image should stay white; zeros darken its frame,
# to 4/9 in the corners, and the other four rules leave it as it is.

# %%
white, box = jnp.ones((5, 7)), jnp.full((3, 3), 1 / 9)
blurred = {
    boundary: cj.corr2d(white, box, padding="same", boundary=boundary) for boundary in boundaries
}
np.testing.assert_allclose(blurred["constant"][0, 0], 4 / 9, rtol=1e-6)
for boundary in boundaries[1:]:
    np.testing.assert_allclose(blurred[boundary], white, rtol=1e-6)
shown = ("constant", "symmetric")
plots.arrays({name: blurred[name] for name in shown}, greys=shown, cell=0.42)

# %% [markdown]
# ## Total padding
#
# The notes count the padding of both sides together: $p_h$ rows and $p_w$ columns in all, "roughly
# half" on each side. The output is $(n_h - k_h + p_h + 1) \times (n_w - k_w + p_w + 1)$, and with
# $p = k - 1$ it has the size of the image. `split_padding` splits the totals, the larger half above
# and on the left:

# %%
for total in ((2, 2), (1, 4), (3, 0)):
    print(total, "->", cj.split_padding(total))
assert cj.split_padding((3, 0)) == ((2, 1), (0, 0))

for n, k, p in itertools.product(range(1, 8), range(1, 6), range(6)):
    if k <= n + p:
        shape = cj.output_shape((n, 9), (k, 4), padding=cj.split_padding((p, 3)))
        assert shape == (n - k + p + 1, 9)
# For even k, p = k - 1 is odd, and the larger half above makes it "same_lower".
np.testing.assert_array_equal(
    cj.corr2d(image, kernel, padding=cj.split_padding((1, 1))),
    cj.corr2d(image, kernel, padding="same_lower"),
)

# %% [markdown]
# ## Stride
#
# With a stride $(s_h, s_w)$ the window moves by so many rows and columns at a time. The notes'
# example again, by (3, 2): four positions of the 16.

# %%
plots.sliding_window(image, kernel, padding=1, stride=(3, 2), cell=0.3)

# %%
strided = cj.corr2d(image, kernel, padding=1, stride=(3, 2))
np.testing.assert_array_equal(strided, [[0, 8], [6, 8]])
np.testing.assert_array_equal(strided, padded[::3, ::2])

# %% [markdown]
# So a strided correlation is the unstrided one with rows and columns left out, only that they are
# never computed. The notes' formula for its size,
#
# $$\Bigl\lfloor \frac{n - k + p + s}{s} \Bigr\rfloor
# = \Bigl\lfloor \frac{n - k + p}{s} \Bigr\rfloor + 1,$$
#
# counts the first place and then the whole strides that fit. What remains on the right and below,
# less than a stride, is not seen by any window; nor are pixels between windows, where the stride is
# longer than the kernel.

# %%
for n, k, p, s in itertools.product(range(1, 10), range(1, 5), range(4), range(1, 5)):
    if k <= n + p:
        [rows, _] = cj.output_shape((n, 4), (k, 4), stride=s, padding=((p, 0), (0, 0)))
        assert rows == (n - k + p + s) // s == len(range(0, n + p - k + 1, s))

# %% [markdown]
# ## Dilation
#
# A dilation $d$ spreads the kernel: its elements lie $d$ pixels apart, with holes between them, and
# see further without more arithmetic. The *extent* of the window, outlined, is
#
# $$e = d\,(k - 1) + 1,$$
#
# and takes the place of $k$ in every formula above.

# %%
field = jnp.arange(49.0).reshape(7, 7)
ones = jnp.ones((3, 3))

for dilation, side in ((1, 5), (2, 3), (3, 1)):
    assert cj.output_shape((7, 7), (3, 3), dilation=dilation) == (side, side)
    assert side == 7 - (dilation * 2 + 1) + 1

plots.sliding_window(
    field, ones, dilation=2, positions=[(0, 0), (0, 2), (2, 2)], cell=0.26, title="dilation 2"
)

# %% [markdown]
# It is the same as a larger kernel with zeros in the holes, without the multiplications by zero.

# %%
with_holes = jnp.zeros((5, 5)).at[::2, ::2].set(ones)
np.testing.assert_array_equal(
    cj.corr2d(field, ones, dilation=2, padding="same"), cj.corr2d(field, with_holes, padding="same")
)

# %% [markdown]
# ## All of it in one formula
#
# $$n' = \Bigl\lfloor \frac{n + p - d\,(k - 1) - 1}{s} \Bigr\rfloor + 1$$

# %%
print(" n   k  padding       p   s   d  |  extent   n'")
for n, k, padding, s, d in (
    (240, 5, "valid", 1, 1),
    (28, 5, "valid", 1, 1),
    (28, 5, "same", 1, 1),
    (28, 5, "full", 1, 1),
    (28, 2, "valid", 2, 1),
    (27, 2, "valid", 2, 1),
    (27, 2, "same", 2, 1),
    (224, 7, 3, 2, 1),
    (224, 3, 1, 2, 1),
    (64, 3, "valid", 1, 4),
    (64, 3, "same", 1, 4),
    (64, 3, 4, 3, 4),
    (3, 2, 1, 3, 1),
):
    extent = d * (k - 1) + 1
    both_sides = {"valid": 0, "same": extent - 1, "full": 2 * (extent - 1)}
    p = both_sides[padding] if isinstance(padding, str) else 2 * padding
    out, _ = cj.output_shape((n, n), (k, k), padding=padding, stride=s, dilation=d)
    assert out == (n + p - extent) // s + 1
    print(f"{n:3d} {k:3d}  {padding!r:9s} {p:5d} {s:3d} {d:3d}  |  {extent:6d} {out:4d}")

# %% [markdown]
# A kernel that does not fit is refused, in words:

# %%
try:
    cj.output_shape((7, 7), (3, 3), dilation=4)
except ValueError as error:
    print(error)

# %% [markdown]
# ## From the pixel's side
#
# Turn the question around: where does an output *come from*, and where does a pixel *go to*? A
# correlation is linear in its image, so it has a transpose. It takes an array of outputs and puts
# a copy of the kernel, weighted by the output, where its window was, adding where copies overlap.
# `jax.linear_transpose` gives it; `jax.grad` uses it; decoders call it a transposed convolution.
#
# The copy of one output shows what dilation does to the window: a stamp with holes.


# %%
def transposed(outputs, kernel, image_shape, **options):
    """Return the image that these outputs make by the transpose of the correlation."""
    images = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    [image] = jax.linear_transpose(lambda x: cj.corr2d(x, kernel, **options), images)(outputs)
    return image


digits3x3 = jnp.arange(1.0, 10.0).reshape(3, 3)
stamps = {
    f"dilation {d}: extent {2 * d + 1}": transposed(
        jnp.ones((1, 1)), digits3x3, (2 * d + 1, 2 * d + 1), dilation=d
    )
    for d in (1, 2, 3, 4)
}
for d, stamp in enumerate(stamps.values(), start=1):
    np.testing.assert_array_equal(stamp[::d, ::d], digits3x3)
    assert int(jnp.count_nonzero(stamp)) == 9
plots.arrays(stamps, cell=0.27)

# %% [markdown]
# With outputs and kernel of ones the transpose counts how many windows see each pixel. Without
# padding the border is seen less. "full" sees every pixel equally often. A stride thins this out:
# if it is larger than the window, some pixels are seen by none.

# %%
settings = {
    "3x3, valid": ((3, 3), {}),
    "3x3, same": ((3, 3), {"padding": "same"}),
    "3x3, full": ((3, 3), {"padding": "full"}),
    "3x3, dilation 2": ((3, 3), {"dilation": 2}),
    "3x3, stride 2": ((3, 3), {"stride": 2}),
    "2x2, stride 2": ((2, 2), {"stride": 2}),
    "2x2, stride 3": ((2, 2), {"stride": 3}),
    "3x3, stride 2, same": ((3, 3), {"stride": 2, "padding": "same"}),
}
seen = {}
for name, (kernel_shape, options) in settings.items():
    outputs = jnp.ones(cj.output_shape((7, 7), kernel_shape, **options))
    seen[name] = transposed(outputs, jnp.ones(kernel_shape), (7, 7), **options)

assert (seen["3x3, valid"][0, 0], seen["3x3, valid"][3, 3]) == (1, 9)
np.testing.assert_array_equal(seen["3x3, full"], np.full((7, 7), 9))
assert (seen["2x2, stride 3"] == 0).any()
plots.arrays(seen, across=4, cell=0.27, title="How many windows see each pixel of a 7x7 image")

# %% [markdown]
# The transpose is such a sum again: put $s - 1$ zeros between the outputs, and strictly convolve
# them, in full, with the dilated kernel. What was a stride of the window is now a spread of the
# outputs. The image has $s\,(n' - 1) + e$ pixels on an axis, less the padding.

# %%
outputs = jnp.arange(1.0, 7.0).reshape(2, 3)
stride, dilation = 3, 2
extent = tuple(dilation * (k - 1) + 1 for k in digits3x3.shape)
image_shape = tuple(stride * (n - 1) + e for n, e in zip(outputs.shape, extent, strict=True))
spread = jnp.zeros((4, 7)).at[::stride, ::stride].set(outputs)

np.testing.assert_array_equal(
    transposed(outputs, digits3x3, image_shape, stride=stride, dilation=dilation),
    cj.conv2d(spread, digits3x3, dilation=dilation, padding="full"),
)
image_shape

# %% [markdown]
# **Where to go next:** notebook 5 follows windows through a whole network, as receptive fields, and
# 6 writes the correlation and its transpose as matrices.
