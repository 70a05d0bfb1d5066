"""Expected values by other means than the library's, and the check that compares with them.

Both correlations ask `taps` which pixel meets which kernel element: an index formula for one
axis, so nothing is padded and nothing of NumPy's or JAX's padding is used.
"""

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
    narrow = jnp.finfo(actual.dtype)
    sums = jnp.finfo(jnp.promote_types(actual.dtype, jnp.float32))
    count = 2 * (terms + 2) if np.iscomplexobj(actual) else terms + 1
    bound = count * float(sums.eps) * magnitude + count * float(sums.tiny)
    if narrow.bits < sums.bits:
        bound = bound + float(narrow.eps) * np.abs(expected) + float(narrow.tiny)
    error = np.abs(_widest(actual) - expected)
    assert error.shape == np.shape(expected) == actual.shape
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert np.all(error <= bound), (
        f"off by {error[worst]:.3g} at {tuple(map(int, worst))}, more than the rounding of "
        f"{terms} products, {bound[worst]:.3g}"
    )


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
