"""Expected values by other means than the library's, and the checks that compare with them.

All correlations ask `taps` which pixel meets which kernel element: an index formula for one
axis, so nothing is padded and nothing of NumPy's or JAX's padding is used.
"""

import math

import jax.numpy as jnp
import numpy as np


def taps(size, kernel_size, *, stride, dilation, padding, boundary):
    """Return, for every output of one axis and every kernel element, the index of its pixel.

    The index is None where the kernel element meets the constant that surrounds the image.
    """
    extent = dilation * (kernel_size - 1) + 1
    before, after = _before_after(padding, extent)
    starts = range(-before, size + after - extent + 1, stride)
    return [
        [source(start + dilation * element, size, boundary) for element in range(kernel_size)]
        for start in starts
    ]


def source(position, size, boundary):
    """Return the index of the pixel seen at a position, which may lie far outside the image."""
    if boundary == "constant":
        return position if 0 <= position < size else None
    if boundary == "edge":
        return min(max(position, 0), size - 1)
    if boundary == "wrap":
        return position % size
    if boundary == "symmetric":
        return min(position % (2 * size), -(position + 1) % (2 * size))
    period = max(2 * size - 2, 1)
    return min(position % period, -position % period)


def corr2d_exact(image, kernel, **options):
    """Correlate nested lists of Python integers, of any size, exactly."""
    if isinstance(image[0][0], list):
        return [corr2d_exact(one, kernel, **options) for one in image]
    shape, kernel_shape = (len(image), len(image[0])), (len(kernel), len(kernel[0]))
    rows, columns, fill = _axes(shape, kernel_shape, **options)
    return [
        [
            sum(
                (fill if r is None or c is None else image[r][c]) * kernel[a][b]
                for a, r in enumerate(row)
                for b, c in enumerate(column)
            )
            for column in columns
        ]
        for row in rows
    ]


def windows(image, kernel_shape, **options):
    """Return what the kernel sees at each output, [..., H', W', kH, kW], in 64-bit numbers."""
    image = _widest(image)
    rows, columns, fill = _axes(image.shape[-2:], kernel_shape, **options)
    r = np.array([[-1 if i is None else i for i in row] for row in rows])[:, None, :, None]
    c = np.array([[-1 if i is None else i for i in column] for column in columns])[:, None, :]
    return np.where((r < 0) | (c < 0), fill, image[..., r, c])


def corr2d_numpy(image, kernel, **options):
    """Correlate in float64 or complex128."""
    kernel = _widest(kernel)
    return (windows(image, kernel.shape, **options) * kernel).sum(axis=(-2, -1))


def correlate_numpy(image, kernel, **options):
    """Correlate [G, N, C, H, W] with [G, O, C, kH, kW] in float64 or complex128."""
    seen = windows(image, kernel.shape[-2:], **options)
    return np.einsum("gncijab,gocab->gnoij", seen, _widest(kernel))


def surrounded(image, kernel_shape, *, dilation=1, padding="valid", **options):
    """Return the image with its padding, in 64-bit numbers."""
    dilations = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    paddings = padding if isinstance(padding, tuple) else (padding, padding)
    pads = tuple(
        _before_after(p, d * (k - 1) + 1)
        for p, d, k in zip(paddings, dilations, kernel_shape, strict=True)
    )
    kept = {name: options[name] for name in ("boundary", "fill_value") if name in options}
    return windows(image, (1, 1), padding=pads, **kept)[..., 0, 0]


def assert_close(algorithm, actual, image, kernel, **options):
    """Check `corr2d` against a float64 sum, within the bound of the algorithm."""
    assert actual.shape == corr2d_numpy(image, kernel, **options).shape
    images = np.reshape(image, (1, -1, 1, *np.shape(image)[-2:]))
    sums = np.reshape(actual, (1, images.shape[1], 1, *np.shape(actual)[-2:]))
    assert_close_groups(algorithm, sums, images, np.asarray(kernel)[None, None, None], **options)


def assert_close_groups(algorithm, actual, image, kernel, **options):
    """Check [G, N, O, H', W'] against a float64 sum, within the bound of the algorithm."""
    expected = correlate_numpy(image, kernel, **options)
    if not algorithm.startswith("fft"):
        magnitude = correlate_numpy(abs(image), abs(kernel), **_of_magnitudes(options))
        terms = math.prod(kernel.shape[-3:])
        assert_within_rounding(actual, expected, magnitude=magnitude, terms=terms)
        return
    padded = surrounded(image, kernel.shape[-2:], **options)
    norms = np.einsum(
        "gnc,goc->gno",
        np.linalg.norm(padded, axis=(-2, -1)),
        np.linalg.norm(_widest(kernel), axis=(-2, -1)),
    )
    # Transforms are no longer than the next powers of two.
    lengths = [1 << (size - 1).bit_length() for size in padded.shape[-2:]]
    assert_within_transform_rounding(
        actual,
        expected,
        norms=norms[..., None, None],
        lengths=lengths,
        terms=math.prod(kernel.shape[-3:-1]),
    )


def assert_within_rounding(actual, expected, *, magnitude, terms):
    """Check sums of `terms` products against the rounding errors that any order of summing makes.

    Real: |fl(sum) - sum| <= (terms + 1) eps sum |x||k|, and `terms` times the smallest normal
    number for products that underflow (Higham, Accuracy and Stability of Numerical Algorithms,
    3.1; eps is twice his u). float16 and bfloat16 are summed in float32 and rounded once, which
    adds eps |sum| of the narrow type, or its smallest normal number.

    Complex: |fl(sum) - sum| <= 2 (terms + 2) eps sum |x||k|. With x = a + ib and k = c + id, the
    form with three real products, p = (a + b) c, q = a (d - c), r = b (c + d), gives p - r and
    p + q. Each of p, q, r sums `terms` products of magnitude at most sqrt(2) |x||k|, after one
    rounding of a factor and before one of the result: a part is off by at most
    2 sqrt(2) (terms + 2) u sum |x||k|, the modulus by sqrt(2) times that. The form with four
    products sums twice the terms, of |a c| + |b d| <= |x||k|, and stays below.

    `magnitude` is the same sum over absolute values.
    """
    actual = np.asarray(actual)
    sums = jnp.finfo(jnp.promote_types(actual.dtype, jnp.float32))
    count = 2 * (terms + 2) if np.iscomplexobj(actual) else terms + 1
    bound = count * float(sums.eps) * magnitude + count * float(sums.tiny)
    _assert_within(actual, expected, bound, f"{terms} products")


def assert_within_transform_rounding(actual, expected, *, norms, lengths, terms):
    """Check sums that three Fourier transforms gave: |error| <= 12 log2(n) eps |x| |k|, and more.

    |x| and |k| are the Euclidean norms of the surrounded image and of the kernel, `norms` is
    their product (summed over channels), n the pixels of a transform of `lengths`, or 4 if it
    has fewer. With L = log2(n), u = eps / 2, X and K the transforms, |X| = sqrt(n) |x| by
    Parseval, each of the four steps of F^-1(X conj(K)) adds to every element:

    - the image's transform, off by |dX| <= 7 u L |X| (Higham, Accuracy and Stability of Numerical
      Algorithms, 24.1, whose eta is mu + gamma_4 (sqrt(2) + mu), about 7 u): by Cauchy and
      Schwarz |F^-1(dX conj(K))| <= |dX| |K| / n <= 7 u L |x| |k|;
    - the kernel's transform: the same;
    - the products, off by sqrt(2) gamma_2 < 3 u each, and one addition for each further channel:
      (2 + C) u |x| |k|;
    - the inverse: every input passes L stages on its way to an output, each with a factor within
      1 +- 7 u, so an output is off by at most 7 u L sum |X K| / n <= 7 u L |x| |k|; and by u
      for dividing by n.

    In all (21 L + 3 + C) u |x| |k|, which is at most 24 L u |x| |k| for L >= 2 and C <= 3.
    The same holds for complex numbers and, with fewer operations, for real ones. It is symmetric
    in image and kernel. Narrow types are rounded once more, as in `assert_within_rounding`.

    Where only rows are transformed, a sum of `terms` complex products, one for each channel and
    row of the kernel, takes the place of the stages along columns; by Cauchy and Schwarz it adds
    (terms + 2) u.

    Higham's theorem is for radix 2. A stage of radix 3 or 5 counts as log2(3) or log2(5) of them
    here, and its sums of 3 and 5 products are no less exact than so many stages of 2.
    """
    pixels = max(4, math.prod(lengths))
    sums = jnp.finfo(jnp.promote_types(actual.dtype, jnp.float32))
    factor = 12 * math.log2(pixels) + (terms + 2) / 2
    bound = factor * float(sums.eps) * norms + pixels * float(sums.tiny)
    _assert_within(np.asarray(actual), expected, bound, f"transforms of {pixels} pixels")


def assert_within_factor_rounding(actual, image, columns, rows, *, left_out=0.0, **options):
    """Check a kernel given by factors, sum_r column_r row_r^T, correlated in two passes.

    |error| <= (kH + kW + 4) eps (|x| * sum_r |column_r| |row_r|^T). In units of u = eps / 2 a
    product meets: two roundings, of its factors; kH, in the sum over a column; R kW, in the sum
    over the rows of all R factors; and less than 2 in terms of higher order. With R <= 2 that
    is (kH + R kW + 4) u <= (kH + kW + 4) eps. Complex sums of k terms have 2 (k + 2) eps, as
    derived in `assert_within_rounding`: together less than its bound for kH + kW + 3 terms.

    Two factors found by singular values S leave out less than max(kH, kW) eps S[0], which bounds
    every element of what they leave out too: `left_out` = S[0] joins the magnitude. One factor,
    column and row of the largest element, repeats elements to 5 u, for which there is room.
    """
    columns, rows = _widest(columns), _widest(rows)
    kernel = np.einsum("ra,rb->ab", columns, rows)
    largest = np.einsum("ra,rb->ab", abs(columns), abs(rows)) + left_out
    assert_within_rounding(
        actual,
        corr2d_numpy(image, kernel, **options),
        magnitude=corr2d_numpy(abs(image), largest, **_of_magnitudes(options)),
        terms=sum(kernel.shape) + 3,
    )


def assert_whole(algorithm, actual, expected, *, norms, pixels=4096):
    """Check whole numbers: exact, or through "fft" so near that no other whole number is.

    `norms` is the product of the Euclidean norms of the arrays that were multiplied; `pixels`
    is more than any transform of these tests has. A narrow type that holds the whole number
    rounds to it or to something nearer than the sum was, so at most doubles the error.
    """
    if algorithm != "fft":
        np.testing.assert_array_equal(actual, expected)
        return
    eps = jnp.finfo(jnp.promote_types(actual.dtype, jnp.float32)).eps
    bound = 2 * 12 * math.log2(pixels) * float(eps) * norms
    assert bound < 1 / 4
    _assert_within(np.asarray(actual), np.asarray(expected), bound, "a whole number", narrow=False)


def norm(*arrays):
    """Return the product of Euclidean norms."""
    return math.prod(float(np.linalg.norm(_widest(array))) for array in arrays)


def _assert_within(actual, expected, bound, cause, *, narrow=True):
    limits, sums = jnp.finfo(actual.dtype), jnp.finfo(jnp.promote_types(actual.dtype, jnp.float32))
    if narrow and limits.bits < sums.bits:
        bound = bound + float(limits.eps) * np.abs(expected) + float(limits.tiny)
    error = np.abs(_widest(actual) - expected)
    assert error.shape == np.shape(expected) == actual.shape
    bound = np.broadcast_to(bound, error.shape)
    worst = np.unravel_index(np.argmax(error - bound), error.shape) if error.size else ()
    assert np.all(error <= bound), (
        f"off by {error[worst]:.3g} at {tuple(map(int, worst))}, more than the rounding of "
        f"{cause}, {bound[worst]:.3g}"
    )


def _of_magnitudes(options):
    fill = {"fill_value": abs(options["fill_value"])} if "fill_value" in options else {}
    return options | fill


def _widest(array):
    return np.asarray(array).astype(np.complex128 if np.iscomplexobj(array) else np.float64)


def _axes(
    shape,
    kernel_shape,
    *,
    stride=1,
    dilation=1,
    padding="valid",
    boundary="constant",
    fill_value=0,
):
    """Return the taps of the rows, those of the columns, and the constant around the image."""
    pairs = [value if isinstance(value, tuple) else (value, value) for value in (stride, dilation)]
    paddings = padding if isinstance(padding, tuple) else (padding, padding)
    per_axis = zip(shape, kernel_shape, *pairs, paddings, strict=True)
    rows, columns = (
        taps(n, k, stride=s, dilation=d, padding=p, boundary=boundary) for n, k, s, d, p in per_axis
    )
    return rows, columns, fill_value


def _before_after(padding, extent):
    around = extent - 1
    words = {
        "valid": (0, 0),
        "same": (around // 2, around - around // 2),
        "same_lower": (around - around // 2, around // 2),
        "full": (around, around),
    }
    if isinstance(padding, str):
        return words[padding]
    return padding if isinstance(padding, tuple) else (padding, padding)
