"""What an export says of its network and of the images that this takes."""

from experiments.after.frames import FRAMES
from experiments.after.weights import Weights


def about(network: Weights) -> str:
    """Return the head of README.md: the network, its images, and the lines that read one."""
    height, width, channels = network.image_shape
    return f"""\
# {network.network}, trained on {network.data}, seed {network.seed}

Images have {height}x{width} pixels, {channels} channel(s) and grey values 0..255. The network was
trained on (grey / 255 - mean) / std, with mean = {network.mean!r}, std = {network.std!r}.
Classes, in the order of the logits: {", ".join(network.class_names)}.

## Images

{_stored(network)}
{_enlarged(network)}
{_drawn(network)}

From a file, with NumPy and Pillow (in place of image.png, yours):

```python
{_lines(network)}
```
"""


def _size(network: Weights) -> tuple[int, int]:
    """Return the height and the width before images were enlarged."""
    frame = FRAMES.get(network.data)
    known = (frame.size, frame.size) if frame else network.image_shape[:2]
    return network.stored_size or known


def _stored(network: Weights) -> str:
    height, width = _size(network)
    look = ", light on dark" if network.data in FRAMES else ""
    return f"Those of the training had {height}x{width} pixels{look}."


def _enlarged(network: Weights) -> str:
    """Say what `conv_jax.data.resize` did."""
    stored, size = _size(network)[0], network.image_shape[0]
    if network.stored_size is None and network.data not in FRAMES:
        return "Whether they were enlarged to that is not recorded."
    if stored == size:
        return "They were not enlarged."
    if _is_multiple(network):
        return f"They were enlarged {size // stored} times, bilinearly."
    before, after = _padding(network)
    return f"They were padded with zeros, {before} at the top and left, {after} at the other sides."


def _drawn(network: Weights) -> str:
    frame = FRAMES.get(network.data)
    if frame is None:
        return "Give yours the same look."
    middle = "" if frame.centre is None else ", the centre of mass in the middle"
    return (
        f"What they show has {frame.box} pixels along its longer side{middle}: cut yours so.\n"
        "(`python -m experiments predict` does it by itself.)"
    )


def _lines(network: Weights) -> str:
    (height, width), (size, _, channels) = _size(network), network.image_shape
    mode = "RGB" if channels == 3 else "L"
    lines = [
        "import numpy as np",
        "from PIL import Image",
        "",
        f'picture = Image.open("image.png").convert("{mode}")',
        f"picture = picture.resize(({width}, {height}), Image.Resampling.BOX)",
    ]
    if _is_multiple(network):
        lines.append(f"picture = picture.resize(({size}, {size}), Image.Resampling.BILINEAR)")
    lines.append(
        f"grey = np.asarray(picture, np.float32).reshape(1, *picture.size[::-1], {channels})"
    )
    if network.data in FRAMES:
        lines.append("# grey = 255 - grey  # if yours is dark on light")
    if height != size and not _is_multiple(network):
        before_after = _padding(network)
        lines.append(f"grey = np.pad(grey, ((0, 0), {before_after}, {before_after}, (0, 0)))")
    return "\n".join(lines)


def _is_multiple(network: Weights) -> bool:
    """Tell whether the images were enlarged a whole number of times."""
    stored, size = _size(network)[0], network.image_shape[0]
    return stored != size and size % stored == 0


def _padding(network: Weights) -> tuple[int, int]:
    """Return the zeros before and after, for sizes of which one is no multiple of the other."""
    missing = network.image_shape[0] - _size(network)[0]
    return missing // 2, missing - missing // 2
