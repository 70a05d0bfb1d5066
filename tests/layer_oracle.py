"""conv_general_dilated in NumPy, channels last: one sum, linear in images and in kernels.

    out[n, y, g, o] = sum_{h, k, c} P[y, k, h] lhs[n, h, g, c] rhs[k, c, g, o]

where P, one for every spatial axis, is 1 where output y meets pixel h under element k, else 0.
Summed over other indices, the same gives both gradients, so also derivatives of any order.
"""

from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    """The sum for given shapes."""

    lhs_shape: tuple[int, ...]
    rhs_shape: tuple[int, ...]
    groups: int
    places: list[np.ndarray]  # P of every spatial axis

    def value(self, lhs, rhs):
        """Return what lax returns."""
        out = self._sum("nhgc,kcgo->nygo", self._lhs(lhs), self._rhs(rhs))
        return out.reshape(*out.shape[:-2], -1)

    def by_lhs(self, rhs, cotangent):
        """Return the gradient of <value, cotangent> by lhs."""
        gradient = self._sum("kcgo,nygo->nhgc", self._rhs(rhs), self._out(cotangent))
        return gradient.reshape(self.lhs_shape)

    def by_rhs(self, lhs, cotangent):
        """Return the gradient of <value, cotangent> by rhs."""
        gradient = self._sum("nhgc,nygo->kcgo", self._lhs(lhs), self._out(cotangent))
        return gradient.reshape(self.rhs_shape)

    def _sum(self, indices, *arrays):
        """Sum over what the result lacks; h, k and y stand for so many spatial axes."""
        count = len(self.places)
        axes = {"h": "hij"[:count], "k": "klm"[:count], "y": "yzx"[:count]}
        given, wanted = "".join(axes.get(i, i) for i in indices).split("->")
        matrices = [y + k + h for y, k, h in zip(axes["y"], axes["k"], axes["h"], strict=True)]
        terms = ",".join([given, *matrices])
        return np.einsum(f"{terms}->{wanted}", *arrays, *self.places, optimize="greedy")

    def _lhs(self, array):
        return np.float64(array).reshape(*self.lhs_shape[:-1], self.groups, -1)

    def _rhs(self, array):
        return np.float64(array).reshape(*self.rhs_shape[:-1], self.groups, -1)

    def _out(self, array):
        return np.float64(array).reshape(*np.shape(array)[:-1], self.groups, -1)


def layer(
    lhs_shape,
    rhs_shape,
    *,
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    feature_group_count=1,
    dimension_numbers=None,
):
    """Make the sum that `lax.conv_general_dilated` is with these arguments."""
    del dimension_numbers  # channels last
    count = len(lhs_shape) - 2
    strides, ones = window_strides, (1,) * count
    dilations = (lhs_dilation or ones, rhs_dilation or ones)
    pads = [padding] * count if isinstance(padding, str) else padding
    sizes = zip(lhs_shape[1:-1], rhs_shape[:-2], strides, pads, *dilations, strict=True)
    return Layer(lhs_shape, rhs_shape, feature_group_count, [_places(*size) for size in sizes])


def _places(size, kernel, stride, pads, lhs_dilation, rhs_dilation):
    length, extent = (size - 1) * lhs_dilation + 1, (kernel - 1) * rhs_dilation + 1
    before, after = _pads(pads, length, extent, stride) if isinstance(pads, str) else pads
    count = max(0, (length + before + after - extent) // stride + 1)
    y, k, h = np.ogrid[:count, :kernel, :size]
    return np.float64(y * stride + k * rhs_dilation - before == h * lhs_dilation)


def _pads(word, length, extent, stride):
    if word == "VALID":
        return 0, 0
    total = max(0, (-(-length // stride) - 1) * stride + extent - length)
    smaller = total // 2
    return (smaller, total - smaller) if word == "SAME" else (total - smaller, smaller)
