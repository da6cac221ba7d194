"""What the tests of media folders share: making small files, and reading a folder with its bad rows."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from services.ingest.media import detect_media, open_media
from services.ingest.tables import Limits
from tidemill.contracts.data import Data, FormatName


@dataclass
class Bad:
    """Every bad row, as it was told."""

    found: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        content.encode("utf-8")
        self.found.append((path.name, row, reason))

    @property
    def reasons(self) -> list[str]:
        return [reason for _, _, reason in self.found]


@dataclass(frozen=True)
class Opened:
    rows: Mapping[str, list[dict[str, Any]]]
    columns: list[str]
    bad: Bad

    @property
    def all(self) -> list[dict[str, Any]]:
        return [row for rows in self.rows.values() for row in rows]


OpenFolder = Callable[..., Opened]


def image(format: str = "JPEG", size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def sound(format: str = "WAV", samples: int = 4000, rate: int = 8000) -> bytes:
    wave = 0.5 * np.sin(np.arange(samples, dtype=np.float32) / 9)
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format)
    return file.getvalue()


def voc(*objects: tuple[str, tuple[Any, Any, Any, Any]], size: tuple[int, int] = (40, 30), head: str = "") -> bytes:
    boxes = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
        f"<xmax>{right}</xmax><ymax>{lower}</ymax></bndbox></object>"
        for name, (x, y, right, lower) in objects
    )
    width, height = size
    return (
        f"{head}<annotation><size><width>{width}</width><height>{height}</height></size>{boxes}</annotation>"
    ).encode()


def coco(images: list[Any], annotations: list[Any], categories: list[Any] | None = None) -> bytes:
    kinds = [{"id": 1, "name": "cat"}, {"id": 2, "name": "狗"}] if categories is None else categories
    return json.dumps({"info": {"x": [1]}, "images": images, "annotations": annotations, "categories": kinds}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """A folder with files given as bytes by path."""

    def make(files: Mapping[str, bytes]) -> Path:
        top = tmp_path / "dataset"
        top.mkdir(exist_ok=True)
        for path, content in files.items():
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_bytes(content)
        return top

    return make


@pytest.fixture
def read() -> OpenFolder:
    """The rows of a folder by part; the format is detected when it is not given."""

    def run(top: Path, format: FormatName | None = None, **data: Any) -> Opened:
        found = format or detect_media(top)
        assert found is not None
        bad = Bad()
        tables = open_media(top, found, Data(**data), Limits(1_000_000))
        rows: dict[str, list[dict[str, Any]]] = {}
        columns: list[str] = []
        for part, several in tables.items():
            for table in several:
                batches = [batch.rows for batch in table.batches(bad)]
                rows.setdefault(part, []).extend(row for batch in batches for row in batch.to_pylist())
                assert all(batch.schema.names == table.columns for batch in batches)
                assert table.writing.format == found
                columns = table.columns
        return Opened(rows, columns, bad)

    return run
