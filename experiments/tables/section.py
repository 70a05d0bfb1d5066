"""What every table of a config is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Side = Annotated[int, Field(ge=1, le=32_768)]
NumBytes = Annotated[int, Field(ge=1)]
Deterministic = Annotated[
    bool, Field(description="Take only GPU kernels that give the same bits every time.")
]
KernelSize = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$")]


class Section(BaseModel):
    """A table of a config: frozen, strict, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
