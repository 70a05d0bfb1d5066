"""Cut the rows of an array into tiles that overlap."""

from jax import lax
from jaxtyping import Array, Num

from conv_jax import padding


def overlapping(
    array: Num[Array, "G N C H W"], count: int, *, step: int, rows: int
) -> Num[Array, "G N C tiles rows W"]:
    """Return `count` tiles of so many rows; each begins `step` rows below the last.

    Zeros stand below the array's end.
    """
    parts = -(-rows // step)
    missing = (count + parts - 1) * step - array.shape[3]
    array = padding.pad(array, ((0, max(0, missing)), (0, 0)))
    shape = (*array.shape[:3], count, step, array.shape[4])
    starts = range(0, parts * step, step)
    tiles = [array[:, :, :, start : start + count * step].reshape(shape) for start in starts]
    return lax.concatenate(tiles, 4)[:, :, :, :, :rows]
