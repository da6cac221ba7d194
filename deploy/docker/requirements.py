"""What extras of ``pyproject.toml`` install, one requirement a line: ``requirements.py EXTRA[,EXTRA…]``.

The Dockerfile installs these before it copies the code, so that a change of code keeps the layer of dependencies.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

_OWN_EXTRAS = re.compile(r"^tidemill\[([^\]]+)\]$")


def requirements(pyproject: Path, extras: Sequence[str]) -> list[str]:
    """The project's own requirements and those of ``extras``, extras of extras followed; each once, sorted.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]

    def of_extra(name: str) -> Iterator[str]:
        for line in optional[name]:
            nested = _OWN_EXTRAS.match(line)
            if nested is None:
                yield line
                continue
            for inner in nested[1].split(","):
                yield from of_extra(inner.strip())

    found = {*project["dependencies"], *(line for extra in extras for line in of_extra(extra))}
    return sorted(found, key=str.lower)


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml"), sys.argv[1].split(","))))
