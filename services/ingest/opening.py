"""Opens the dataset that is in an unpacked source folder: the tables of its parts, whatever their format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

from services.ingest.aligned import AlignedTable, align
from services.ingest.formats.arff import ArffFile
from services.ingest.formats.arrow import ArrowFile
from services.ingest.formats.delimited import DelimitedFile
from services.ingest.formats.detection import detect_format
from services.ingest.formats.json_document import open_json_document
from services.ingest.formats.jsonl import JsonLinesFile
from services.ingest.formats.lines import LinesFile
from services.ingest.formats.npz import open_npz
from services.ingest.formats.parquet import ParquetFile
from services.ingest.formats.squad import SquadFile
from services.ingest.formats.text_folder import is_text_folder, open_text_folder
from services.ingest.formats.workbook import WorkbookFile
from services.ingest.layout import candidates, cannot_choose, data_files, given_parts, named_parts
from services.ingest.tables import Limits, ReadTable, TableFile
from tidemill.contracts.data import Data, FormatName
from tidemill.errors import InvalidInput

_MEDIA_SUFFIXES = frozenset((
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".wav", ".flac", ".ogg", ".mp3",
))  # fmt: skip
_READERS: dict[str, Callable[[Path, Data, Limits], ReadTable]] = {
    "jsonl": JsonLinesFile, "parquet": ParquetFile, "arrow": ArrowFile, "arff": ArffFile, "squad": SquadFile,
    "lines": LinesFile,
}  # fmt: skip
_WORKBOOKS = frozenset((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"))
_USED_BY = {
    "path_pattern": "no folder of images, recordings or texts",
    "annotations": "no folder of images or recordings",
    "sheet": "no workbook",
}
_WHERE = "of the dataset"
_TABLE_LIKE = 0.8
"""Share of lines with the same number of fields from which on a file named .txt is a table rather than prose."""


def open_parts(folder: Path, data: Data, limits: Limits) -> dict[str, list[TableFile]]:
    """The tables of each part (``data``, or ``train``, ``validation`` and ``test``) of the files below ``folder``.

    The tables of a part follow each other in the order of their names; all tables have the same columns in the same
    order, and the same types. ``data.files`` says which files are which part; else names do: of files, of folders, of
    the arrays or lists in one file. Several files with the same columns and no part in their names are one part.

    Raises:
        InvalidInput: there is no dataset, or it is not clear which files it is; a file cannot be read at all.
    """
    names = data_files(folder)
    if not names:
        raise InvalidInput(f"folder {_WHERE} holds no data file")
    media = _media_format(folder, names, data)
    texts = data.format == "text-folder" or (data.format == "auto" and not data.files and is_text_folder(names))
    _refuse_idle_keys(names, data, media=media is not None, texts=texts)
    if media is not None:
        from services.ingest.media import open_media

        opened = open_media(folder, media, data, limits)
        return {part: [AlignedTable(table, None, table.kinds) for table in opened[part]] for part in opened}
    if texts:
        parts: dict[str, list[ReadTable]] = {
            part: [table] for part, table in open_text_folder(folder, names, data, limits).items()
        }
    elif data.files:
        parts = _open_given(folder, named_parts(names, data), data, limits)
    elif (given := given_parts(names, _WHERE, data)) is not None:
        parts = _open_given(folder, given, data, limits)
    else:
        parts = _open_candidates(folder, candidates(names, _WHERE, data), data, limits)
    return align(parts)


def _refuse_idle_keys(names: list[str], data: Data, *, media: bool, texts: bool) -> None:
    """Refuse keys of the recipe that say nothing about such files: whoever wrote them expects something of them."""
    workbooks = any(PurePath(name).suffix.casefold() in _WORKBOOKS for name in names)
    idle = {
        "path_pattern": data.path_pattern is not None and not (media or texts),
        "annotations": data.annotations is not None and not media,
        "sheet": data.sheet is not None and (media or texts or not workbooks),
    }
    for key, said in idle.items():
        if said:
            raise InvalidInput(
                f"data.{key} is set, but the dataset is {_USED_BY[key]}; remove data.{key} from the recipe, or set "
                "data.format"
            )


def _has_media(names: list[str]) -> bool:
    return any(PurePath(name).suffix.casefold() in _MEDIA_SUFFIXES for name in names)


def _media_format(folder: Path, names: list[str], data: Data) -> FormatName | None:
    if data.format in ("image-folder", "voc", "coco", "audio-folder"):
        return data.format
    if data.format != "auto" or data.files or not _has_media(names):
        return None
    from services.ingest.media import detect_media

    return detect_media(folder)


def _open_given(folder: Path, parts: dict[str, list[str]], data: Data, limits: Limits) -> dict[str, list[ReadTable]]:
    """The tables of files that are known to be of these parts. All have a header when the first one has."""
    opened: dict[str, list[ReadTable]] = {}
    header: bool | None = None
    for part, names in parts.items():
        for name in names:
            tables = open_file(folder / name, data, limits, header=header)
            if len(tables) > 1:
                if len(parts) == 1 and len(names) == 1:
                    return {inner: [table] for inner, table in tables.items()}
                raise InvalidInput(
                    f"{name} holds the parts {', '.join(tables)} itself; name it alone, as data.files.data"
                )
            (table,) = tables.values()
            header = table.writing.header if header is None else header
            opened.setdefault(part, []).append(table)
    return opened


def _open_candidates(folder: Path, names: list[str], data: Data, limits: Limits) -> dict[str, list[ReadTable]]:
    if len(names) == 1:
        return _open_given(folder, {"data": names}, data, limits)
    try:
        parts = _open_given(folder, {"data": names}, data, limits)
    except InvalidInput as error:
        raise cannot_choose(names, _WHERE, f"they are not all readable ({error})") from None
    first, *others = parts["data"]
    for other in others:
        if set(other.columns) != set(first.columns):
            reason = (
                f"{other.path.name} has the columns {', '.join(other.columns[:20])}, but {first.path.name} has "
                f"{', '.join(first.columns[:20])}"
            )
            raise cannot_choose(names, _WHERE, reason)
    return parts


def open_file(path: Path, data: Data, limits: Limits, *, header: bool | None = None) -> dict[str, ReadTable]:
    """The tables in one file: ``{"data": table}``, or those of the parts that it holds.

    ``header`` is whether the files before it had one.

    Raises:
        InvalidInput: it cannot be read.
    """
    format = detect_format(path, data.format)
    if format == "npz":
        return dict(open_npz(path, data, limits))
    if format == "json":
        return open_json_document(path, data, limits)
    if format in ("csv", "tsv"):
        return {"data": _open_delimited(path, format, data, limits, header)}
    if format in ("xlsx", "xls"):
        return {"data": WorkbookFile(path, format, data, limits, header=header)}
    return {"data": _READERS[format](path, data, limits)}


def _open_delimited(path: Path, format: str, data: Data, limits: Limits, header: bool | None) -> ReadTable:
    table = DelimitedFile(path, "tsv" if format == "tsv" else "csv", data, limits, header=header)
    asked = data.format != "auto" or data.columns is not None or data.header is not None
    if path.suffix.casefold() in (".txt", ".text") and not asked and table.consistent < _TABLE_LIKE:
        return LinesFile(path, data, limits)
    return table
