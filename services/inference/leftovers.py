"""Folders that the gateway fills and then moves or removes, and those that a killed one left behind.

Their names carry the id of the process that filled them, which is how a later one knows that nobody does any more.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

PARTIAL = ".partial-"
"""Beginning of the names of models that are being fetched."""
UPLOAD = "upload-"
"""Beginning of the names of uploads that are being received."""


def own_prefix(kind: str) -> str:
    """Beginning of the names of this process's folders of a kind."""
    return f"{kind}{os.getpid()}-"


def leftovers(folder: Path, kind: str) -> list[Path]:
    """Folders of a kind in ``folder`` whose process is gone.

    To be asked before this process makes any: one that carries its id is then from an earlier process, which in a
    container is the rule.
    """
    try:
        found = [child for child in folder.iterdir() if child.name.startswith(kind) and child.is_dir()]
    except OSError:
        return []
    return [child for child in found if not _in_use(child.name.removeprefix(kind))]


def remove(folders: Iterable[Path]) -> None:
    """Remove the folders; what cannot be removed stays for the next start."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _in_use(rest: str) -> bool:
    pid = rest.partition("-")[0]
    if not pid.isdecimal() or len(pid) > 9 or int(pid) in (0, os.getpid()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
