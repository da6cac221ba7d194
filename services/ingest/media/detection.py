"""What a folder tree holds: images or recordings, with which annotations, or a table with media only beside it."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path, PurePosixPath

from services.ingest.media.coco import coco_files
from services.ingest.media.tree import SUFFIXES, MediaKind, media, walk
from tidemill.contracts.data import FormatName

_TABLES = frozenset(
    (".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather", ".xlsx", ".xls",
     ".arff", ".npz")
)  # fmt: skip
_SAMPLE = 500
_HEAD = 1 << 20


def detect(top: Path) -> FormatName | None:
    """See ``detect_media``."""
    counts: dict[MediaKind, int] = {"image": 0, "audio": 0}
    annotations = 0
    tables: list[str] = []
    for found in walk(top):
        for kind in counts:
            counts[kind] += found.suffix in SUFFIXES[kind]
        annotations += found.suffix == ".xml"
        if found.suffix in _TABLES and found.problem is None:
            tables.append(found.path)
    if counts["image"] == counts["audio"]:
        return None
    kind = max(counts, key=lambda kind: counts[kind])
    if kind == "image" and annotations and _has_annotated_image(top):
        return "voc"
    if kind == "image" and tables and next(coco_files(top), None) is not None:
        return "coco"
    if tables and not any(_names_media(top, path, kind) for path in tables) and not _in_classes(top, kind):
        return None
    return "image-folder" if kind == "image" else "audio-folder"


def _has_annotated_image(top: Path) -> bool:
    stems = {PurePosixPath(found.path).stem for found in islice(media(top, "image"), _SAMPLE)}
    for found in walk(top):
        if found.suffix == ".xml" and PurePosixPath(found.path).stem in stems and found.problem is None:
            with (top / found.path).open("rb") as file:
                return b"<annotation" in file.read(4096)
    return False


def _names_media(top: Path, table: str, kind: MediaKind) -> bool:
    """Whether the first megabyte of a table has the name of one of the first files in it."""
    with (top / table).open("rb") as file:
        head = file.read(_HEAD)
    names = (PurePosixPath(found.path) for found in islice(media(top, kind), _SAMPLE) if found.problem is None)
    return any(name.name.encode() in head or (len(name.stem) > 3 and name.stem.encode() in head) for name in names)


def _in_classes(top: Path, kind: MediaKind) -> bool:
    """Whether files lie in several folders side by side."""
    lying = {PurePosixPath(found.path).parent for found in islice(media(top, kind), 100 * _SAMPLE)}
    return max(Counter(folder.parent for folder in lying).values()) > 1
