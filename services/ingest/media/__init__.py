"""Folders of images and recordings as tables: one row per file, checked to its last byte, with its label or its boxes.

    open_media      the tables of a folder, by part
    detect_media    what a folder holds

Knows files and Arrow; not where the files came from, and no task.
"""

from __future__ import annotations

from pathlib import Path

from services.ingest.media.detection import detect
from services.ingest.media.pattern import PathPattern
from services.ingest.tables import Limits, TableFile
from tidemill.contracts.data import Data, FormatName
from tidemill.errors import InvalidInput

__all__ = ["PathPattern", "detect_media", "open_media"]


def open_media(folder: Path, format: FormatName, data: Data, limits: Limits) -> dict[str, list[TableFile]]:
    """The tables of a folder of media files, by part: ``data``, or train, validation and test.

    Columns: ``path`` (from the folder), ``image`` or ``audio`` (the encoded file as it is), ``width`` and ``height``
    (int32, pixels) or ``sample_rate`` (int32, hertz) and ``seconds`` (float64), then ``label`` and what else paths or
    a table say (strings), or ``objects`` (boxes). Rows are in the order of their paths.

    Raises:
        InvalidInput: the folder holds no such files, or it is not clear what their labels or parts are.
    """
    if format == "voc":
        from services.ingest.media.voc import open_voc

        return open_voc(folder, data)
    if format == "coco":
        from services.ingest.media.coco import open_coco

        return open_coco(folder, data, limits)
    from services.ingest.media.folder import open_folder

    if format == "image-folder":
        return open_folder(folder, format, "image", data, limits)
    if format == "audio-folder":
        return open_folder(folder, format, "audio", data, limits)
    raise InvalidInput(
        f"{format} is no format of media folders; set data.format to image-folder, voc, coco or audio-folder"
    )


def detect_media(folder: Path) -> FormatName | None:
    """The format of the media files that a folder holds; None when its data is something else.

    Images or recordings beside a table that does not name them, and not in folders of classes, are illustrations.
    """
    return detect(folder)
