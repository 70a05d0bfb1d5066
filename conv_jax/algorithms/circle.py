"""Correlation along axes bent to circles, as Fourier transforms compute it."""

from collections.abc import Sequence
from typing import NamedTuple

from jax import lax
from jaxtyping import Array, Num

from conv_jax import padding
from conv_jax.padding import Pads, Pair


class Circle(NamedTuple):
    """One axis: how long, and where on it the results begin; below 0, that far from its end."""

    length: int
    start: int


def bend(
    size: Sequence[int], extent: Pair, pads: Pads, *, convolved: bool
) -> tuple[Circle, Circle]:
    """Return the circles on which an image of this size meets a kernel of this extent.

    The zeros that fill up a circle serve as padding at both ends of the image, so pads reach at
    most extent - 1 pixels, as `within_reach` leaves them. A correlation puts the result of the
    image's first pixel under the kernel's first element at 0; a convolution, with the flipped
    kernel, that under the last, and so needs no result from before its start.
    """
    rows, columns = (
        Circle(fast_length(max(n + max(pad), e)), (e - 1 if convolved else 0) - pad[0])
        for n, e, pad in zip(size, extent, pads, strict=True)
    )
    return rows, columns


def convolves(extent: Pair, pads: Pads) -> bool:
    """Tell whether to convolve with the flipped kernel: where most of its reach is padded.

    So it is in the gradient of an unpadded image, whose kernel is flipped already. Then a
    correlation, the gradient of its image and that of its kernel meet on the same circles, and
    XLA computes the transforms that they share once.
    """
    return sum(map(sum, reached(extent, pads))) > sum(extent) - 2


def reached(extent: Pair, pads: Pads) -> Pads:
    """Return the part of the pads within the kernel's reach: at most extent - 1 pixels each."""
    rows, columns = (
        (min(before, e - 1), min(after, e - 1))
        for e, (before, after) in zip(extent, pads, strict=True)
    )
    return rows, columns


def within_reach(
    image: Num[Array, "*batch H W"], extent: Pair, pads: Pads
) -> tuple[Num[Array, "*batch H_some W_some"], Pads]:
    """Pad by what lies beyond the kernel's reach; return the rest of the pads too."""
    rest = reached(extent, pads)
    rows, columns = (
        (pad[0] - part[0], pad[1] - part[1]) for pad, part in zip(pads, rest, strict=True)
    )
    return padding.pad(image, (rows, columns)), rest


def take(
    array: Num[Array, "*axes"], circle: Circle, count: int, *, stride: int, axis: int
) -> Array:
    """Return the results on a circle, every `stride`-th."""
    if circle.start < 0:
        end = lax.slice_in_dim(array, circle.length + circle.start, circle.length, axis=axis)
        begin = lax.slice_in_dim(array, 0, circle.length + circle.start, axis=axis)
        array = lax.concatenate([end, begin], axis)
    start = max(0, circle.start)
    return lax.slice_in_dim(array, start, start + (count - 1) * stride + 1, stride, axis)


def fast_length(size: int) -> int:
    """Return the least length of at least this size whose only factors are 2, 3 and 5.

    >>> [fast_length(n) for n in (7, 17, 1021)]
    [8, 18, 1024]
    """
    best = 1 << (size - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            rest = -(-size // threes)
            best = min(best, threes << (rest - 1).bit_length())
            threes *= 3
        fives *= 5
    return best
