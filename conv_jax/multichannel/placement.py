"""Where a kernel lies on an image along one spatial axis, and in the two gradients."""

from typing import NamedTuple


class Placement(NamedTuple):
    """One spatial axis of a correlation.

    out[y] = sum_k image[(y stride + k kernel_dilation - before) / image_dilation] kernel[k],
    over the k for which that index is whole and within the image.
    """

    stride: int = 1
    before: int = 0  # zeros in front of the image, once dilated; negative ones cut it
    after: int = 0
    image_dilation: int = 1  # distance between the elements of the image
    kernel_dilation: int = 1


Window = tuple[Placement, ...]  # one for every spatial axis


def extent(size: int, dilation: int) -> int:
    """Return the length of an axis with dilation - 1 zeros between its elements."""
    return (size - 1) * dilation + 1 if size else 0


def output_size(image: int, kernel: int, place: Placement) -> int:
    """Return how often the kernel fits: 0 for a kernel longer than the padded image."""
    length = extent(image, place.image_dilation) + place.before + place.after
    return max(0, (length - extent(kernel, place.kernel_dilation)) // place.stride + 1)


def output_sizes(image: tuple[int, ...], kernel: tuple[int, ...], window: Window) -> list[int]:
    """Return `output_size` of every spatial axis."""
    return [output_size(*sizes) for sizes in zip(image, kernel, window, strict=True)]


def of_image_gradient(image: int, kernel: int, place: Placement) -> Placement:
    """Place the flipped kernel on the cotangent: it gives the gradient of the image.

    Args:
      image: elements of the image.
      kernel: elements of the kernel.
      place: how they were correlated.
    """
    reach = extent(kernel, place.kernel_dilation)
    spread = extent(output_size(image, kernel, place), place.stride)
    before = reach - 1 - place.before
    after = extent(image, place.image_dilation) + reach - 1 - spread - before
    return Placement(place.image_dilation, before, after, place.stride, place.kernel_dilation)


def of_kernel_gradient(image: int, kernel: int, place: Placement) -> Placement:
    """Place the cotangent on the image: it gives the gradient of the kernel.

    Args:
      image: elements of the image.
      kernel: elements of the kernel.
      place: how they were correlated.
    """
    reach = extent(kernel, place.kernel_dilation)
    spread = extent(output_size(image, kernel, place), place.stride)
    after = reach + spread - 1 - place.before - extent(image, place.image_dilation)
    return Placement(place.kernel_dilation, place.before, after, place.image_dilation, place.stride)
