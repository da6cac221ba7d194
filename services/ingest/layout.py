"""Which files of a folder are the dataset, by their names alone: given parts, or candidates for its one table."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from services.ingest.names import PART_OF_WORD, PARTS, part_in_name
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.file_names import is_hidden

_TABLES = frozenset((
    ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".arrows", ".feather", ".ipc", ".xlsx",
    ".xlsm", ".xlsb", ".xls", ".ods", ".arff", ".npz",
))  # fmt: skip
"""Names that can hardly be anything but a table; the others are often notes beside the data."""
_GROUPS = (_TABLES, frozenset((".json",)), frozenset((".txt", ".text", ".data", ".dat", ".asc")))
_OF_FORMAT = {
    "json": {".json"}, "squad": {".json"}, "jsonl": {".jsonl", ".ndjson", ".json"}, "parquet": {".parquet", ".pq"},
    "arrow": {".arrow", ".arrows", ".feather", ".ipc"}, "xlsx": {".xlsx", ".xlsm", ".xlsb", ".ods"}, "xls": {".xls"},
    "arff": {".arff"}, "npz": {".npz"}, "lines": {".txt", ".text"}, "tsv": {".tsv", ".tab", ".txt"},
    "csv": {".csv", ".txt", ".data", ".dat"},
}  # fmt: skip
_NOTES = re.compile(
    r"(?:readme|licen[cs]e|notice|copying|authors|changelog|citation|cc[-_]by|index)\b.*"
    r"|.*\.(?:md|rst|html?|pdf|names|ya?ml|py|sh|sha256|md5|crc)",
    re.IGNORECASE,
)
_OF_ENGINES = re.compile(r"_(?:SUCCESS|metadata|common_metadata|delta_log|committed_.*|started_.*|temporary)")
_LISTED = 10


def data_files(folder: Path) -> list[str]:
    """Every file below ``folder`` that is not hidden, as a path with ``/`` relative to it, in order."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(name for path in found if not _is_hidden(name := path.as_posix()))


def named_parts(names: Sequence[str], data: Data) -> dict[str, list[str]]:
    """The files that ``data.files`` names, by part.

    Raises:
        InvalidInput: a name or pattern matches no file, or two parts share one.
    """
    parts: dict[str, list[str]] = {}
    taken: dict[str, str] = {}
    for part in ("data", *PARTS):
        pattern = data.files.get(part)
        if pattern is None:
            continue
        chosen = [name for name in names if _matches(name, pattern)]
        if not chosen:
            raise InvalidInput(f"data.files.{part}: no file matches {pattern!r}; there are {_listed(names)}")
        for name in chosen:
            if name in taken:
                raise InvalidInput(
                    f"{name} matches data.files.{taken[name]} and data.files.{part}; a file has one part"
                )
            taken[name] = part
        parts[part] = chosen
    return parts


def given_parts(names: Sequence[str], where: str, data: Data) -> dict[str, list[str]] | None:
    """The files of each part where names say so: ``train.csv`` and ``test.csv`` beside anything, else
    ``adult-train.csv``, ``train/part-0001.csv``, … None when no two parts are named.

    Raises:
        InvalidInput: files of one part have different formats; there is a training and a validation part, but no test
            part, or the other way round.
    """
    candidates = _of_format(_data_names(names), data)
    incomplete: dict[str, list[str]] = {}
    for group in (_TABLES, frozenset().union(*_GROUPS)):
        within = [name for name in candidates if PurePath(name).suffix.casefold() in group]
        for part_of in (_part_of_stem, _part_of_path):
            found: dict[str, list[str]] = {}
            for name in within:
                part = part_of(name)
                if part is not None:
                    found.setdefault(part, []).append(name)
            if {"train", "test"} <= found.keys():
                return {part: _of_one_format(found[part], where) for part in PARTS if part in found}
            if len(found) > 1:
                incomplete = found
    if incomplete:
        named = " and ".join(f"{part} ({incomplete[part][0]})" for part in PARTS if part in incomplete)
        raise InvalidInput(
            f"folder {where} holds the parts {named}, but a dataset in parts has both train and test; add the missing "
            'one, or take all files as one and split it anew:  data: {files: {data: "<pattern>"}}'
        )
    return None


def candidates(names: Sequence[str], where: str, data: Data) -> list[str]:
    """The files that could be the dataset's one table: those of the likeliest kind of name.

    Raises:
        InvalidInput: there is none, or they have different formats.
    """
    visible = _of_format(_data_names(names), data)
    for group in _GROUPS:
        chosen = [name for name in visible if PurePath(name).suffix.casefold() in group]
        if chosen:
            return _alike(chosen, where)
    if visible:
        return _alike(visible, where)
    raise InvalidInput(f"folder {where} holds no data file; expected a table such as CSV, JSON, Parquet or a workbook")


def cannot_choose(names: Sequence[str], where: str, reason: str) -> InvalidInput:
    """The error for several files that are not one table."""
    return InvalidInput(
        f"folder {where} holds {len(names)} files that could be the dataset ({_listed(names)}), and {reason}; name "
        'those to read in the recipe, e.g.  data: {files: {data: "*.csv"}}, or name the parts train.*, test.* and '
        "validation.*"
    )


def _alike(names: list[str], where: str) -> list[str]:
    if len({PurePath(name).suffix.casefold() for name in names}) > 1:
        raise cannot_choose(names, where, "they are of different formats")
    return names


def _of_one_format(names: list[str], where: str) -> list[str]:
    first = PurePath(names[0]).suffix.casefold()
    for name in names[1:]:
        if PurePath(name).suffix.casefold() != first:
            raise InvalidInput(f"folder {where} holds both {names[0]} and {name}; keep one format for each part")
    return names


def _part_of_stem(name: str) -> str | None:
    return PART_OF_WORD.get(PurePath(name).stem.casefold())


def _part_of_path(name: str) -> str | None:
    """What the file's own name says; else its folders, the innermost first."""
    path = PurePath(name)
    return next((part for word in (path.stem, *reversed(path.parent.parts)) if (part := part_in_name(word))), None)


def _data_names(names: Sequence[str]) -> list[str]:
    """Without notes; a table whose name is that of a note (``authors.csv``) counts where there is nothing else."""
    kept = [name for name in names if not _NOTES.fullmatch(PurePath(name).name)]
    return kept or [name for name in names if PurePath(name).suffix.casefold() in _TABLES]


def _of_format(names: list[str], data: Data) -> list[str]:
    suffixes = _OF_FORMAT.get(data.format, set())
    return [name for name in names if PurePath(name).suffix.casefold() in suffixes] or names


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(PurePath(name).name, pattern)


def _is_hidden(name: str) -> bool:
    """Hidden, or what engines leave beside the tables they write."""
    return is_hidden(name) or any(_OF_ENGINES.fullmatch(part) for part in name.split("/"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
