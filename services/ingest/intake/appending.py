"""Adding rows to a dataset: the shards of the version before stay as they are, new rows come behind them.

The version before also says what columns mean, where the recipe does not: a few new rows need not show it again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.contracts import Recipe
from tidemill.contracts.data import Data
from tidemill.datasets import DatasetSchema, part_shards
from tidemill.datasets.profile import DatasetProfile
from tidemill.errors import CorruptArtifact, InvalidInput


@dataclass(frozen=True)
class Base:
    """The dataset that rows are added to."""

    folder: Path
    schema: DatasetSchema
    profile: DatasetProfile
    shards: Mapping[str, list[Path]]

    @classmethod
    def read(cls, folder: Path) -> Base:
        """The ingested dataset in ``folder``. Raises CorruptArtifact when it is none."""
        shards = part_shards(folder)
        if not shards:
            raise CorruptArtifact("the dataset's last version has no shards")
        return cls(folder, DatasetSchema.read(folder), DatasetProfile.read(folder), shards)

    @property
    def columns(self) -> list[str]:
        """Names of the columns in their order."""
        return [column.name for column in self.schema.columns]

    def arrow_schema(self) -> pa.Schema:
        """The schema that new shards have to have."""
        schema = pq.read_schema(next(iter(self.shards.values()))[0])
        return schema.remove_metadata()

    def filled_in(self, recipe: Recipe) -> Recipe:
        """``recipe`` with the task and its columns as they were, where it leaves them open."""
        data = recipe.data
        known = {
            role: column
            for role, column in self.schema.roles.items()
            if role in Data.model_fields and getattr(data, role) is None
        }
        task = self.schema.task if recipe.task == "auto" else recipe.task
        return recipe.model_copy(update={"task": task, "data": data.model_copy(update=known)})

    def check_fits(self, columns: Sequence[str], parts: Sequence[str], where: str) -> None:
        """Raise InvalidInput when new rows have other columns, or belong to parts that the dataset does not have."""
        absent = [name for name in self.columns if name not in columns]
        added = [name for name in columns if name not in self.columns]
        if absent or added:
            differences = [f"no column {name!r}" for name in absent[:5]]
            differences += [f"a column {name!r} that was not there" for name in added[:5]]
            raise InvalidInput(
                f"{where} cannot be appended: it has {' and '.join(differences)}; the dataset's last version has "
                f"{', '.join(map(repr, self.columns[:20]))}; give it the same columns, or publish without append"
            )
        strange = [part for part in parts if part not in self.shards]
        if strange:
            raise InvalidInput(
                f"{where} cannot be appended: its rows belong to the part {strange[0]!r}, but the dataset's last "
                f"version has {', '.join(map(repr, self.shards))}; name the files so, or publish without append"
            )

    def check_task(self, task: str, where: str) -> None:
        """Raise InvalidInput when ``task`` is not the one that the dataset is for."""
        if task != self.schema.task:
            raise InvalidInput(
                f"{where} cannot be appended: the recipe says task: {task}, but the dataset's last version is for "
                f"{self.schema.task}; leave task out, or publish without append"
            )

    def place(self, dataset: Path) -> dict[str, int]:
        """Put all shards into ``dataset``, the same bytes under the same names; the number of the next by part."""
        following = {}
        for part, shards in self.shards.items():
            (dataset / part).mkdir(parents=True, exist_ok=True)
            for shard in shards:
                _same_file(shard, dataset / part / shard.name)
            following[part] = int(shards[-1].stem) + 1
        return following


def _same_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
