"""Limits of a run and what it costs: resource usage priced by a price book. Pure functions; knows no run.

Prices are applied when a cost is shown or a budget is checked; what is on record is usage, not money.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ConfigDict, Field, field_validator

from tidemill.contracts.durations import Duration
from tidemill.contracts.references import STAGES, Frozen, StageName
from tidemill.contracts.usage import ResourceUsage

GIB = 2**30
WORKING_STAGES = tuple(stage for stage in STAGES if stage != "register")
"""Stages that work in jobs, whose time can be limited."""


class Budget(Frozen):
    """What a run may take. None and absent stages mean no limit."""

    max_wall_time: Duration | None = None
    """From the run's creation, or from its retry; time in queues counts."""
    max_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """In the currency of the price book, over all tries and retries of the run."""
    max_stage_time: dict[StageName, Duration] = Field(default_factory=dict)
    """Working time of a stage's jobs, interrupted tries included; time in queues does not count."""

    @field_validator("max_stage_time", mode="before")
    @classmethod
    def _stages_that_work(cls, limits: Any) -> Any:
        if isinstance(limits, Mapping):
            for name in limits:
                if name not in WORKING_STAGES:
                    nearest = difflib.get_close_matches(str(name), WORKING_STAGES, n=1, cutoff=0.5)
                    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known stages: {', '.join(WORKING_STAGES)}"
                    raise ValueError(f"{name!r} is not a stage that works; {hint}")
        return limits

    def overlaid(self, other: Budget | None) -> Budget:
        """This budget with what ``other`` says instead."""
        if other is None:
            return self
        return Budget(
            max_wall_time=other.max_wall_time or self.max_wall_time,
            max_cost=other.max_cost or self.max_cost,
            max_stage_time={**self.max_stage_time, **other.max_stage_time},
        )


class Economics(Budget):
    """The recipe's section: limits that end the run cleanly. No result depends on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Prices(Frozen):
    """A price book: what each resource costs, per unit, in ``currency``."""

    currency: str = Field(default="EUR", min_length=1, max_length=12)
    cpu_hour: float = Field(default=0.04, ge=0, allow_inf_nan=False)
    """One processor busy for an hour."""
    gpu_hour: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    """An hour in which a job held memory of a GPU."""
    memory_gib_hour: float = Field(default=0.005, ge=0, allow_inf_nan=False)
    """One GiB for an hour, taken as the peak over the whole time."""
    read_gib: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    written_gib: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    wall_hour: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """One hour of a job, whatever it uses: for machines that are rented whole."""


class CostLine(Frozen):
    """One resource of a cost."""

    resource: str
    """Name of its price in the price book."""
    amount: float
    """In the price's unit: hours, GiB hours or GiB."""
    price: float
    cost: float


class Cost(Frozen):
    """What usage costs. ``lines`` add up to ``total``; resources without a price have none."""

    total: float = 0.0
    currency: str = "EUR"
    lines: list[CostLine] = Field(default_factory=list)

    def __str__(self) -> str:
        return f"{amount_of(self.total)} {self.currency}"


def cost_of(parts: Iterable[ResourceUsage], prices: Prices) -> Cost:
    """What ``parts`` cost together. Memory is priced part by part, each with its own peak and time."""
    parts = list(parts)
    whole = ResourceUsage.total(parts)
    amounts = {
        "cpu_hour": whole.cpu_seconds / 3600,
        "gpu_hour": whole.gpu_seconds / 3600,
        "memory_gib_hour": sum(part.peak_memory_bytes / GIB * part.wall_seconds for part in parts) / 3600,
        "read_gib": whole.read_bytes / GIB,
        "written_gib": whole.written_bytes / GIB,
        "wall_hour": whole.wall_seconds / 3600,
    }
    lines = [
        CostLine(resource=name, amount=amount, price=price, cost=amount * price)
        for name, amount in amounts.items()
        if (price := float(getattr(prices, name))) > 0 and amount > 0
    ]
    return Cost(total=sum(line.cost for line in lines), currency=prices.currency, lines=lines)


def amount_of(value: float) -> str:
    """Money as people read it: two decimals, and two significant digits below a cent."""
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}" if value >= 0.0001 else f"{value:.1e}"
