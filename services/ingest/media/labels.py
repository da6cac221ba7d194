"""Labels that the paths of files hold: by a pattern, or as the name of the folder that a file lies in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from services.ingest.media.checks import Media, Unusable
from services.ingest.media.pattern import PathPattern
from services.ingest.tables import BadRows


class PatternColumns:
    """A column for every field of a pattern."""

    def __init__(self, pattern: PathPattern) -> None:
        self._pattern = pattern
        self.columns: Mapping[str, pa.DataType] = dict.fromkeys(pattern.columns, pa.string())

    def begin(self, bad: BadRows) -> None:
        """Nothing is read before the files."""

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """See ``Annotations``."""
        values = self._pattern.match(path)
        if values is None:
            raise Unusable(f"does not match data.path_pattern {self._pattern.pattern!r}; rename it, or take it away")
        return values


class FolderLabel:
    """The name of its folder; ``above`` is the path of the part's own folder, which is no label."""

    def __init__(self, above: str) -> None:
        self._above = above
        self.columns: Mapping[str, pa.DataType] = {"label": pa.string()}

    def begin(self, bad: BadRows) -> None:
        """Nothing is read before the files."""

    def of(self, path: str, media: Media) -> Mapping[str, Any]:
        """See ``Annotations``."""
        label = folder_of(path)
        if label == self._above:
            raise Unusable("lies in no folder of a class; move it into the folder of its label")
        return {"label": label.rpartition("/")[2]}


def folder_of(path: str) -> str:
    """The path of the folder that the file lies in; empty for the top."""
    return path.rpartition("/")[0]
