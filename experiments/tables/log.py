"""The table of where else the rows of a run are shown."""

from typing import Annotated

from pydantic import Field

from experiments.tables.section import Section

Project = Annotated[str, Field(min_length=1)]


class Log(Section):
    """Where else the rows of metrics.jsonl go; each needs the extra of its name."""

    tensorboard: bool = Field(
        default=False, description="Write tensorboard/ in the run folder, for TensorBoard."
    )
    wandb: Project | None = Field(default=None, description="Project of Weights & Biases.")
    trackio: Project | None = Field(default=None, description="Project of Trackio.")
