# %% [markdown]
# # Correlation as a matrix, and its spectrum
#
# The fourth exercise of the chapter "Convolutions for Images" asks how to write a correlation as
# a matrix multiplication, by changing the image and the kernel. There are two answers, because a
# correlation is linear in both. One makes a matrix of the image, and that is how many libraries
# compute it. The other makes a matrix of the kernel, and that is how it is best understood: what
# it amplifies, what it loses, and why a blurred photograph cannot simply be sharpened again.
#
# Every statement of this page is computed, and asserted where it can be.

# %%
# %matplotlib inline
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import conv_jax as cj
from conv_jax import data, kernels

rng = np.random.default_rng(0)


def show(axes, values, title, *, signed=True, limit=None):
    """Draw a matrix, blue below 0, white at 0 and red above, or in grey."""
    limit = np.abs(values).max() if limit is None else limit
    low, colours = (-limit, "RdBu_r") if signed else (0, "gray")
    picture = axes.imshow(values, cmap=colours, vmin=low, vmax=limit, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    return picture


# %% [markdown]
# ## First answer: change the image
#
# Each output is the scalar product of the kernel with one window of the image. `im2col` writes
# all windows down, one a row; the kernel becomes a column. With the numbers of the chapter:

# %%
image, kernel = jnp.arange(9).reshape(3, 3), jnp.arange(4).reshape(2, 2)
windows = cj.im2col(image, kernel.shape).reshape(4, 4)
print(windows, "times", kernel.ravel(), "=", windows @ kernel.ravel())
np.testing.assert_array_equal((windows @ kernel.ravel()).reshape(2, 2), [[19, 25], [37, 43]])

# %% [markdown]
# And for a handwritten digit, an edge detector, and one window marked in both:

# %%
digit = jnp.asarray(data.load("digits").train.images[0].reshape(8, 8), jnp.float32)
edge = kernels.sobel(axis=1)
windows = cj.im2col(digit, edge.shape)  # [6, 6, 9]
response = windows @ edge.ravel()
np.testing.assert_array_equal(response, cj.corr2d(digit, edge))

figure, axes = plt.subplots(
    1, 4, figsize=(10, 4.2), width_ratios=[8, 5, 1.3, 6], layout="constrained"
)
row, column = 2, 3
show(axes[0], digit, "image, 8 x 8", signed=False)
axes[0].add_patch(Rectangle((column - 0.5, row - 0.5), 3, 3, fill=False, color="C1", lw=2.5))
show(axes[1], windows.reshape(36, 9), "its windows, 36 x 9", signed=False)
axes[1].set_aspect("auto")
axes[1].add_patch(Rectangle((-0.5, 6 * row + column - 0.5), 9, 1, fill=False, color="C1", lw=2.5))
show(axes[2], edge.reshape(9, 1), "kernel")
show(axes[3], response, "product, as an image")
axes[3].add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, color="C1", lw=2.5))

# %% [markdown]
# Padding, stride, dilation and boundary decide which windows there are, and nothing else. With
# many channels the windows of all channels stand side by side, with many kernels there are many
# columns: a whole layer is one product of matrices, the operation that processors are best at.

# %%
images, layer = rng.normal(size=(3, 8, 8)), rng.normal(size=(4, 3, 3, 3))  # [C, H, W], [O, C, 3, 3]
windows = cj.im2col(images, (3, 3), padding=1, stride=2)  # [C, H', W', 9]
windows = jnp.moveaxis(windows, 0, 2).reshape(4 * 4, 3 * 9)
as_product = windows @ layer.reshape(4, 3 * 9).T  # [H' W', O]
by_lax = lax.conv_general_dilated(images[None], layer, (2, 2), ((1, 1), (1, 1)))[0]  # [O, H', W']
np.testing.assert_allclose(as_product.T.reshape(4, 4, 4), by_lax, atol=1e-5)

# %% [markdown]
# ### Back again: `col2im`
#
# `im2col` copies pixels, so it is linear too, and has an adjoint: `col2im` adds the windows up
# where they lie. The adjoint is defined by one equation between scalar products, which holds
# exactly here, in whole numbers:

# %%
image = rng.integers(-9, 10, (6, 7))
options = {"padding": ((2, 0), (1, 3)), "boundary": "reflect", "stride": (1, 2)}
windows = cj.im2col(image, (3, 2), **options)
columns = rng.integers(-9, 10, windows.shape)
image_of_columns = cj.col2im(columns, image.shape, (3, 2), **options)
assert jnp.vdot(windows, columns) == jnp.vdot(image, image_of_columns)

# %% [markdown]
# Windows full of ones count how many windows see each pixel. That is also how much it contributes
# to all outputs together, the gradient of their sum for a kernel of ones: at the border less than
# inside, unless the boundary shows it more often.

# %%
settings = {
    "valid": {},
    "stride 2": {"stride": 2},
    "same": {"padding": "same"},
    "same, reflect": {"padding": "same", "boundary": "reflect"},
    "same, wrap": {"padding": "same", "boundary": "wrap"},
}
figure, axes = plt.subplots(1, 5, figsize=(10, 2.3), layout="constrained")
for axis, (title, options) in zip(axes, settings.items(), strict=True):
    ones = jnp.ones_like(cj.im2col(jnp.zeros((7, 7)), (3, 3), **options))
    counts = np.asarray(cj.col2im(ones, (7, 7), (3, 3), **options)).astype(int)
    axis.imshow(counts, cmap="Blues", vmin=0, vmax=16)
    for (i, j), count in np.ndenumerate(counts):
        axis.text(j, i, count, ha="center", va="center", size=8, color="w" if count > 9 else "k")
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[])

ones, reflect = jnp.ones((3, 3)), settings["same, reflect"]
counts = cj.col2im(jnp.ones((7, 7, 9)), (7, 7), (3, 3), **reflect)
gradient = jax.jit(jax.grad(lambda image: cj.corr2d(image, ones, **reflect).sum()))
np.testing.assert_array_equal(counts, gradient(jnp.zeros((7, 7))))

# %% [markdown]
# ## Second answer: change the kernel
#
# Now the image becomes a column, all its pixels one row after the other, and the kernel a matrix
# with a row for each output: `corr2d_matrix`. Each row of it is the kernel, spread out to where
# its pixels are.

# %%
kernel = jnp.array([[1, 2, 1], [3, -4, -2], [-1, 2, -3]])
image = rng.integers(-9, 10, (4, 5))
settings = {
    "valid": {},
    "same, zeros": {"padding": "same"},
    "same, edge": {"padding": "same", "boundary": "edge"},
    "same, wrap": {"padding": "same", "boundary": "wrap"},
}
matrices = {name: cj.corr2d_matrix(kernel, (4, 5), **s) for name, s in settings.items()}
for name, matrix in matrices.items():
    expected = cj.corr2d(image, kernel, **settings[name]).ravel()
    np.testing.assert_array_equal(matrix @ image.ravel(), expected)


def lines_between_blocks(axes, matrix, *, rows, columns):
    for row in range(rows, matrix.shape[0], rows):
        axes.axhline(row - 0.5, color="0.6", lw=0.7)
    for column in range(columns, matrix.shape[1], columns):
        axes.axvline(column - 0.5, color="0.6", lw=0.7)


figure, axes = plt.subplots(
    1, 5, figsize=(12, 3.2), width_ratios=[3, 8, 8, 8, 8], layout="constrained"
)
show(axes[0], kernel, "kernel", limit=6)
for axis, (name, matrix) in zip(axes[1:], matrices.items(), strict=True):
    show(axis, matrix, f"{name}: {matrix.shape[0]} x {matrix.shape[1]}", limit=6)
    lines_between_blocks(axis, matrix, rows=3 if name == "valid" else 5, columns=5)

# %% [markdown]
# The matrix has one block for each pair of a row of the output and a row of the image. Inside a
# block every diagonal repeats one number, and so the blocks themselves repeat along the diagonals
# of blocks: it is *doubly blocked Toeplitz*. That is what it means, in a matrix, that a
# correlation does the same everywhere. At an edge the kernel elements that fall outside are added
# to the pixel that stands for them, and with "wrap" they come in again on the other side: the
# matrix is *doubly blocked circulant*.

# %%
blocks = np.asarray(matrices["same, zeros"]).reshape(4, 5, 4, 5).swapaxes(1, 2)  # [4, 4] of [5, 5]
np.testing.assert_array_equal(blocks[1:, 1:], blocks[:-1, :-1])
np.testing.assert_array_equal(blocks[:, :, 1:, 1:], blocks[:, :, :-1, :-1])
around = np.asarray(matrices["same, wrap"]).reshape(4, 5, 4, 5)
np.testing.assert_array_equal(around, np.roll(around, (1, 1), axis=(0, 2)))
np.testing.assert_array_equal(around, np.roll(around, (1, 1), axis=(1, 3)))

# %% [markdown]
# A kernel that is a column times a row gives the Kronecker product of two small matrices, one for
# each axis. This is why such a kernel may be applied one axis at a time.

# %%
column, row = jnp.array([[1], [2], [1]]), jnp.array([[1, 0, -1]])
down, across = cj.corr2d_matrix(column, (4, 1)), cj.corr2d_matrix(row, (1, 5))
np.testing.assert_array_equal(cj.corr2d_matrix(column * row, (4, 5)), jnp.kron(down, across))

# %% [markdown]
# ## The transposed matrix
#
# Of a loss that is a function of `M @ x`, the gradient by x is `M.T` times the gradient by the
# output: automatic differentiation of a correlation multiplies with the transposed matrix,
# without ever making it. Applied forwards, to make an image larger, the same product is called
# *transposed convolution*. It brings back the shape of the image, not the image.

# %%
image, kernel = digit[:7, :7], kernels.binomial(3)
small, pullback = jax.vjp(lambda x: cj.corr2d(x, kernel, stride=2), image)
matrix = cj.corr2d_matrix(kernel, (7, 7), stride=2)
np.testing.assert_allclose(matrix @ image.ravel(), small.ravel(), rtol=1e-6)
large = (matrix.T @ small.ravel()).reshape(7, 7)
np.testing.assert_allclose(large, pullback(small)[0], rtol=1e-6)
transposed = lax.conv_transpose(
    small[None, None],
    kernel[None, None],
    (2, 2),
    "VALID",
    dimension_numbers=("NCHW", "OIHW", "NCHW"),
    transpose_kernel=True,
)[0, 0]
np.testing.assert_allclose(large, transposed, rtol=1e-6)
columns = small[..., None] * kernel.ravel()  # each output, times the kernel: a window
np.testing.assert_allclose(large, cj.col2im(columns, (7, 7), (3, 3), stride=2), rtol=1e-6)

figure, axes = plt.subplots(
    1, 5, figsize=(12, 3.2), width_ratios=[7, 18, 7, 4, 7], layout="constrained"
)
show(axes[0], image, "x, 7 x 7", signed=False)
show(axes[1], matrix, "M: kernel [1, 2, 1] both ways, stride 2, 9 x 49")
lines_between_blocks(axes[1], matrix, rows=3, columns=7)
show(axes[2], small, "M x, 3 x 3", signed=False)
show(axes[3], matrix.T, "M, transposed")
lines_between_blocks(axes[3], matrix.T, rows=7, columns=3)
show(axes[4], large, "that times M x, 7 x 7", signed=False)

# %% [markdown]
# ## What the matrices weigh
#
# `im2col` repeats every pixel up to kH kW times; the matrix of the kernel has a row of zeros, but
# for kH kW entries, for every output. For an image of n x n pixels that is about n^4 numbers, of
# which 9 n^2 count. `sparse=True` keeps those alone, in JAX's own format, and still multiplies,
# transposes and differentiates.

# %%
sizes = np.array([8, 16, 32, 64, 128, 256, 512])
kernel, megabyte = jnp.ones((3, 3)), 2.0**20
sparse = {n: cj.corr2d_matrix(kernel, (n, n), sparse=True) for n in (32, 256)}
for n, matrix in sparse.items():
    assert matrix.nse == 9 * (n - 2) ** 2
    assert matrix.data.nbytes + matrix.indices.nbytes == 12 * matrix.nse
dense = cj.corr2d_matrix(kernel, (32, 32))
np.testing.assert_array_equal(sparse[32].todense(), dense)
assert dense.nbytes == 4 * 30**2 * 32**2

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
outputs = (sizes - 2) ** 2
for label, numbers in {
    "dense matrix of the kernel": 4 * outputs * sizes**2,
    "sparse: values and places": 12 * 9 * outputs,
    "windows of the image": 4 * 9 * outputs,
    "the image": 4 * sizes**2,
}.items():
    (line,) = axes.loglog(sizes, numbers / megabyte, "o-", ms=4)
    axes.text(570, numbers[-1] / megabyte, label, color=line.get_color(), va="center", size=9)
axes.axhline(80 * 1024, color="0.6", ls=":", lw=1)
axes.text(8, 10**5, "an accelerator of 80 GB", size=8, color="0.4")
axes.set_xticks(sizes, [str(n) for n in sizes])
axes.xaxis.set_minor_locator(plt.NullLocator())
axes.set(xlabel="n, for n x n pixels", ylabel="MB (float32, kernel 3 x 3)", ylim=(1e-4, 1e6))
axes.grid(alpha=0.3)
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# So the matrix is for small images and for thinking; `cj.corr2d` never makes it.

# %% [markdown]
# ## On a torus, Fourier knows everything
#
# With boundary "wrap" the image has no border: its last row is followed by its first. Then every
# row of the matrix is the one above, moved on by a pixel, and all such matrices have the same
# eigenvectors: the waves of the discrete Fourier transform. For if a wave is moved by a pixel it
# only changes its phase, and a weighted sum of moved waves is the wave times a number. That
# number is the kernel's own transform at the frequency of the wave. In the basis of waves the
# matrix is diagonal:

# %%
height, width = 6, 8
kernel = kernels.sobel(axis=1) + 0.5 * kernels.identity(3)
matrix = cj.corr2d_matrix(kernel, (height, width), padding="same", boundary="wrap")


def waves(n):
    """Return the n waves of n pixels as columns of a unitary matrix."""
    return np.exp(2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / np.sqrt(n)


basis = np.kron(waves(height), waves(width))
in_waves = basis.conj().T @ np.asarray(matrix) @ basis
around = np.zeros((height, width))
around[np.ix_([-1, 0, 1], [-1, 0, 1])] = kernel  # its centre at pixel (0, 0)
transform = np.fft.fft2(around).conj()  # a correlation, so conjugated
np.testing.assert_allclose(in_waves, np.diag(transform.ravel()), atol=1e-5)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
picture = show(axes[0], matrix, 'M with "wrap", 48 x 48')
lines_between_blocks(axes[0], matrix, rows=width, columns=width)
figure.colorbar(picture, ax=axes[0], shrink=0.85)
show(axes[1], abs(in_waves), "the same in the basis of waves", signed=False)
picture = show(
    axes[2], np.fft.fftshift(abs(transform)), "its diagonal, at the frequencies", signed=False
)
axes[2].set(xticks=[0, 4, 7], xticklabels=["-1/2", "0", "3/8"], xlabel="across, cycles a pixel")
axes[2].set(yticks=[0, 3, 5], yticklabels=["-1/2", "0", "1/3"], ylabel="down")
figure.colorbar(picture, ax=axes[1:], shrink=0.85, label="modulus")

# %% [markdown]
# That is the convolution theorem, seen from the matrix. It makes a product with M cost two
# transforms, and an inverse of M as little.
#
# ## Singular values: what a kernel does to images
#
# Any matrix is a rotation (perhaps with a reflection), a stretching along axes, and another such
# rotation. The factors of stretching are its singular values: there is an orthonormal basis of
# images that the correlation turns into orthogonal images again, each longer or shorter by one of
# them. On the torus they are the moduli of the kernel's transform, for the waves are that basis;
# `cj.matrices.singular_values` knows when that is so. For other boundaries it decomposes the
# matrix itself.

# %%
wrap = {"padding": "same", "boundary": "wrap"}
values = cj.matrices.singular_values(kernel, (height, width), **wrap)
np.testing.assert_allclose(values, np.sort(abs(transform).ravel())[::-1], atol=1e-5)
decomposed = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
np.testing.assert_allclose(values, decomposed, atol=1e-5)

zoo = {
    "identity": kernels.identity(3),
    "mean of 3 x 3": kernels.box(3),
    "binomial 3 x 3": kernels.binomial(3),
    "Sobel / 8": kernels.sobel(axis=1) / 8,
    "Laplacian / 8": kernels.laplacian(neighbours=8) / 8,
    "sharpen": kernels.sharpen(),
}
shape = (48, 48)
spectra = {name: cj.matrices.singular_values(k, shape, **wrap) for name, k in zoo.items()}

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, values in spectra.items():
    axes.semilogy(np.linspace(0, 100, len(values)), np.maximum(values, 1e-9), label=name)
axes.set(
    xlabel="share of the basis, %", ylabel="stretched by (log)", ylim=(1e-4, 20), xlim=(0, 100)
)
axes.grid(alpha=0.3)
axes.legend(fontsize=8, loc="lower left")

# %% [markdown]
# Each curve tells a story. The identity leaves all images as they are. Sharpening loses nothing,
# all its values are at least 1, and so it can be undone. Blurs stretch nothing by more than 1,
# since their taps are not negative and sum to 1, and they come down to 0: some images they
# delete. Which ones can be counted. A mean of three neighbours has no answer to waves with a
# period of three pixels. There are two of them along each axis, each with any of 48 along the
# other: 2 * 96 images of 2304, or 188, as 4 have been counted twice. The binomial kernel deletes
# what alternates from one pixel to the next; so does Sobel's downwards and, as a derivative, it
# deletes all that has the same on the left of a pixel as on its right.

# %%
deleted = {name: int(jnp.sum(values < 1e-6)) for name, values in spectra.items()}
assert deleted["mean of 3 x 3"] == 2 * 96 - 4
assert deleted["binomial 3 x 3"] == 2 * 48 - 1
assert deleted["Sobel / 8"] == 3 * 48 - 2
assert deleted["Laplacian / 8"] == 1
assert deleted["identity"] == deleted["sharpen"] == 0
assert spectra["sharpen"][-1] > 0.999
for name in ("mean of 3 x 3", "binomial 3 x 3"):
    np.testing.assert_allclose(spectra[name][0], 1, rtol=1e-5)

# %% [markdown]
# ### The images themselves
#
# With zeros around the image the waves are no longer the basis, but for a symmetric kernel they
# are close relatives: standing waves, that are 0 just outside of the image. Here are the images
# that the binomial kernel keeps best and worst. It weakens all of them, even the best, because
# near the border there is darkness to average with.

# %%
height, width = 14, 18
matrix = np.asarray(cj.corr2d_matrix(kernels.binomial(3), (height, width), padding="same"))
_, values, images = np.linalg.svd(matrix.astype(np.float64))
figure, axes = plt.subplots(1, 6, figsize=(11, 2), layout="constrained")
for axis, index in zip(axes, [0, 1, 2, -3, -2, -1], strict=True):
    show(axis, images[index].reshape(height, width), f"times {values[index]:.2g}")

best = np.outer(
    np.sin(np.pi * np.arange(1, height + 1) / (height + 1)),
    np.sin(np.pi * np.arange(1, width + 1) / (width + 1)),
)
np.testing.assert_allclose(
    abs(images[0].reshape(height, width)), best / np.linalg.norm(best), atol=1e-6
)
largest = (1 + np.cos(np.pi / (height + 1))) * (1 + np.cos(np.pi / (width + 1))) / 4
np.testing.assert_allclose(values[0], largest, rtol=1e-6)

# %% [markdown]
# ## The operator norm
#
# The largest singular value is the most by which any image can be lengthened, the *operator
# norm*. For a layer of a network it is the Lipschitz constant: no perturbation of the input comes
# out larger than norm times as large. For a layer with many channels the transform is a small
# matrix at each frequency, and their singular values together are those of the layer (Sedghi,
# Gupta and Long, The Singular Values of Convolutional Layers, 2019):

# %%
layer = jnp.asarray(rng.normal(size=(3, 3, 8, 16)), jnp.float32)  # [kH, kW, C, O]
values = cj.matrices.singular_values(layer, (32, 32), **wrap)
print(f"{len(values)} singular values, from {values[0]:.2f} down to {values[-1]:.2f}")
assert len(values) == 32 * 32 * 8
np.testing.assert_allclose(  # Parseval: every pixel meets every weight
    jnp.sum(values**2), 32 * 32 * jnp.sum(layer**2), rtol=1e-4
)

# %% [markdown]
# ### Large images with zeros around
#
# An image with zeros around it is a piece of a larger torus, and the output a piece of what is
# computed there. So the norm on the torus is a bound, and with growing images they meet: the
# border matters less and less. The binomial kernel's is known exactly.

# %%
sizes = np.array([5, 10, 20])
binomial = kernels.binomial(3)
norms = np.array([cj.matrices.operator_norm(binomial, (n, n), padding="same") for n in sizes])
np.testing.assert_allclose(norms, ((1 + np.cos(np.pi / (sizes + 1))) / 2) ** 2, rtol=1e-5)
bound = cj.matrices.operator_norm(binomial, (20 + 2, 20 + 2), **wrap)
np.testing.assert_allclose(bound, 1, rtol=1e-6)
assert (norms < bound).all()
print("short of the bound by", 1 - norms, "or, times n^2,", sizes**2 * (1 - norms))

# %% [markdown]
# For an image too large to write its matrix down, multiply a random image by the correlation and
# its transpose in turn: what is stretched most wins. This *power iteration* comes from below, the
# bound from above, and between them the norm is known well enough for all purposes.

# %%
kernel = jnp.asarray(rng.normal(size=(7, 7)), jnp.float32)
correlate = functools.partial(cj.corr2d, kernel=kernel, padding="same")
transpose = jax.linear_transpose(correlate, jnp.zeros((256, 256)))


def stretch(image, _):
    image = transpose(correlate(image))[0]
    return image / jnp.linalg.norm(image), None


start = jnp.asarray(rng.normal(size=(256, 256)), jnp.float32)
top, _ = jax.jit(lambda image: lax.scan(stretch, image, length=300))(start)
below = jnp.linalg.norm(correlate(top)) / jnp.linalg.norm(top)
above = cj.matrices.operator_norm(kernel, (256 + 6, 256 + 6), **wrap)
print(f"{below:.4f} <= norm <= {above:.4f}")
assert 0.995 * above < below < above

# %% [markdown]
# ### How fast gradient descent may go
#
# Let an unknown image be seen through a correlation, and found again by gradient descent on the
# squared error. What is left of the error along each image of the basis shrinks, with every step,
# by the factor 1 - step * value^2. The largest value forbids steps above 2 / norm^2, and with
# such steps the small ones take for ever.

# %%
photograph = data.photograph()[:512].reshape(256, 2, 256, 2).mean(axis=(1, 3))  # [256, 256]
blur = functools.partial(cj.corr2d, kernel=binomial, padding="same")
seen = blur(photograph)
norm = ((1 + np.cos(np.pi / 257)) / 2) ** 2  # as above


@jax.jit
def descend(step):
    def update(image, _):
        residual = blur(image) - seen
        return image - step * jax.vjp(blur, image)[1](residual)[0], jnp.mean(residual**2)

    return lax.scan(update, jnp.zeros_like(seen), length=100)[1]


losses = {factor: descend(factor / norm**2) for factor in (0.5, 1.0, 1.9, 2.1)}
assert losses[1.9][-1] < losses[1.9][0] / 100
assert losses[2.1][-1] > losses[2.1][50] > losses[2.1].min()

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for factor, values in losses.items():
    axes.semilogy(values, label=f"step {factor} / norm$^2$")
axes.set(xlabel="steps", ylabel="mean squared error (log)")
axes.grid(alpha=0.3)
axes.legend(fontsize=8)

# %% [markdown]
# The kernel that the chapter learns from one image and its edges obeys the same law, with the
# windows of the image as the matrix. Its loss is a plain sum of squares, so twice their squared
# singular values count; the limit is 2 / 60, and the chapter's learning rate of 0.03 is nine
# tenths of it.

# %%
black_and_white = jnp.ones((6, 8)).at[:, 2:6].set(0)
windows = cj.im2col(black_and_white, (1, 2)).reshape(42, 2)
curvatures = 2 * jnp.linalg.svd(windows, compute_uv=False) ** 2
np.testing.assert_allclose(curvatures, [60, 12], rtol=1e-5)

# %% [markdown]
# ## What a blur loses
#
# A photograph out of focus is the sharp one, correlated with a disk. On a torus that can be
# undone by dividing by the transform. Here is what comes of it if the blurred photograph was
# merely stored in 8 bits, as all are: rounded to the nearest of 256 grey values, which no eye
# sees.

# %%
lens = kernels.disk(3.0)
blurred = cj.corr2d(photograph, lens, **wrap)
stored = jnp.round(255 * blurred) / 255
values = cj.matrices.singular_values(lens, photograph.shape, **wrap)

around = jnp.zeros_like(photograph).at[:7, :7].set(lens)
response = jnp.fft.fft2(jnp.roll(around, (-3, -3), (0, 1))).conj()  # the eigenvalues of the blur
np.testing.assert_allclose(jnp.sort(abs(response).ravel(), descending=True), values, atol=1e-6)


def undo(image, weight):
    """Return argmin_x |blur(x) - image|^2 + weight |x|^2."""
    weights = response.conj() / (abs(response) ** 2 + weight)
    return jnp.fft.ifft2(weights * jnp.fft.fft2(image)).real


inverted = undo(stored, 0.0)
print(f"singular values from {values[0]:.3f} down to {values[-1]:.1e}")
print(f"error by rounding {jnp.std(stored - blurred):.5f}")
print(f"error after inversion {jnp.std(inverted - photograph):.2f}")
assert jnp.std(inverted - photograph) > jnp.std(photograph)

# %% [markdown]
# The photograph is gone, though on paper the blur has an inverse. Rounding put a little of every
# wave into the image, and the waves that the disk had made a million times smaller were made as
# much larger. That a small change of what is given changes the answer completely is what *ill
# posed* means, and the ratio of the largest singular value to the smallest, the *condition
# number*, says by how much at worst. Here it is as large as float32 can tell.
#
# The remedy is to ask for less. Tikhonov's is to look for an image that explains what was seen
# and is small, weighed against each other. In the basis of waves it puts value / (value^2 +
# weight) in place of 1 / value: what is large is inverted, what is lost is left alone. With a
# small weight the noise wins, with a large one the blur remains, and theory says how much of each
# error there is:

# %%
power = abs(jnp.fft.fft2(photograph)) ** 2 / photograph.size  # of each wave in the photograph
noise = 1 / (12 * 255**2)  # variance of rounding to steps of 1 / 255


def expected_error(weight):
    left_out = weight / (abs(response) ** 2 + weight)
    noise_kept = abs(response) ** 2 / (abs(response) ** 2 + weight) ** 2
    return jnp.sqrt(jnp.mean(left_out**2 * power + noise_kept * noise))


weights = jnp.logspace(-9, 0, 28)
restored = jax.vmap(undo, in_axes=(None, 0))(stored, weights)
errors = jnp.sqrt(jnp.mean((restored - photograph) ** 2, axis=(1, 2)))
theory = jax.vmap(expected_error)(weights)
np.testing.assert_allclose(errors, theory, rtol=0.1)
best = int(jnp.argmin(errors))
assert errors[best] < 0.5 * jnp.sqrt(jnp.mean((stored - photograph) ** 2))

figure, axes = plt.subplots(2, 3, figsize=(10, 6.6), layout="constrained")
for axis, (title, picture) in zip(
    axes.flat,
    {
        "photograph": photograph,
        "out of focus, stored in 8 bits": stored,
        "inverted": inverted,
        f"weight {weights[best]:.0e}, the best": restored[best],
        "weight 1e-1, too large": undo(stored, 0.1),
    }.items(),
    strict=False,
):
    show(axis, np.clip(picture, 0, 1), title, signed=False, limit=1)
axes[1, 2].loglog(weights, theory, label="expected")
axes[1, 2].loglog(weights, errors, "k.", ms=4, label="found")
axes[1, 2].set(xlabel="weight", title="root mean square error")
axes[1, 2].title.set_fontsize(10)
axes[1, 2].yaxis.set_minor_locator(plt.NullLocator())
axes[1, 2].set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
axes[1, 2].grid(alpha=0.3)
axes[1, 2].legend(fontsize=8)

# %% [markdown]
# Nothing brings back what the disk deleted; the best image is the one that does not guess there.
# All of it could be read off the singular values before a single photograph was taken.
#
# **Where to go next:** notebook 5 reads the non-zero part of a row of the matrix, the receptive
# field, off whole networks, and 7 trains a network with the library's own convolution.
