"""Where the pieces of a preparation lie between its steps: one folder, in it a folder for each kind of piece.

    cleaned/<part>/<number>.parquet    columns behind the cleaning steps, removed rows marked; .json: tallies
    rows/<part>/<number>.parquet       rows that stay behind all row steps
    keys/<part>/<number>.parquet       what is decided on, row for row; .json: tallies
    vaults/<part>-<number>/vault/      what the tokens in a shard stand for, encrypted
    found/                             what is known of duplicates, for all rows
    cut/                               parts and folds, for all rows
    decisions/<part>/<number>.parquet  what becomes of each row; .json: fitted values and examples;
                                       .npy: what texts of validation and test say
    applied/<part>/<number>.json       what was written, counted

Pieces that came from elsewhere are linked in, never changed. Knows files, not what is in them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.preprocess.spec import ShardInfo
from services.preprocess.tally import StepTally
from tidemill.datasets import canonical
from tidemill.errors import CorruptArtifact


class Work:
    """The folder ``root``, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def cleaned(self, shard: ShardInfo) -> Path:
        """The shard behind the cleaning steps."""
        return self.root / "cleaned" / shard.file

    def rows(self, shard: ShardInfo) -> Path:
        """The shard's rows that stay."""
        return self.root / "rows" / shard.file

    def keys(self, shard: ShardInfo) -> Path:
        """What is decided on."""
        return self.root / "keys" / shard.file

    def decisions(self, shard: ShardInfo) -> Path:
        """What becomes of the shard's rows."""
        return self.root / "decisions" / shard.file

    def held_out(self, shard: ShardInfo) -> Path:
        """What validation and test say, of a task with a text; the same for every shard."""
        return self.decisions(shard).with_suffix(".npy")

    def applied(self, shard: ShardInfo) -> Path:
        """What was written of the shard, counted."""
        return (self.root / "applied" / shard.file).with_suffix(".json")

    def vault(self, shard: ShardInfo) -> Path:
        """The folder with what the tokens in the shard stand for, if it has any."""
        return self.root / "vaults" / shard.name

    def folder(self, name: str) -> Path:
        """A folder for what belongs to all shards."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def take(self, source: Path, into: str = "") -> None:
        """Link all files below ``source`` into the folder ``into``."""
        link_tree(source, self.root / into)

    def take_file(self, source: Path, to: str) -> None:
        """Link one file to a path below the root."""
        _link(source, self.root / to)

    def forget(self, name: str) -> None:
        """Remove a folder that nothing needs any more."""
        shutil.rmtree(self.root / name, ignore_errors=True)


def write_tallies(beside: Path, tallies: Sequence[StepTally]) -> None:
    """Keep what the steps did, beside the file they left."""
    write_json(beside.with_suffix(".json"), [tally.model_dump() for tally in tallies])


def read_tallies(beside: Path) -> list[StepTally]:
    """What the steps did that left a file."""
    return [StepTally.model_validate(tally) for tally in read_json(beside.with_suffix(".json"))]


def write_json(path: Path, document: Any) -> None:
    """Canonical JSON: the same content is always the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    canonical.write_json(path, document, sort_keys=True)


def read_json(path: Path) -> Any:
    """What ``write_json`` wrote. Raises CorruptArtifact naming the file."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path.parent.name}/{path.name} of the preparation cannot be read: {error}") from None


def link_tree(source: Path, target: Path) -> None:
    """The files below ``source`` as hard links below ``target``; copies where the file system cannot link."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            _link(path, target / path.relative_to(source))


def _link(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)  # of a try that ended in the middle
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)
