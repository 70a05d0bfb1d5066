"""The table `optimizer`: which one, and its options."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.tables.section import Fraction, Positive, Section


class _Optimizer(Section):
    learning_rate: Positive = Field(description="Peak learning rate.")
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.3, description="Part of the run that one_cycle spends rising."
    )
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Positive | None = Field(
        default=None, description="Largest global norm of the gradient."
    )


class Sgd(_Optimizer):
    """Stochastic gradient descent."""

    name: Literal["sgd"]
    momentum: Fraction = 0.0
    nesterov: bool = False


class Adam(_Optimizer):
    """Adam, or AdamW with decoupled weight decay."""

    name: Literal["adam", "adamw"]
    b1: Fraction = 0.9
    b2: Fraction = 0.999


class Muon(_Optimizer):
    """Muon for matrices, Adam for the rest."""

    name: Literal["muon"]
    beta: Fraction = 0.95


Optimizer = Annotated[Sgd | Adam | Muon, Field(discriminator="name")]
