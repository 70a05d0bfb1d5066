# %% [markdown]
# # The exercises, answered
#
# The chapter "Convolutions for Images" ends with four exercises. Its Julia edition prints answers
# to some of them, and a few of those are wrong or missing. Here are all of them, with the tool of
# conv_jax that answers each. Every answer is asserted, so if this page runs, it is right.

# %%
# %matplotlib inline
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import data, kernels, models, plots

K = jnp.array([[1.0, -1.0]])  # the chapter's: what changes from a pixel to its right neighbour?

# %% [markdown]
# ## 1. An image with diagonal edges
#
# *What happens if you apply the kernel K to it? If you transpose X? If you transpose K?*
#
# The source takes two crossing diagonals. They are lines rather than edges: brighter than what
# lies on both sides. And the image is its own transpose, so the second question shows nothing.

# %%
lines = jnp.eye(6).at[jnp.arange(6), 5 - jnp.arange(6)].set(1.0)
np.testing.assert_array_equal(lines, lines.T)
np.testing.assert_array_equal(
    cj.corr2d(lines, K),
    [
        [1, 0, 0, 0, -1],
        [-1, 1, 0, -1, 1],
        [0, -1, 0, 1, 0],
        [0, -1, 0, 1, 0],
        [-1, 1, 0, -1, 1],
        [1, 0, 0, 0, -1],
    ],
)
# The transposed kernel gives the transposed result, since the image is symmetric.
np.testing.assert_array_equal(cj.corr2d(lines, K.T), cj.corr2d(lines, K).T)

# %% [markdown]
# A diagonal *edge* parts a bright half from a dark one. Below the diagonal this image is 1, above
# it 0, and the two questions get different answers:
#
# - `K` finds the edge: 1 wherever a row falls from 1 to 0, which is along the diagonal.
# - With `X` transposed the bright half lies on the right, rows rise, and the sign turns.
# - With `K` transposed the differences go down columns, in which the same edge rises: -1 again,
#   and the result is the transpose of the previous one, for `corr2d(X, K.T)` is
#   `corr2d(X.T, K).T` for any image and kernel.

# %%
edge = jnp.tril(jnp.ones((6, 6)))
results = {
    "X": edge,
    "corr2d(X, K)": cj.corr2d(edge, K),
    "corr2d(X.T, K)": cj.corr2d(edge.T, K),
    "corr2d(X, K.T)": cj.corr2d(edge, K.T),
}
np.testing.assert_array_equal(results["corr2d(X, K)"], np.eye(6, 5))
np.testing.assert_array_equal(results["corr2d(X.T, K)"], -np.eye(6, 5, k=-1))
np.testing.assert_array_equal(results["corr2d(X, K.T)"], results["corr2d(X.T, K)"].T)

plots.arrays(results, greys=["X"], title="A diagonal edge")

# %% [markdown]
# So a difference along one axis sees every edge that is not parallel to that axis, and a diagonal
# one as well as an upright one. Only the image that is constant along the difference, as the
# chapter's transposed stripe, answers nothing.
#
# ## 2.1 An edge detector for a direction
#
# *Given v = (v1, v2), derive a kernel that detects edges orthogonal to v, that is, edges in the
# direction (v2, -v1).*
#
# An edge orthogonal to v is where the image changes fastest along v. The derivative along v is
#
# $$\partial_v = v_1\, \partial_y + v_2\, \partial_x,$$
#
# so by linearity the kernel is $v_1 D_y + v_2 D_x$, whatever the differences $D_y$ and $D_x$: two
# kernels serve all directions (they are *steerable*). A plain central difference errs more along
# the axes than between them; smoothing it across by [1, 4, 1] / 6 makes the leading error the
# same in all directions, and that is `kernels.edge(v)`, for v of length 1.

# %%
v = (1, 2)
np.testing.assert_allclose(
    kernels.directional_derivative(v),
    v[0] * np.pad(kernels.finite_difference(1, axis=0), ((0, 0), (1, 1)))
    + v[1] * np.pad(kernels.finite_difference(1, axis=1), ((1, 1), (0, 0))),
)

y, x = np.mgrid[:9, :9]
np.testing.assert_allclose(cj.corr2d(v[0] * y + v[1] * x, kernels.edge(v)), 5**0.5, rtol=1e-5)
np.testing.assert_allclose(cj.corr2d(v[1] * y - v[0] * x, kernels.edge(v)), 0, atol=1e-5)

# %% [markdown]
# An edge that is turned by the angle a from the one sought answers cos(a) as strongly. Here is a
# smooth edge in all directions, met by one detector:

# %%
detector = kernels.edge((0, 1))
y, x = np.mgrid[-10:11, -10:11]


def answer(angle):
    """Return the answer at the centre of an edge whose normal is turned by the angle."""
    along = math.sin(angle) * y + math.cos(angle) * x
    return cj.corr2d(np.tanh(along / 4).astype(np.float32), detector, padding="same")[10, 10]


angles = np.linspace(0, 2 * np.pi, 49)
answers = np.array([answer(angle) for angle in angles])
np.testing.assert_allclose(answers / answers.max(), np.cos(angles), atol=0.01)

figure, axes = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
axes.plot(np.degrees(angles), np.cos(angles), color="0.75", linewidth=5, label="cosine")
axes.plot(np.degrees(angles), answers / answers.max(), ".", label="kernels.edge((0, 1))")
axes.set(xlabel="direction of the edge's normal, degrees", ylabel="answer / largest")
axes.set_xticks(range(0, 361, 45))
axes.legend()
axes.set_title("What an edge detector answers to edges of other directions")

# %% [markdown]
# And a photograph under four of them. Grey is no change, white is brighter along v.

# %%
photograph = data.photograph()[60:330, 100:370]
directions = {
    "v = (0, 1)": (0, 1),
    "v = (1, 1)": (1, 1),
    "v = (1, 0)": (1, 0),
    "v = (1, -1)": (1, -1),
}
figure, grid = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
grid[0].imshow(photograph, cmap="gray")
grid[0].set_title("photograph")
for axes, (name, vector) in zip(grid[1:], directions.items(), strict=True):
    found = cj.corr2d(photograph, kernels.edge(vector), padding="same", boundary="edge")
    axes.imshow(found, cmap="gray", vmin=-0.2, vmax=0.2)
    axes.set_title(name)
for axes in grid:
    axes.set_axis_off()

# %% [markdown]
# ## 2.2 The second derivative
#
# *Derive a finite difference operator for the second derivative. What is the minimum size of the
# kernel? Which structures in images respond most strongly to it?*
#
# Subtract two neighbouring first differences: (x[j+1] - x[j]) - (x[j] - x[j-1]) gives [1, -2, 1].
# Two taps cannot do it. A derivative of order d has to answer 0 to polynomials of lower degree,
# and d! to the one of degree d: d + 1 equations, whose matrix (Vandermonde's) can be solved for d
# + 1 different offsets and not for fewer. `finite_difference` solves them in rational numbers,
# and refuses what has no solution.

# %%
np.testing.assert_array_equal(kernels.finite_difference(2, axis=1), [[1, -2, 1]])
try:
    kernels.finite_difference(2, axis=1, offsets=(0, 1))
except ValueError as error:
    print(error)

# %% [markdown]
# The source's example is an image whose columns 2 to 5, counted from 1, are black. Each side is a
# step, which answers a pair of 1 and -1; of the left one only a half lies within the image.

# %%
bars = jnp.ones((6, 8)).at[:, 1:5].set(0.0)
np.testing.assert_array_equal(
    cj.corr2d(bars, kernels.finite_difference(2, axis=1)), [[1, 0, 0, 1, -1, 0]] * 6
)

# %% [markdown]
# What responds most, for the same height of 1? A ramp not at all, a step by 1 on each side, a
# thin line by 2, and under the Laplacian, the sum over both axes, an isolated point by 4: the
# second derivative likes what is small and bent. That is why it also likes noise.

# %%
structures = {
    "ramp": np.tile(np.arange(7) / 8, (7, 1)),
    "step": np.tile(np.arange(7) > 3, (7, 1)),
    "line": np.tile(np.arange(7) == 3, (7, 1)),
    "point": np.pad([[1]], 3),
}
strongest = {
    name: float(abs(cj.corr2d(structure.astype(np.float32), kernels.laplacian())).max())
    for name, structure in structures.items()
}
for name, value in strongest.items():
    print(f"{name:6s} {value:.2g}")
assert list(strongest.values()) == [0, 1, 2, 4]

plots.arrays(
    {name: cj.corr2d(s.astype(np.float32), kernels.laplacian()) for name, s in structures.items()},
    title="The Laplacian of a ramp, a step, a line and a point of height 1",
)

# %% [markdown]
# ## 2.3 A blur
#
# *How would you design a blur kernel? Why might you want to use such a kernel?*
#
# The source answers "values below 1", which [0.5, -0.5], a derivative, satisfies too. A blur is a
# weighted mean: taps that are **not negative and sum to 1**. Then an even area keeps its grey
# level, and no frequency is amplified, for |H(w)| <= sum |k| = 1 = H(0). `analyze` tells it.

# %%
assert not kernels.analyze([[0.5, -0.5]]).is_blur
assert kernels.analyze([[0.5, -0.5]]).derivative_order == 1
blurs = {
    "box(5)": kernels.box(5),
    "gaussian(1)": kernels.gaussian(1.0),
    "disk(2.5)": kernels.disk(2.5),
    "motion(7, angle=0.5)": kernels.motion(7, angle=0.5),
}
for kernel in blurs.values():
    analysis = kernels.analyze(kernel)
    assert analysis.is_blur
    assert abs(analysis.frequency_response).max() < 1 + 1e-6

# %% [markdown]
# Two reasons to want one. **Noise**: of independent noise the mean keeps the part sum k^2 of the
# variance, 1 / 25 for a 5x5 box, while an image that varies slowly is hardly changed. **Fewer
# pixels**: what has more than half a period a pixel turns into a false pattern when pixels are
# left out (aliasing); a blur takes it away before.

# %%
noise = jax.random.normal(jax.random.key(0), (512, 512))
for name, kernel in blurs.items():
    kept, predicted = float(cj.corr2d(noise, kernel).var()), float((kernel**2).sum())
    print(f"{name:21s} keeps {kept:.4f} of the variance of noise, predicted {predicted:.4f}")
    assert abs(kept / predicted - 1) < 0.1

rings = np.hypot(*np.mgrid[-120:120, -120:120])
rings = (0.5 + 0.5 * np.cos(rings**2 / 125)).astype(np.float32)
figure, grid = plt.subplots(1, 3, figsize=(8.4, 3), layout="constrained")
titles = ("240 x 240 pixels", "every third pixel", "every third of the blurred")
pictures = (rings, rings[::3, ::3], cj.gaussian_blur(rings, 1.3)[::3, ::3])
for axes, picture, title in zip(grid, pictures, titles, strict=True):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()

# %% [markdown]
# ## 2.4 The smallest kernel for a derivative of order d
#
# d + 1 along its axis, by the argument above, and (d_y + 1) x (d_x + 1) for a mixed one. The
# source says so too, and that is for an error of the first order, in general. d + p different
# offsets give an error of order p; central ones need one less, for symmetry annuls every second
# term of the error.

# %%
for d in range(1, 6):
    smallest = kernels.finite_difference(d, axis=1, offsets=range(d + 1))
    assert smallest.shape == (1, d + 1)
    assert kernels.analyze(smallest, origin=(0, 0)).accuracy == 1
    assert kernels.finite_difference(d, 4, axis=1, offsets="forward").shape == (1, d + 4)
    central = np.count_nonzero(kernels.finite_difference(d, 4, axis=1))
    assert central == d + 3
mixed = kernels.compose(
    kernels.finite_difference(2, axis=0), kernels.finite_difference(1, 1, axis=1, offsets="forward")
)
assert mixed.shape == (3, 2)
assert kernels.analyze(mixed).derivative_order == 3

# %% [markdown]
# ## 3. The gradient of the Conv2D class
#
# *When you try to automatically find the gradient for the Conv2D class we created, what kind of
# error message do you see?*
#
# The Julia class fills an array in a loop, and Zygote refuses: "Mutating arrays is not
# supported". (Before that it fails for another reason: its field is called `weight`, and `kernel`
# is read.) JAX's arrays cannot be changed at all, so the same loop fails before any gradient:


# %%
def corr2d_by_mutation(image, kernel):
    rows, columns = kernel.shape
    output = jnp.zeros((image.shape[0] - rows + 1, image.shape[1] - columns + 1))
    for i in range(output.shape[0]):
        for j in range(output.shape[1]):
            output[i, j] = (image[i : i + rows, j : j + columns] * kernel).sum()
    return output


stripe = jnp.ones((6, 8)).at[:, 2:6].set(0.0)
try:
    jax.grad(lambda kernel: corr2d_by_mutation(stripe, kernel).sum())(K)
except TypeError as error:
    print(type(error).__name__, str(error).splitlines()[0][:70])
else:
    raise AssertionError("JAX's arrays have become mutable")

# %% [markdown]
# A correlation without mutation has a gradient: the sum of all outputs grows by the sum of the
# pixels that each tap meets, here 18 for either. The chapter's layer, in Flax:

# %%
gradient = jax.grad(lambda kernel: cj.corr2d(stripe, kernel).sum())(K)
np.testing.assert_array_equal(gradient, [[18, 18]])

layer = models.Conv2D((1, 2), rngs=nnx.Rngs(0))
gradients = nnx.grad(lambda layer: layer(stripe).sum())(layer)
np.testing.assert_array_equal(gradients["weight"][...], [[18, 18]])
assert gradients["bias"][...] == 6 * 7  # one for each output

# %% [markdown]
# ## 4. Correlation as a matrix product
#
# *How do you represent a cross-correlation operation as a matrix multiplication by changing the
# input and kernel tensors?* The source leaves this empty. There are two ways. Change the
# **image**: write what the window sees at each position into a row (`im2col`), and multiply by
# the kernel, as a vector. Or change the **kernel**: write it into a large sparse matrix that
# multiplies the image, as a vector (`corr2d_matrix`).

# %%
output = cj.corr2d(stripe, K)
np.testing.assert_allclose(cj.im2col(stripe, K.shape) @ K.ravel(), output)

matrix = cj.corr2d_matrix(K, stripe.shape)
assert matrix.shape == (6 * 7, 6 * 8)
np.testing.assert_allclose((matrix @ stripe.ravel()).reshape(6, 7), output)

# %% [markdown]
# ## In one table
#
# | exercise | answer | tool |
# |---|---|---|
# | 1.1 K on a diagonal edge | 1 along the diagonal | `corr2d` |
# | 1.2 X transposed | -1 just below the diagonal | `corr2d` |
# | 1.3 K transposed | the transpose of 1.2 | `corr2d` |
# | 2.1 edges orthogonal to v | v1 D_y + v2 D_x, smoothed across | `kernels.edge` |
# | 2.2 second derivative | [1, -2, 1], three taps; points, lines | `kernels.finite_difference` |
# | 2.3 a blur | taps from 0 up that sum to 1; noise, aliasing | `kernels.gaussian`, `analyze` |
# | 2.4 smallest kernel of order d | d + 1 | `kernels.finite_difference` |
# | 3 the gradient of a mutating loop | an error; [[18, 18]] without | `corr2d`, `models.Conv2D` |
# | 4 as a matrix product | rows of windows, or a sparse matrix | `im2col`, `corr2d_matrix` |
#
# Where to go next: `4_kernel_design.py` for kernels, `6_matrices.py` for the matrix.
