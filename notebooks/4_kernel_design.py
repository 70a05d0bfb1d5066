# %% [markdown]
# # Kernel design and frequency responses
#
# This page answers: what does a kernel do to an image, and how do you find the taps that do what
# you want? How good is a difference as a derivative, and how does one know? What makes a blur, and
# what is it for? Why do detectors of edges and textures look as they do? Whatever it claims is
# computed here, and asserted.
#
# The kernels are those of `conv_jax.kernels`: small arrays [kH, kW], never flipped, positive where
# the image grows down (axis 0) or to the right (axis 1). Vectors are (down, right).

# %%
# %matplotlib inline
import math
from fractions import Fraction

import jax
import numpy as np
from matplotlib import pyplot as plt

import conv_jax as cj
from conv_jax import data, kernels, plots

photograph = data.photograph()


def offsets(kernel):
    """Return how far the taps lie from the middle, down [kH, 1] and right [1, kW]."""
    height, width = np.shape(kernel)
    down, right = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    return down[:, None], right[None]


def answer(kernel, down, right):
    """Return H at frequencies (down, right) in cycles per pixel, any arrays of one shape."""
    y, x = offsets(kernel)
    phase = 2 * np.pi * (np.multiply.outer(down, y) + np.multiply.outer(right, x))
    return (np.float64(kernel) * np.exp(1j * phase)).sum(axis=(-2, -1))


# %% [markdown]
# ## What a correlation does to a wave
#
# A correlation does the same everywhere, so a wave stays a wave. Put $e^{2 \pi i f \cdot p}$, with
# $p$ the pixel and $f$ the frequency in cycles per pixel, into the sum over the taps:
#
# $$\sum_o k_o\, e^{2 \pi i f \cdot (p + o)} = H(f)\, e^{2 \pi i f \cdot p},
# \qquad H(f) = \sum_o k_o\, e^{2 \pi i f \cdot o}.$$
#
# The wave answers itself times one complex number: $|H|$ says how much of it is left, the angle of
# $H$ by how much it moves. (A strict convolution has the conjugate.) Every image is a sum of
# waves, so $H$, the *frequency response*, says all that a kernel does.

# %%
pixels = np.arange(48)
wave = np.cos(2 * np.pi * pixels / 12)[None].astype(np.float32)
shown = {
    "box((1, 5))": kernels.box((1, 5)),
    "finite_difference(1, axis=1)": kernels.finite_difference(1, axis=1),
    "shift(0, 2)": kernels.shift(0, 2),
}
figure, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
axes.plot(pixels, wave[0], color="0.8", linewidth=6, label="a wave, 1/12 cycles per pixel")
for colour, (name, kernel) in zip(("C0", "C3", "C2"), shown.items(), strict=True):
    out = cj.corr2d(wave, kernel, padding="same", boundary="wrap")[0]
    h = answer(kernel, 0.0, 1 / 12)
    predicted = abs(h) * np.cos(2 * np.pi * pixels / 12 + np.angle(h))
    np.testing.assert_allclose(out, predicted, atol=1e-6)
    axes.plot(pixels, predicted, color=colour, linewidth=1)
    axes.plot(pixels, out, "o", color=colour, markersize=3.5, label=name)
axes.set(xlabel="pixel", title="One wave under three kernels: dots computed, lines predicted by H")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)

# %% [markdown]
# The blur leaves the wave where it is, and less of it; the difference moves it by a quarter of its
# period; the shift keeps all of it. What to read off $H$ in general:
#
# - $H(0)$ is the sum of the taps: what happens to an even area.
# - A kernel that is the same when turned by half a turn has a real $H$ and moves no wave, an
#   antisymmetric one an imaginary $H$.
# - The mean of $|H|^2$ over all frequencies is the sum of the squared taps (Parseval).
#
# `kernels.analyze` returns $H$ with what else can be known, `kernels.frequency_response` returns
# $H$ alone, differentiable. Small kernels have formulas:

# %%
frequencies = np.arange(65) / 128


def profile(kernel):
    """Return H for the frequencies 0 to 1/2 to the right."""
    return kernels.analyze(kernel, num_frequencies=128).frequency_response[64, np.r_[64:128, 0]]


w = 2 * np.pi * frequencies
formulas = {
    "[1, -1]": ([[1.0, -1.0]], 2 * np.sin(w / 2)),
    "[-1, 0, 1] / 2": ([[-0.5, 0.0, 0.5]], np.sin(w)),
    "[1, 1, 1] / 3": ([[1 / 3, 1 / 3, 1 / 3]], abs(1 + 2 * np.cos(w)) / 3),
    "[1, 2, 1] / 4": ([[0.25, 0.5, 0.25]], np.cos(w / 2) ** 2),
}
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for name, (kernel, formula) in formulas.items():
    magnitude = abs(profile(kernel))
    np.testing.assert_allclose(magnitude, formula, atol=1e-6)
    axes.plot(frequencies, magnitude, label=name)
axes.set(
    xlabel="cycles per pixel", ylabel="|H|", title="Two differences and two blurs", ylim=(0, 2)
)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes.grid(alpha=0.3)

sobel = kernels.analyze(kernels.sobel(axis=1))
assert sobel.sum == 0
assert sobel.is_antisymmetric
assert abs(sobel.frequency_response.real).max() < 1e-12
assert math.isclose((abs(sobel.frequency_response) ** 2).mean(), sobel.norm**2)

# %% [markdown]
# ## Derivatives, from exact fractions
#
# By Taylor's series $x(p + o) = \sum_m o^m x^{(m)}(p) / m!$. For a kernel to answer the derivative
# of order $d$ and nothing else, its *moments* have to be
#
# $$\sum_o c_o\, o^m = d!\ [m = d], \qquad m = 0, 1, \ldots, n - 1$$
#
# with $n$ taps: $n$ linear equations with whole numbers, so the taps are fractions.
# `finite_difference` solves them exactly.

# %%
print("order  offsets  accuracy  taps")
for order in (1, 2, 3, 4):
    for where, accuracy in (("central", 2), ("central", 4), ("forward", 1), ("forward", 2)):
        options = {"axis": 1, "offsets": where, "exact": True}
        [taps] = kernels.finite_difference(order, accuracy, **options)
        print(f"{order:5d}  {where}  {accuracy:8d}  {'  '.join(map(str, taps))}")
        first = -(len(taps) // 2) if where == "central" else 0
        for m in range(order + accuracy):
            moment = sum(tap * (first + j) ** m for j, tap in enumerate(taps))
            assert isinstance(moment, Fraction)
            assert moment == (math.factorial(order) if m == order else 0)

# %% [markdown]
# **How few taps will do?** $d + 1$. Given any $d$ pixels, the polynomial $\prod_j (o - o_j)$ is 0
# at all of them, so a kernel on them answers 0; but it is $o^d + \ldots$, and its derivative of
# order $d$ is $d!$. With $d + 1$ pixels there is exactly one kernel; for neighbours, a row of
# Pascal's triangle with alternating signs.

# %%
for d in range(1, 6):
    options = {"axis": 1, "offsets": range(d + 1), "exact": True}
    [smallest] = kernels.finite_difference(d, **options)
    assert list(smallest) == [(-1) ** (d - j) * math.comb(d, j) for j in range(d + 1)]
try:
    kernels.finite_difference(3, axis=1, offsets=(-1, 0, 1))
except ValueError as error:
    print(error)

# %% [markdown]
# **How accurate are they?** The first moment that is not as it should be makes the error: with
# pixels $h$ apart it is $C h^p$, and $p$ is the order of accuracy. To measure $p$, halve $h$. All
# derivatives of $e^t$ at 0 are 1, so the error is what the answer differs from 1.

# %%
distances = 2.0 ** -np.arange(13)


def errors(order, accuracy, where):
    """Return the error of the derivative of exp at 0 for each distance of the pixels."""
    [taps] = kernels.finite_difference(order, accuracy, axis=1, offsets=where, exact=True)
    first = -(len(taps) // 2) if where == "central" else 0
    places = np.multiply.outer(distances, np.arange(len(taps)) + first)
    return abs(np.exp(places) @ taps.astype(float) / distances**order - 1)


slopes = {}
for where, accuracies in (("central", (2, 4, 6)), ("forward", (1, 2, 3))):
    for order in (1, 2, 3):
        for accuracy in accuracies:
            coarse, fine = errors(order, accuracy, where)[3:5]  # h is 1/8 and 1/16
            slopes[where, order, accuracy] = np.log2(coarse / fine)
            assert abs(slopes[where, order, accuracy] - accuracy) < 0.3

figure, axes = plt.subplots(figsize=(8.4, 3.4), layout="constrained")
for colour, (where, accuracy) in enumerate(
    (("forward", 1), ("central", 2), ("forward", 3), ("central", 4), ("central", 6))
):
    slope = slopes[where, 1, accuracy]
    label = f"{where}, accuracy {accuracy}: slope {slope:.2f}"
    found = errors(1, accuracy, where)
    found[found == 0] = np.nan  # by luck, and not on a logarithmic axis
    axes.loglog(distances, found, "o-", ms=3, color=f"C{colour}", label=label)
axes.loglog(distances, 2e-16 / distances, color="0.6", linestyle=":", label="rounding, eps / h")
axes.set(xlabel="distance of the pixels, h", ylabel="error", title="First derivative of exp at 0")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
axes.grid(alpha=0.3)

# %% [markdown]
# Central differences are one order better than others with as many taps that are not 0, for
# symmetry annuls every second term of the error. The first one left is $\frac{h}{2} x''$ for two
# pixels forward, $\frac{h^2}{6} x'''$ for two about the middle.
#
# `analyze` finds the order without measuring, from the moments, about the middle of the kernel or
# about the `origin` that it is told. The forward difference is a central one, for the point halfway
# between its two pixels.

# %%
np.testing.assert_allclose(errors(1, 1, "forward")[8:] / distances[8:], 1 / 2, rtol=2e-3)
np.testing.assert_allclose(errors(1, 2, "central")[4:9] / distances[4:9] ** 2, 1 / 6, rtol=1e-3)

forward = kernels.finite_difference(1, 1, axis=1, offsets="forward")
assert kernels.analyze(forward, origin=(0, 0)).accuracy == 1
assert kernels.analyze(forward).accuracy == 2

# %% [markdown]
# **On images** $h$ is one pixel, and stays one. There accuracy means: up to which frequency does
# the kernel do what it should? A derivative multiplies a wave by $i w$, $w = 2 \pi f$; a central
# difference by $i \sin w$, which is near $i w$ only for long waves. More taps follow longer, and
# amplify noise more. All fail at half a cycle per pixel, $+1, -1, +1, \ldots$: to a symmetric pair
# of pixels that wave is constant.

# %%
figure, axes = plt.subplots(figsize=(8.4, 3.2), layout="constrained")
axes.plot(frequencies, w, color="0.8", linewidth=6, label="derivative, w")
reached, norms = [], []
for accuracy in (2, 4, 6, 10):
    kernel = kernels.finite_difference(1, accuracy, axis=1)
    magnitude = abs(profile(kernel))
    reached.append(frequencies[1:][abs(magnitude[1:] / w[1:] - 1) < 0.01].max())
    norms.append(kernels.analyze(kernel).norm)  # by what white noise is scaled: see below
    assert magnitude[-1] < 1e-6
    label = f"accuracy {accuracy}, {kernel.shape[1]} taps: within 1 % up to {reached[-1]:.2f}"
    axes.plot(frequencies, magnitude, label=label)
axes.set(xlabel="cycles per pixel", ylabel="|H|", title="First differences against the derivative")
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
axes.grid(alpha=0.3)
assert reached == sorted(reached)
assert norms == sorted(norms)
assert reached[0] < 0.05 < 0.2 < reached[-1]

# %% [markdown]
# ## Gradients in all directions
#
# The derivative along $v$ is $v_1 \partial_y + v_2 \partial_x$, so two kernels make all directions:
# `directional_derivative(v)`. But is what they say of a direction true? Take a wave that runs
# towards the angle $a$ (from right towards down). The two kernels answer $i S_y$ and $i S_x$, and
# the direction that one reads off is $\operatorname{atan2}(S_y, S_x)$.
#
# Let each difference be smoothed across by $[s, 1 - 2s, s]$. To leading order it answers
# $w (1 - w_{\text{along}}^2 / 6 - s\, w_{\text{across}}^2)$, and the angle is wrong by
#
# $$\tfrac{1}{4} \bigl(\tfrac{1}{6} - s\bigr)\, w^2 \sin 4a.$$
#
# With $s = 1/6$, the kernel $[1, 4, 1] / 6$, this term is gone (Bickley 1948):
# `directional_derivative(v, isotropic=True)`, and `edge(v)` for $v$ of length 1. Sobel's has
# $s = 1/4$, Prewitt's $1/3$, Scharr's $3/16$: near $1/6$, and a little above it, which is better
# for shorter waves.

# %%
pairs = {
    "plain": ([kernels.directional_derivative(v) for v in ((1, 0), (0, 1))], 0),
    "Prewitt": ([kernels.prewitt(axis=a, normalized=True) for a in (0, 1)], 1 / 3),
    "Sobel": ([kernels.sobel(axis=a, normalized=True) for a in (0, 1)], 1 / 4),
    "[1, 4, 1] / 6": ([kernels.edge(v) for v in ((1, 0), (0, 1))], 1 / 6),
    "Scharr": ([kernels.scharr(axis=a, normalized=True) for a in (0, 1)], 3 / 16),
    "Farid, 5 x 5": ([kernels.farid(axis=a, normalized=True) for a in (0, 1)], None),
}


def angular_error(pair, frequency, angles):
    """Return by how many degrees the direction of waves is mistaken."""
    down, right = frequency * np.sin(angles), frequency * np.cos(angles)
    found = np.arctan2(*(answer(kernel, down, right).imag for kernel in pair))
    return np.degrees(found - angles)


quarter = np.linspace(0, np.pi / 2, 91)
for pair, s in pairs.values():
    if s is not None:
        leading = np.degrees((1 / 6 - s) * (2 * np.pi * 0.02) ** 2 * np.sin(4 * quarter) / 4)
        np.testing.assert_allclose(angular_error(pair, 0.02, quarter), leading, atol=2e-3)

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained")
scale = np.geomspace(0.02, 0.4, 40)
largest = {}
for name, (pair, _) in pairs.items():
    left.plot(np.degrees(quarter), angular_error(pair, 1 / 8, quarter), label=name)
    largest[name] = np.array([abs(angular_error(pair, f, quarter)).max() for f in scale])
    right.loglog(scale, largest[name], label=name)
left.set(xlabel="direction of the wave, degrees", ylabel="error, degrees")
left.set_title("Waves of 1/8 cycles per pixel", fontsize=10)
left.set_xticks(range(0, 91, 15))
right.set(xlabel="cycles per pixel", ylabel="largest error, degrees", ylim=(1e-4, 60))
right.set_title("All directions", fontsize=10)
right.set_xticks([0.02, 0.05, 0.1, 0.2, 0.4], ["0.02", "0.05", "0.1", "0.2", "0.4"])
right.minorticks_off()
right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
for axes in (left, right):
    axes.grid(alpha=0.3)
figure.suptitle("By how much a gradient mistakes a direction")

# %% [markdown]
# The steeper line on the right is the missing term: halve the frequency, and the error of
# $[1, 4, 1] / 6$ falls to a sixteenth, that of the others to a quarter.

# %%
errors_at = {}
print("largest error in degrees at   1/16     1/8     1/4 cycles per pixel")
for name, (pair, _) in pairs.items():
    found = [abs(angular_error(pair, f, quarter)).max() for f in (1 / 16, 1 / 8, 1 / 4)]
    errors_at[name] = dict(zip(("1/16", "1/8", "1/4"), found, strict=True))
    print(f"{name:26s} {found[0]:7.3f} {found[1]:7.3f} {found[2]:7.2f}")

for frequency, order in {
    "1/16": ("[1, 4, 1] / 6", "Farid, 5 x 5", "Scharr", "Sobel", "plain", "Prewitt"),
    "1/4": ("Farid, 5 x 5", "Scharr", "[1, 4, 1] / 6", "Sobel", "plain", "Prewitt"),
}.items():
    assert sorted(pairs, key=lambda name, at=frequency: errors_at[name][at]) == list(order)
assert errors_at["Scharr"]["1/4"] < 0.3
for name, power in (("plain", 2), ("Prewitt", 2), ("Sobel", 2), ("[1, 4, 1] / 6", 4)):
    fine, coarse = (abs(angular_error(pairs[name][0], f, quarter)).max() for f in (0.02, 0.04))
    assert abs(np.log2(coarse / fine) - power) < 0.1

# %% [markdown]
# ## Second derivatives, and what they like
#
# The Laplacian is the sum of the second derivatives, a multiplication by $-|w|^2$, the same in all
# directions. Its kernels are that for long waves. The 4-neighbour one errs by
# $(w_x^4 + w_y^4) / 12$, which depends on the direction; the 8-neighbour one, over 3, errs the
# other way. Adding a sixth of $D_y^2 D_x^2$ makes $|w|^4 / 12$ of it, a circle.

# %%
four = kernels.laplacian()
eight = kernels.laplacian(neighbours=8, normalized=True)
second = [kernels.finite_difference(2, axis=axis) for axis in (0, 1)]
isotropic = four + kernels.compose(*second) / 6
np.testing.assert_allclose(6 * isotropic, [[1, 4, 1], [4, -20, 4], [1, 4, 1]], rtol=1e-6)

candidates = {"4 neighbours": four, "8 neighbours / 3": eight, "with the mixed term": isotropic}
diagonal = 0.2 / math.sqrt(2)
figure, grid = plt.subplots(1, 3, figsize=(8.6, 3.2), layout="constrained")
unevenness = []
for axes, (name, kernel) in zip(grid, candidates.items(), strict=True):
    analysis = kernels.analyze(kernel, num_frequencies=65)
    assert (analysis.derivative_order, analysis.direction) == (2, None)
    assert math.isclose(analysis.gain, 1, rel_tol=1e-6)
    image = plots.draw_response(axes, abs(analysis.frequency_response))
    places = np.arange(-32, 33) / 65
    levels = np.arange(0.5, 8, 1.0)
    lines = {"colors": "white", "linewidths": 0.8, "levels": levels}
    axes.contour(places, places, abs(analysis.frequency_response), **lines)
    unevenness.append(abs(answer(kernel, diagonal, diagonal) / answer(kernel, 0.0, 0.2)) - 1)
    axes.set_title(f"{name}\nup to {image.get_clim()[1]:.3g}", fontsize=10)
    axes.set_xlabel("-1/2 ... 1/2 cycles per pixel", fontsize=9)
figure.suptitle("|H| of three Laplacians, a contour for every 1")
for name, value in zip(candidates, unevenness, strict=True):
    print(f"{name:22s} diagonal against axis at 0.2 cycles per pixel: {100 * value:+.1f} %")
assert unevenness[0] > 0.05
assert unevenness[1] < -0.05
assert abs(unevenness[2]) < 0.02

# %% [markdown]
# **Which structures answer most?** Those that look like the kernel: small ones. Every neighbour
# that is as bright as the pixel takes one off its answer of 4. So a straight edge answers 1, a
# corner 2, a line 2, its end 3, an isolated point 4, and a ramp nothing.

# %%
square = np.zeros((7, 7), np.float32)
structures = {name: square.copy() for name in ("ramp", "edge", "corner", "line", "end", "point")}
structures["ramp"] += np.arange(7, dtype=np.float32) / 10
structures["edge"][:, 3:] = 1
structures["corner"][3:, 3:] = 1
structures["line"][:, 3] = 1
structures["end"][3:, 3] = 1
structures["point"][3, 3] = 1
answers = {name: cj.corr2d(structure, four) for name, structure in structures.items()}
largest_answers = [float(abs(found).max()) for found in answers.values()]
np.testing.assert_allclose(largest_answers, [0, 1, 2, 2, 3, 4], atol=1e-6)
shown = dict(structures)
for (name, found), value in zip(answers.items(), largest_answers, strict=True):
    shown[f"{name}: up to {value:.0f}"] = np.round(found, 5)
plots.arrays(shown, greys=list(structures), across=6, cell=0.23, title="What the Laplacian answers")

# %% [markdown]
# Noise is made of isolated points, so a second derivative is taken of a blurred image. Laplacian
# and Gaussian in one kernel are `log`. It likes blobs, of one size: on a disk of radius $r$ and
# height 1 the answer in the middle is $-(r^2 / \sigma^4)\, e^{-r^2 / 2 \sigma^2}$, strongest at
# $r = \sqrt{2}\, \sigma$. Multiplied by $\sigma^2$, the answers at the best radius are equal, and
# so the size of a blob can be found by trying several $\sigma$ (Lindeberg 1994).


# %%
def within(kernel, size):
    """Return a kernel in a margin of zeros."""
    return np.pad(np.float64(kernel), (size - len(kernel)) // 2)


radii = np.linspace(0.6, 14, 60)
disks = [np.pi * radius**2 * within(kernels.disk(radius), 81) for radius in radii]  # of height 1
figure, axes = plt.subplots(figsize=(7.4, 3), layout="constrained")
for sigma in (2.0, 4.0, 8.0):
    kernel = -(sigma**2) * within(kernels.log(sigma), 81)
    found = [(kernel * disk).sum() for disk in disks]
    formula = (radii / sigma) ** 2 * np.exp(-((radii / sigma) ** 2) / 2)
    np.testing.assert_allclose(found, formula, atol=0.03)
    best = radii[np.argmax(found)]
    assert abs(best - math.sqrt(2) * sigma) < 0.25
    axes.plot(radii, found, label=f"log({sigma:g}): best at {best:.1f}")
    axes.axvline(math.sqrt(2) * sigma, color="0.8", linewidth=1, zorder=0)
axes.set(xlabel="radius of the disk, pixels", ylabel="-sigma² x answer")
axes.set_title("Blobs under a Laplacian of Gaussian; grey: sqrt(2) sigma")
axes.legend()

# %% [markdown]
# ## How to design a blur
#
# A source of these notebooks says: to blur, use values below 1. That is wrong. [0.5, -0.5] obeys
# and is a derivative; [0.9, 0.9] obeys and brightens the image. A blur is a weighted mean:
#
# **taps that are not negative and sum to 1.**
#
# Then an even area stays, nothing leaves the range of the image, and no wave grows:
# $|H(f)| \le \sum_o |k_o| = 1 = H(0)$.

# %%
for kernel in ([[0.5, -0.5]], [[0.9, 0.9]], [[-0.25, 1.5, -0.25]], [[0.25, 0.5, 0.25]]):
    analysis = kernels.analyze(kernel)
    gain = abs(analysis.frequency_response).max()
    print(
        f"{kernel!s:24s} sum {analysis.sum:4.1f}  largest |H| {gain:.1f}  blur: {analysis.is_blur}"
    )
    assert analysis.is_blur == (kernel == [[0.25, 0.5, 0.25]])

# %% [markdown]
# ### Why blur: noise
#
# Of noise of variance $s^2$, independent from pixel to pixel, a correlation leaves
# $s^2 \sum_o k_o^2$. An image that changes slowly stays, and the noise goes: by 9 under `box(3)`.
# The same sum says by how much a derivative lets noise grow.

# %%
noise = jax.random.normal(jax.random.key(0), (400, 400))
tried = {
    "gaussian(4)": kernels.gaussian(4.0),
    "disk(4)": kernels.disk(4),
    "box(3)": kernels.box(3),
    "gaussian_derivative(1, (0, 1))": kernels.gaussian_derivative(1.0, (0, 1)),
    "edge((1, 1))": kernels.edge((1, 1)),
    "finite_difference(1, axis=1)": kernels.finite_difference(1, axis=1),
    "unsharp(1)": kernels.unsharp(1.0),
    "laplacian()": kernels.laplacian(),
}
figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for name, kernel in tried.items():
    predicted, measured = kernels.analyze(kernel).norm ** 2, float(cj.corr2d(noise, kernel).var())
    assert abs(measured / predicted - 1) < 0.15, name
    axes.loglog(predicted, measured, "o")
    axes.annotate(name, (predicted, measured), (7, -3), textcoords="offset points", fontsize=8)
axes.loglog([3e-3, 40], [3e-3, 40], color="0.7", linewidth=1, zorder=0)
axes.set(xlabel="sum of the squared taps", ylabel="variance, measured", xlim=(3e-3, 400))
axes.set_title("What is left of noise of variance 1")

# %% [markdown]
# ### Why blur: fewer pixels
#
# Keep every $m$-th pixel, and a wave of $f$ cycles per pixel becomes one of $m f$ cycles per new
# pixel. Above 1/2 there is no such wave: what one sees is another one, of the distance to the
# nearest whole number. 0.4 doubled is 0.8, seen as 0.2. Blur first, and little is left to be
# mistaken.

# %%
fine = np.cos(2 * np.pi * 0.4 * np.arange(200))[None].astype(np.float32)
half = 2 * np.arange(100)
np.testing.assert_allclose(fine[0, ::2], np.cos(2 * np.pi * 0.2 * np.arange(100)), atol=1e-4)
blurred = cj.corr2d(fine, kernels.binomial((1, 9)), padding="same", boundary="wrap")
assert abs(blurred).max() < 1e-3 < 1 == fine.max()

medals = photograph[470:542, 316:460]
smooth = cj.gaussian_blur(photograph, 1.8)[470:542, 316:460]
figure, grid = plt.subplots(1, 3, figsize=(10.5, 2.3), layout="constrained")
pictures = {
    "72 x 144 pixels": medals,
    "every fourth pixel": medals[::4, ::4],
    "every fourth pixel of the blurred": smooth[::4, ::4],
}
for axes, (name, picture) in zip(grid, pictures.items(), strict=True):
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes.set_title(name, fontsize=10)
    axes.set_axis_off()

# %% [markdown]
# ### Which blur: box or Gaussian?
#
# Both of these have the same variance (of their taps as weights), so they make long waves equally
# faint. But the $H$ of a box is negative in places: those waves come back with their sign turned,
# dark where they were bright. A Gaussian's $H$ is a Gaussian, positive everywhere. Between the
# two are the rows of Pascal's triangle, `binomial`, cheap, and near a Gaussian soon.

# %%
box = kernels.box((1, 15))
smooth = kernels.gaussian(math.sqrt((15**2 - 1) / 12), (1, 35))
moments = [kernels.analyze(kernel).moments for kernel in (box, smooth)]
np.testing.assert_allclose(moments[0][0, 2], moments[1][0, 2], rtol=1e-3)
assert answer(box, 0.0, 1.43 / 15).real < -0.2
assert min(answer(smooth, 0.0, f).real for f in frequencies) > -1e-4

places = np.arange(500)
chirp = np.cos(2 * np.pi * (0.02 * places + 0.00013 * places**2)).astype(np.float32)[None]
figure, (top, bottom) = plt.subplots(2, 1, figsize=(9, 3.6), layout="constrained", sharex=True)
for axes, (name, kernel) in zip(
    (top, bottom), {"box((1, 15))": box, "gaussian of its variance": smooth}.items(), strict=True
):
    axes.plot(places, chirp[0], color="0.82", linewidth=1)
    axes.plot(places, cj.corr2d(chirp, kernel, padding="same", boundary="reflect")[0], color="C3")
    axes.set(title=name, xlim=(0, 500))
    if kernel is box:
        now = 0.02 + 0.00026 * places  # cycles per pixel at this place
        turned = (now > 1 / 15) & (now < 2 / 15)
        axes.fill_between(places, -1, 1, where=turned, color="C3", alpha=0.08, linewidth=0)
bottom.set(xlabel="pixel")
figure.suptitle("A wave that becomes shorter, and blurred; shaded: H < 0")

errors_of_binomials = []
for size in (3, 9, 33):
    exact = kernels.binomial(size)
    near = kernels.gaussian(math.sqrt(size - 1) / 2, size)
    errors_of_binomials.append(float(abs(exact - near).max() / exact.max()))
assert errors_of_binomials == sorted(errors_of_binomials, reverse=True)
assert errors_of_binomials[-1] < 0.02

# %% [markdown]
# ## Gaussians and their derivatives
#
# One Gaussian after another is a Gaussian, and the variances add: 3 and 4 pixels make 5. Its
# derivatives are derivatives of the blurred image, at the *scale* sigma:
# $H = (i w)^n\, e^{-\sigma^2 w^2 / 2}$, which is a derivative for waves much longer than sigma and
# nothing for much shorter ones. (`gaussian_derivative` corrects the sampled taps so that
# polynomials of degree $n$ are differentiated exactly.)

# %%
twice = kernels.compose(kernels.gaussian(3.0), kernels.gaussian(4.0))
once = within(kernels.gaussian(5.0), len(twice))
assert abs(twice - once).max() < 2e-3 * once.max()
assert kernels.analyze(kernels.gaussian(3.0)).rank == 1

sigma = 1.5
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
for order in range(4):
    kernel = kernels.gaussian_derivative(sigma, (0, order), (1, 15))
    magnitude = abs(profile(kernel))
    np.testing.assert_allclose(
        magnitude, w**order * np.exp(-((sigma * w) ** 2) / 2), atol=0.02 * magnitude.max()
    )
    left.plot(np.arange(-7, 8), kernel[0] / abs(kernel).max(), "o-", ms=3, label=f"order {order}")
    right.plot(frequencies, magnitude / magnitude.max())
left.set(xlabel="pixel", title="taps / largest")
left.legend(fontsize=9)
right.set(xlabel="cycles per pixel", title="|H| / largest")
for axes in (left, right):
    axes.grid(alpha=0.3)
figure.suptitle("A Gaussian of 1.5 pixels and its derivatives")

# %% [markdown]
# The larger the scale, the fewer and the larger the structures. Here is the length of the gradient
# at three of them. Multiplied by sigma, a sharp edge has the same strength at every scale, about
# 0.4 of its height.

# %%
figure, grid = plt.subplots(1, 4, figsize=(10.6, 3.3), layout="constrained")
part = np.s_[100:330, 150:380]
grid[0].imshow(photograph[part], cmap="gray", vmin=0, vmax=1)
grid[0].set_title("photograph")
for axes, sigma in zip(grid[1:], (1.0, 2.5, 6.0), strict=True):
    pair = [kernels.gaussian_derivative(sigma, order) for order in ((1, 0), (0, 1))]
    options = {"padding": "same", "boundary": "symmetric"}
    gradient = [cj.corr2d(photograph, kernel, **options) for kernel in pair]
    length = sigma * np.hypot(*gradient)
    upper_half = np.float64(pair[0]).sum(axis=1)[len(pair[0]) // 2 :]
    assert abs(sigma * upper_half.sum() - 1 / math.sqrt(2 * math.pi)) < 0.04
    axes.imshow(length[part], cmap="gray_r", vmin=0, vmax=np.percentile(length[part], 99.5))
    axes.set_title(f"gradient at sigma {sigma:g}")
for axes in grid:
    axes.set_axis_off()

# %% [markdown]
# **The difference of two Gaussians** resembles the Laplacian of one. A Gaussian spreads as heat
# does, $\partial G / \partial \sigma = \sigma \nabla^2 G$, so
# $G_{r \sigma} - G_\sigma \approx (r - 1)\, \sigma^2 \nabla^2 G$. For $r$ near 1 they are the same;
# at Marr and Hildreth's 1.6 the shape is still that of a Laplacian, of a somewhat larger sigma. And
# two blurred images are cheap, or there already, in a pyramid.

# %%
sigma, size = 2.0, 33
target = np.float64(kernels.log(sigma, size)).ravel()
misfits = []
for ratio in (1.05, 1.1, 1.2, 1.6):
    difference = -np.float64(kernels.dog(sigma, ratio, size=size)).ravel()
    difference /= (ratio - 1) * sigma**2
    misfits.append(np.linalg.norm(difference - target) / np.linalg.norm(target))
    print(
        f"ratio {ratio:4.2f}: differs from the Laplacian of Gaussian by {100 * misfits[-1]:.0f} %"
    )
assert misfits == sorted(misfits)
assert misfits[0] < 0.1
# With the sigma that suits it best, that of 1.6 is alike in shape.
shapes = [np.float64(kernels.log(s, size)).ravel() for s in np.arange(2, 3, 0.02)]
shapes = [shape / np.linalg.norm(shape) for shape in shapes]
likeness = max(shape @ difference / np.linalg.norm(difference) for shape in shapes)
print(f"ratio 1.60: cosine to the Laplacian of the sigma that suits it best: {likeness:.3f}")
assert likeness > 0.99

# %% [markdown]
# ## Sharpening is what a blur takes away
#
# $x + a\,(x - \text{blur}(x))$: `unsharp`, whose $H = 1 + a\,(1 - G)$ is 1 for long waves and
# $1 + a$ for short ones. `sharpen` takes the Laplacian away instead, which grows until the shortest
# wave. Neither can know detail from noise: white noise of variance 1 comes out with the squared
# norm, 3.4 and 29.

# %%
for kernel in (kernels.unsharp(1.0), kernels.sharpen()):
    analysis = kernels.analyze(kernel)
    assert math.isclose(analysis.sum, 1, rel_tol=1e-6)
    assert not analysis.is_blur
    print(f"|H| up to {abs(analysis.frequency_response).max():.2f}, noise x {analysis.norm**2:.1f}")
assert round(kernels.analyze(kernels.unsharp(1.0)).norm ** 2, 1) == 3.4
assert round(kernels.analyze(kernels.sharpen()).norm ** 2, 6) == 25 + 4
gained = profile(kernels.unsharp(1.0, 0.7)) - (1 + 0.7 * (1 - np.exp(-(w**2) / 2)))
assert abs(gained).max() < 0.01

# %% [markdown]
# ## A wave within a Gaussian
#
# Gabor's kernel is a wave, cut out by a Gaussian; its $H$ is a Gaussian about plus and one about
# minus the frequency. It asks: how much of this wave is there, *here*? The Gaussian's width sets
# the bandwidth; at one octave the responses of half the height are a factor of 2 apart.

# %%
gabor = kernels.gabor(1 / 8)
scan = np.linspace(0.02, 0.3, 2000)
magnitude = abs(answer(gabor, 0 * scan, scan))
passed = scan[magnitude > magnitude.max() / 2]
assert abs(np.log2(passed[-1] / passed[0]) - 1) < 0.02
assert abs(scan[np.argmax(magnitude)] - 1 / 8) < 2e-3

# %% [markdown]
# An even kernel answers a crest, an odd one a flank; as the wave passes by, both oscillate. But the
# sum of their squares, the *energy*, stays: $\cos^2 + \sin^2$. It says that there is such a
# texture, whatever the phase (Adelson and Bergen 1985).

# %%
even, odd = kernels.gabor(1 / 8), kernels.gabor(1 / 8, phase=-math.pi / 2)
places = np.arange(160)
inside = np.exp(-(((places - 80) / 40) ** 6))
texture = np.tile(inside * np.cos(2 * np.pi * places / 8), (31, 1)).astype(np.float32)
rows = [cj.corr2d(texture, kernel, padding="same", boundary="edge")[15] for kernel in (even, odd)]
energy = np.hypot(*rows)
assert np.ptp(energy[70:91]) < 0.02 * energy.max()
assert np.ptp(rows[0][70:91]) > 1.5 * energy.max()

figure, axes = plt.subplots(figsize=(8.6, 2.6), layout="constrained")
axes.plot(places, 0.5 * texture[15], color="0.82", linewidth=4, label="texture / 2")
axes.plot(places, rows[0], label="even")
axes.plot(places, rows[1], label="odd")
axes.plot(places, energy, color="black", linewidth=2, label="root of the energy")
axes.set(xlabel="pixel", title="A texture under an even and an odd Gabor kernel", xlim=(0, 159))
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)

# %% [markdown]
# **Field's sensors.** The chapter reprints a figure of David Field (1987): an image coded by six
# channels, as cells of the visual cortex do it. `field_1987_bank` has six such sensors, even, of
# three orientations and two frequencies an octave apart. (`configs/kernel_zoo.toml` draws the whole
# figure.)
#
# Field's finding was why: the amplitudes of photographs fall roughly as 1 / frequency, so channels
# whose width grows with their frequency all answer about equally. Noise has all frequencies
# alike, and excites the fine ones twice as much.

# %%
bank = kernels.field_1987_bank()
figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
ticks = np.arange(-48, 49) / 97
for index, kernel in enumerate(bank):
    height = abs(kernels.analyze(kernel, num_frequencies=97).frequency_response)
    axes.contourf(ticks, ticks, height / height.max(), [0.5, 1], colors=f"C{index}", alpha=0.35)
    axes.contour(ticks, ticks, height / height.max(), [0.5], colors=f"C{index}", linewidths=1.5)
axes.set(xlim=(-0.3, 0.3), ylim=(0.3, -0.3), aspect="equal")
axes.set(xlabel="cycles per pixel, right", ylabel="cycles per pixel, down")
axes.set_title("Half the height of six sensors")
axes.grid(alpha=0.3)

apply = jax.jit(jax.vmap(cj.corr2d, in_axes=(None, 0)))
strengths = {
    name: np.asarray(apply(picture, bank).std(axis=(1, 2)).reshape(2, 3))
    for name, picture in (("photograph", photograph), ("white noise", noise))
}
for name, strength in strengths.items():
    ratio = strength[1].mean() / strength[0].mean()
    print(f"{name:11s} fine channels answer {ratio:.2f} times as strongly as coarse ones")
    low, high = (0.5, 1.5) if name == "photograph" else (1.9, 2.1)
    assert low < ratio < high

# %% [markdown]
# ## Kernels made of kernels
#
# **One after the other.** Two correlations are one, with the full convolution of their kernels:
# `compose`. Frequency responses multiply. Two 3 x 3 make a 5 x 5, with 18 weights instead of 25 (a
# reason for deep networks of small kernels), but not every 5 x 5.

# %%
image = np.asarray(noise[:40, :50])
first, second = kernels.sobel(axis=1), kernels.binomial(3)
both = kernels.compose(first, second)
assert both.shape == (5, 5)
np.testing.assert_allclose(
    cj.corr2d(cj.corr2d(image, first), second), cj.corr2d(image, both), atol=1e-5
)
responses = [kernels.analyze(k).frequency_response for k in (first, second, both)]
np.testing.assert_allclose(responses[0] * responses[1], responses[2], atol=1e-6)

pair_means = kernels.compose(*[kernels.box((1, 2))] * 4)
np.testing.assert_array_equal(16 * pair_means, [[1, 4, 6, 4, 1]])
np.testing.assert_array_equal(pair_means, kernels.binomial((1, 5)))

# %% [markdown]
# **One axis at a time.** A kernel of rank 1 is a column times a row, and k + k products do the work
# of k x k. `separate` finds them, and `corr2d` takes the pair. A Laplacian of Gaussian, of rank 2,
# is a sum of two such products; a disk or a turned Gaussian takes too many to be worth it.

# %%
print("kernel                            size     rank  products a pixel")
for name, kernel in {
    "gaussian(2)": kernels.gaussian(2.0),
    "sobel(axis=1)": kernels.sobel(axis=1),
    "log(2)": kernels.log(2.0),
    "gaussian((1, 4), angle=pi / 4)": kernels.gaussian((1.0, 4.0), angle=math.pi / 4),
    "disk(6)": kernels.disk(6),
}.items():
    height, width = kernel.shape
    rank = kernels.analyze(kernel).rank
    print(
        f"{name:31s} {height:2d} x {width:2d}  {rank:5d}  "
        f"{height * width:4d} or {rank * (height + width):4d}"
    )
column, row, rank = kernels.separate(kernels.gaussian(2.0))
assert rank == 1
np.testing.assert_allclose(
    cj.corr2d(image, (column, row)), cj.corr2d(image, kernels.gaussian(2.0)), atol=1e-6
)

# %% [markdown]
# **Any direction from a few.** The derivative of order n along any angle is a sum of n + 1 kernels:
# $\sum_j \binom{n}{j} \cos^{n-j} a\, \sin^j a\, D_x^{n-j} D_y^j$. So the image is filtered three
# times, and then the curvature along every direction is known at every pixel (Freeman and Adelson
# 1991).

# %%
basis = [kernels.gaussian_derivative(2.0, order) for order in ((0, 2), (1, 1), (2, 0))]
angles = np.arange(6) * np.pi / 6
figure, grid = plt.subplots(2, 6, figsize=(10.6, 4), layout="constrained")
corner = np.s_[165:295, 200:330]
filtered = [cj.corr2d(photograph, kernel, padding="same", boundary="edge") for kernel in basis]
limit = max(np.percentile(abs(picture[corner]), 99.5) for picture in filtered)
for (top, bottom), angle in zip(grid.T, angles, strict=True):
    steered = kernels.steer(basis, float(angle))
    analysis = kernels.analyze(steered)
    assert analysis.derivative_order == 2
    down, right = analysis.direction
    assert abs(abs(down * math.sin(angle) + right * math.cos(angle)) - 1) < 1e-6
    plots.draw_kernel(top, np.asarray(steered))
    top.set_title(f"{math.degrees(angle):.0f}°")
    weights = (math.cos(angle) ** 2, 2 * math.sin(angle) * math.cos(angle), math.sin(angle) ** 2)
    sum_of_three = sum(w * picture for w, picture in zip(weights, filtered, strict=True))
    bottom.imshow(sum_of_three[corner], cmap="RdBu_r", vmin=-limit, vmax=limit)
    bottom.set_axis_off()
direct = cj.corr2d(
    photograph, kernels.steer(basis, float(angles[-1])), padding="same", boundary="edge"
)
np.testing.assert_allclose(sum_of_three, direct, atol=1e-5)
figure.suptitle("Curvature along six directions, from three filtered images")

# %% [markdown]
# ## Which kernel?
#
# | you want | take | why |
# |---|---|---|
# | a derivative along an axis | `finite_difference` | exact for polynomials up to its accuracy |
# | an edge in a direction | `edge(v)` | error the same in all directions |
# | a direction, of short waves too | `scharr`, `farid` | less than 0.3° at 1/4 cycles per pixel |
# | curvature, blobs, points | `laplacian`; `log` if there is noise | small structures answer most |
# | less noise | `gaussian` | no wave is turned or grows |
# | fewer pixels | `gaussian` of about half the step | short waves would be mistaken |
# | more contrast in detail | `unsharp` | the blur's loss, given back |
# | a texture | `gabor`, even and odd | their energy ignores the phase |
# | several at once | `compose`, `separate`, `steer` | less work |
#
# **Sources.** Bickley, Finite Difference Formulae for the Square Lattice (1948). Marr and Hildreth,
# Theory of Edge Detection (1980). Adelson and Bergen, Spatiotemporal Energy Models for the
# Perception of Motion (1985). Field, Relations between the Statistics of Natural Images and the
# Response Properties of Cortical Cells (1987). Freeman and Adelson, The Design and Use of Steerable
# Filters (1991). Lindeberg, Scale-Space Theory in Computer Vision (1994).
#
# **Where to go next:** `5_receptive_fields.py` follows kernels through whole networks,
# `6_matrices.py` writes them as matrices, and
# `python -m experiments run configs/kernel_zoo.toml data.image=PATH` shows all of them on a
# photograph of yours.
