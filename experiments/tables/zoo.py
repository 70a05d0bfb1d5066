"""The tables of the experiment that draws every kernel."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.tables.section import Section

Pixel = Annotated[int, Field(ge=0)]


class PhotographData(Section):
    """The photograph to filter, and the part of it to draw."""

    image: str | None = Field(
        default=None, description="Path of an image; else a portrait of Grace Hopper."
    )
    crop: Annotated[int, Field(ge=16, le=1024)] = Field(
        default=192, description="Side of the part that is drawn, in pixels."
    )
    middle: tuple[Pixel, Pixel] | None = Field(
        default=None,
        description="Row and column of its middle; else the face, or the middle of your image.",
    )


class KernelZooConfig(Section):
    """Draw every kernel, and a photograph filtered with it."""

    experiment: Literal["kernel_zoo"]
    data: PhotographData = PhotographData()
