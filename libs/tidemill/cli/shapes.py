"""A small folder of images for the tutorials: shapes drawn in noise, one folder for each. Knows no platform.

The same arguments give the same bytes.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

SIDE = 16
"""Pixels of a side."""

Shape = Callable[[int, int, int], bool]
"""Whether the pixel ``x``, ``y``, counted from the centre, belongs to a shape of that size."""

SHAPES: dict[str, Shape] = {
    "circle": lambda x, y, size: x * x + y * y <= size * size,
    "cross": lambda x, y, size: min(abs(x), abs(y)) <= 1 and max(abs(x), abs(y)) <= size,
    "square": lambda x, y, size: max(abs(x), abs(y)) <= size,
}


def write(folder: Path, images: int) -> dict[str, int]:
    """Write ``images`` of each shape into ``folder/<shape>``; images by shape."""
    chance = random.Random(1)  # noqa: S311 - the same images every time
    for name, shape in SHAPES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (folder / name / f"{number:03d}.png").write_bytes(_png(_pixels(shape, chance)))
    return dict.fromkeys(SHAPES, images)


def _pixels(shape: Shape, chance: random.Random) -> list[bytes]:
    size, left, top = chance.randint(3, 5), chance.randint(5, 10), chance.randint(5, 10)
    return [
        bytes(
            chance.randint(150, 255) if shape(x - left, y - top, size) else chance.randint(0, 90) for x in range(SIDE)
        )
        for y in range(SIDE)
    ]


def _png(lines: list[bytes]) -> bytes:
    """A greyscale image of 8 bits (PNG, third edition, sections 5 and 11)."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
