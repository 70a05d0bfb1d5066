"""The table of the processes that share a run."""

from typing import Annotated

from pydantic import AfterValidator, Field

from experiments.tables.section import Count, Section


def _is_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError("input should be HOST:PORT")
    return text


class Distributed(Section):
    """Where the other processes are; an empty table takes it from SLURM or Open MPI."""

    coordinator: Annotated[str, AfterValidator(_is_address)] | None = Field(
        default=None, description="HOST:PORT of process 0."
    )
    num_processes: Count | None = None
    process_id: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Of this process, from 0."
    )
