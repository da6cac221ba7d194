"""What a fitted step of the preparation is: it looks at the training part, and changes every part with what it saw.

Fitting happens where decisions are made, on the columns that the step asks for and training rows alone; nothing of
validation or test can reach it. What was fitted is JSON, kept with the dataset so that serving can do the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from services.preprocess.change import Change
from tidemill.datasets import Column


class FittedStep(Protocol):
    """One step."""

    @property
    def name(self) -> str:
        """For the report."""

    @property
    def says(self) -> str:
        """What it does, for a person, in a sentence."""

    def needs(self, columns: Mapping[str, Column]) -> Sequence[str]:
        """The columns that ``fit`` looks at; none: there is nothing to do."""

    def fit(self, training: pa.Table) -> dict[str, Any]:
        """What the training rows say, as JSON: ``training`` has the columns of ``needs``."""

    def change(self, columns: Mapping[str, Column], fitted: Mapping[str, Any]) -> Change:
        """The expressions, with what was fitted as literals."""

    def columns_after(self, columns: Mapping[str, Column], fitted: Mapping[str, Any]) -> dict[str, Column]:
        """The columns of the table afterwards."""
