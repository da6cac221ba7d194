"""Opens folders of images or recordings whose labels are in their paths, or in a table beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from services.ingest.media.labels import FolderLabel, PatternColumns, folder_of
from services.ingest.media.parts import Part, check_parts, parts_of, refuse_shared
from services.ingest.media.pattern import PathPattern
from services.ingest.media.reader import Annotations, MediaFolder
from services.ingest.media.table import AnnotationTable, TableColumns, find_tables
from services.ingest.media.tree import MediaKind, shown
from services.ingest.tables import Limits, TableFile
from tidemill.contracts.data import Data, FormatName, PartName
from tidemill.errors import InvalidInput

Parts = Mapping[PartName, Part]


def open_folder(
    top: Path, format: FormatName, kind: MediaKind, data: Data, limits: Limits
) -> dict[str, list[TableFile]]:
    """The parts of a folder of media, one table each.

    Labels come from the paths by ``data.path_pattern``; from a table (``data.annotations``, or the only one beside the
    files that names them); else they are the folders that the files lie in, if there are several.

    Raises:
        InvalidInput: there is no file, no path matches the pattern, a table is not there or not clear.
    """
    parts = parts_of(top, kind, data.files)
    counts, one_folder = _survey(top, kind, parts)
    check_parts(counts, parts, kind, top)
    annotations: dict[PartName, list[Annotations]] = {part: [] for part in parts}
    if data.path_pattern is not None:
        pattern = _matching(PathPattern(data.path_pattern), top, kind, parts)
        for said in annotations.values():
            said.append(PatternColumns(pattern))
    if data.path_pattern is None or data.annotations is not None:
        tables = _tables(top, kind, parts, data, limits)
        for part, table in tables.items():
            tells = next(first for first, same in tables.items() if same is table) == part
            annotations[part].append(TableColumns(table, partial(_paths, top, kind, parts), tells=tells))
        if not tables and not one_folder:
            for part, chosen in parts.items():
                annotations[part].append(FolderLabel(chosen.folder))
    return {
        part: [MediaFolder(top, format, kind, partial(chosen.files, top, kind), counts[part], annotations[part])]
        for part, chosen in parts.items()
    }


def _survey(top: Path, kind: MediaKind, parts: Parts) -> tuple[dict[PartName, int], bool]:
    """How many files each part has, and whether they all lie in one folder, which then says nothing."""
    counts = dict.fromkeys(parts, 0)
    seen: set[str] = set()
    for part, chosen in parts.items():
        for found in chosen.files(top, kind):
            counts[part] += 1
            if chosen.pattern is not None:
                refuse_shared(found.path, parts)
            if len(seen) < 2:
                # The same class of two parts lies in two folders.
                seen.add(folder_of(found.path).removeprefix(chosen.folder))
    return counts, len(seen) < 2


def _paths(top: Path, kind: MediaKind, parts: Parts) -> Iterator[str]:
    for chosen in parts.values():
        for found in chosen.files(top, kind):
            if found.problem is None:
                yield found.path


def _matching(pattern: PathPattern, top: Path, kind: MediaKind, parts: Parts) -> PathPattern:
    first = None
    for path in _paths(top, kind, parts):
        if pattern.match(path) is not None:
            return pattern
        first = first or path
    raise InvalidInput(
        f"no path matches data.path_pattern {pattern.pattern!r}; the first one is {shown(first or '')!r}; a pattern is "
        "compared with the end of a path, name by name"
    )


def _tables(top: Path, kind: MediaKind, parts: Parts, data: Data, limits: Limits) -> dict[PartName, AnnotationTable]:
    """The table of each part: in its own folder, or in one above it. Either all parts have one, or none has."""
    opened: dict[Path, AnnotationTable] = {}
    found: dict[PartName, AnnotationTable] = {}
    for part, chosen in parts.items():
        for folder in _upwards(top, chosen.folder):
            fitting = []
            for path in find_tables(folder, data.annotations):
                table = opened.setdefault(path, AnnotationTable(path, data, limits))
                if table.find_key(chosen_path for chosen_path in _part_paths(top, kind, chosen)):
                    fitting.append(table)
            if len(fitting) > 1:
                names = ", ".join(table.path.name for table in fitting)
                raise InvalidInput(f"several tables name the files ({names}); set data.annotations to one of them")
            if fitting:
                found[part] = fitting[0]
                break
        if part not in found and data.annotations is not None:
            raise InvalidInput(
                f"data.annotations {data.annotations!r} is no CSV or TSV file in the folder, or no column of it names "
                f"files ({part}); name a table with the files' names in one of its columns"
            )
    if found and (len(found) < len(parts) or len({tuple(table.columns) for table in found.values()}) > 1):
        names = ", ".join(f"{part}: {found[part].path.name if part in found else 'none'}" for part in parts)
        raise InvalidInput(f"the parts need tables with the same columns beside their files ({names})")
    return found


def _part_paths(top: Path, kind: MediaKind, part: Part) -> Iterator[str]:
    return (found.path for found in part.files(top, kind) if found.problem is None)


def _upwards(top: Path, folder: str) -> Iterator[Path]:
    while folder:
        yield top / folder
        folder = folder_of(folder)
    yield top
