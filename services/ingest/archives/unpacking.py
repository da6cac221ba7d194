"""Unpacks the archives and compressed files of a source, so that the dataset's files lie in one folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePath

from services.ingest.archives.kinds import Kind, archive_kind, decompressed_name, is_tar_header, kind_of, stem
from services.ingest.archives.streams import chunks, first_bytes
from services.ingest.archives.tar import unpack_tar
from services.ingest.archives.writing import Meter, Unpacked, UnpackLimits, counted
from services.ingest.archives.zips import unpack_zip
from tidemill.errors import InvalidInput
from tidemill.file_names import is_hidden
from tidemill.jobs.report import ProgressReport

_NEVER_ARCHIVES = frozenset((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".wav", ".flac", ".mp3", ".xml"))
"""Names whose files are not looked into here, of which folders hold thousands; what they are is found out later."""
_NOTES = frozenset(("readme", "license", "licence", "copying", "notice", "changelog", "citation", "authors"))
_DEPTH = 2
"""An archive, and the archives in it."""


def unpack(source: Path, into: Path, limits: UnpackLimits, report: ProgressReport) -> Path:
    """The folder in which the dataset's files are: ``source`` when it holds no archive, else ``into`` or the one folder
    at its top.

    The members of an archive that is alone lie in ``into`` as in the archive. Where there are others beside it, they
    lie in a folder of its name (``train.zip``: ``train/``), a compressed file in its place (``a.csv.gz``: ``a.csv``),
    and the others are linked or copied. An archive in an archive is unpacked, too, into a folder of its name; deeper
    ones are not.

    Raises:
        InvalidInput: an archive is damaged, cut or encrypted, holds names that lead out of the folder or cannot be told
            apart, or what is no file, or unpacks to more than ``limits`` allow; names the archive and the member.
        HandedBack: the worker wants to leave.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    visible = [path for path in files if not is_hidden(path.relative_to(source).as_posix())]
    kinds = {path: kind for path in visible if (kind := _kind(path)) is not None}
    if not kinds:
        return source
    into.mkdir(parents=True, exist_ok=True)
    meter = Meter(limits, report, sum(path.stat().st_size for path in kinds))
    for path in visible:
        place = into / path.relative_to(source).parent
        if path not in kinds:
            _place(path, place / path.name)
        elif len(visible) == 1:
            _unpack(path, kinds[path], into, meter, _DEPTH)
        else:
            _unpack_beside(path, kinds[path], place, meter, _DEPTH)
    return _inside(into)


def _kind(path: Path) -> Kind | None:
    return None if path.suffix.casefold() in _NEVER_ARCHIVES else archive_kind(path)


def _unpack_beside(path: Path, kind: Kind, place: Path, meter: Meter, depth: int) -> None:
    """What is in ``path`` goes to ``place``, among others: a file as it is, members in a folder of their own."""
    waiting = place / ".unpacking"
    waiting.mkdir(parents=True)
    inner = _unpack(path, kind, waiting, meter, depth)
    found = inner if inner is not None else waiting
    target = place / (found.name if inner is not None else stem(path.name))
    if target.exists():
        raise InvalidInput(f"{target.name} is there twice, in {path.name} and beside it; keep one of them")
    if found == waiting:
        entries = list(waiting.iterdir())
        found = entries[0] if len(entries) == 1 and entries[0].is_dir() else waiting
    found.replace(target)
    shutil.rmtree(waiting, ignore_errors=True)


def _unpack(path: Path, kind: Kind, folder: Path, meter: Meter, depth: int) -> Path | None:
    """Unpack into ``folder``; the one file that came out of a file that was compressed alone, else None."""
    if not depth:
        raise InvalidInput(f"{path.name} is an archive in an archive in an archive; pack the files once")
    into = Unpacked(folder, path.name, meter)
    alone: Path | None = None
    if kind == "zip":
        unpack_zip(path, into, meter)
    elif kind == "tar":
        unpack_tar(counted(chunks(path, None), meter, path.name), into, path.name)
    elif is_tar_header(first_bytes(path, kind)):
        unpack_tar(counted(chunks(path, kind), meter, path.name), into, path.name)
    else:
        name = decompressed_name(path.name)
        into.write(name, counted(chunks(path, kind), meter, path.name))
        alone = folder / name
    into.finish()
    if not into.inner:
        raise InvalidInput(f"archive {path.name} holds no file that is not hidden; pack the dataset's files")
    _unpack_inner(into, meter, depth - 1)
    return alone if alone is not None and alone.exists() else None


def _unpack_inner(outer: Unpacked, meter: Meter, depth: int) -> None:
    for path, head in outer.inner:
        if path.suffix.casefold() in _NEVER_ARCHIVES:
            continue
        if kind_of(head, path.name, lambda: False) is None:
            continue
        kind = archive_kind(path)
        if kind is not None:
            # Out of the way of what comes out of it, which may have its name.
            packed = path.parent / ".packed" / path.name
            packed.parent.mkdir()
            path.rename(packed)
            _unpack_beside(packed, kind, path.parent, meter, depth)
            shutil.rmtree(packed.parent)


def _place(file: Path, target: Path) -> None:
    if target.exists():
        raise InvalidInput(f"{target.name} is there twice, as a file and in an archive; keep one of them")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _inside(folder: Path) -> Path:
    """The one folder at the top of ``folder``, where notes are all that is beside it; else ``folder``."""
    entries = [entry for entry in folder.iterdir() if not _is_note(entry)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _is_note(entry: Path) -> bool:
    name = PurePath(entry.name)
    return entry.is_file() and (name.stem.casefold() in _NOTES or name.suffix.casefold() == ".md")
