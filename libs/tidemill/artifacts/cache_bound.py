"""A bound on the local cache: the contents that were asked for longest ago go first.

When each was asked for is the time of its file. Several processes may share a cache and bound it at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_KEPT = 0.8
"""Share of the bound that is left when something has to go, so that not every new content looks at all the others."""


def touch(content: Path) -> None:
    """Note that a content was asked for just now."""
    with suppress(OSError):
        os.utime(content)


def trim(folder: Path, most: int, *, keep: Path) -> int:
    """Remove contents below ``folder`` if they have more than ``most`` bytes; ``keep`` stays, whatever its size.

    What a job's folder holds a link to stays as well: nothing would be freed.

    Returns:
        Bytes that were removed.
    """
    found = []
    for path in folder.glob("*/*"):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found.append((stat.st_mtime, stat.st_size, stat.st_nlink, path))
    held = sum(size for _, size, _, _ in found)
    if held <= most:
        return 0
    removed = 0
    for _, size, links, path in sorted(found):
        if held - removed <= _KEPT * most:
            break
        if links == 1 and path != keep:
            with suppress(FileNotFoundError):
                path.unlink()
                removed += size
    return removed
