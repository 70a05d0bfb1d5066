"""The table of the checkpoints."""

from typing import Annotated

from pydantic import Field

from experiments.tables.section import Count, Section


class Checkpointing(Section):
    """When a run is saved, so that it can go on after whatever ends it."""

    every: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=1, description="Epochs between two checkpoints; 0 saves none."
    )
    keep: Count = Field(default=2, description="Newest checkpoints that stay.")
