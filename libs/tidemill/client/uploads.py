"""Which files of this machine are sent for a dataset, and under which names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tidemill.errors import InvalidInput
from tidemill.file_names import FileNames, is_hidden


def files_to_upload(sources: Sequence[Path | str]) -> list[tuple[str, Path]]:
    """The files by the names that they are sent under, in the order of these.

    A file, an archive too, has its own name. What is in a folder that is alone has its path below the folder; what is
    in one of several, below the folder that it is in. Hidden files (``.git``, ``.DS_Store``) stay here.

    Raises:
        InvalidInput: there is nothing to upload, what is no file, or two files would have one name; names the path.
    """
    names = FileNames("the upload")
    found: dict[str, Path] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            prefix = f"{path.absolute().name}/" if len(sources) > 1 else ""
            inside = {f"{prefix}{name}": file for name, file in _tree(path, path)}
            if not inside:
                raise InvalidInput(f"folder {path} holds no file that is not hidden; put the dataset's files there")
        else:
            inside = {path.name: path}
        for name, file in inside.items():
            _check_regular(file)
            found[names.add(name)] = file
    return sorted(found.items())


def _tree(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    try:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path) for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read: {error.strerror}") from None
    for path in sorted(paths):
        if path.is_dir() and path.is_symlink():
            raise InvalidInput(f"{path} is a symbolic link to a folder; put its files there, or remove the link")
        if path.is_dir():
            yield from _tree(path, root)
        else:
            yield path.relative_to(root).as_posix(), path


def _check_regular(path: Path) -> None:
    if not path.exists():
        raise InvalidInput(f"{path}: no such file or folder")
    if not path.is_file():
        raise InvalidInput(f"{path} is neither a file nor a folder")
