"""Figures as SVG: small, the same bytes every time, in the ink of the page around them."""

import io
import re

import matplotlib
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend

_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
# In this order: what the page has no use for, and its own ink in place of black.
_CHANGES = (
    (r"^.*?(?=<svg)", ""),  # XML's head, which HTML does not have
    (r"<metadata>.*?</metadata>\s*", ""),
    (r"<!--.*?-->\s*", ""),
    # Matplotlib's sheet would be of the whole page, and its names of groups are not unique there.
    (r"<style.*?</style>", ""),
    (r' id="(?:[A-Za-z.]+|line2d)_\d+"', ""),
    (r"<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" '),
    (r"stroke: #000000", "stroke: currentColor"),
    (r"'DejaVu Sans'[^;\"]*sans-serif", "system-ui, sans-serif"),
)


def svg(figure: Figure, *, name: str) -> str:
    """Return a figure as the element <svg>, to stand in a page or in a file of its own.

    Text stays text and pixels stay pixels. The ground is clear, black strokes are in currentColor,
    and black text has no colour, for the page to choose one; so text that stands on a picture needs
    a grey of its own.

    Args:
      figure: laid out already, if its layout takes long; its images and legends are changed.
      name: of the figure; ids of different names differ.
    """
    for image in figure.findobj(AxesImage):
        image.set_interpolation("none")
    for legend in figure.findobj(Legend):
        legend.get_frame().set_facecolor("none")
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    text = buffer.getvalue()
    for pattern, replacement in _CHANGES:
        text = re.sub(pattern, replacement, text, count=pattern[0] == "^", flags=re.DOTALL)
    return text
