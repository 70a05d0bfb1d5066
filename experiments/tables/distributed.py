"""The table of the processes that share a run."""

from typing import Annotated

from pydantic import Field

from experiments.tables.section import Count, Section


class Distributed(Section):
    """Where the other processes are; an empty table takes it from SLURM or Open MPI."""

    coordinator: Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$")] | None = Field(
        default=None, description="HOST:PORT of process 0."
    )
    num_processes: Count | None = None
    process_id: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Of this process, from 0."
    )
