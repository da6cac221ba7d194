"""The invented samples: the same every time, as dirty as they say, and readable."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

from PIL import Image

from tidemill.cli import dirty_customers, shapes


def test_the_same_customers_come_every_time_and_others_for_another_seed() -> None:
    assert dirty_customers.text(600, 1) == dirty_customers.text(600, 1)
    assert dirty_customers.text(600, 1) != dirty_customers.text(600, 2)


def test_the_customers_are_as_dirty_as_they_are_said_to_be() -> None:
    header, *rows = csv.reader(io.StringIO(dirty_customers.text(600, 1)))
    assert (header, len(rows)) == (dirty_customers.HEADER, 600)
    whole = [row for row in rows if len(row) == len(header)]
    assert 0 < len(rows) - len(whole) < 10
    assert all(row[1].startswith(" ") for row in whole)
    assert any(row[3] == " ?" for row in whole)
    assert any(row[3] == " 230" for row in whole)
    assert sum(count - 1 for count in Counter(map(tuple, whole)).values()) > 10
    assert any("<p>" in row[7] for row in whole)
    assert any("4111 1111 1111 1111" in row[7] for row in whole)
    assert all("@example.com" in row[2] or row[2] == " ?" for row in whole)


def test_shapes_are_images_in_a_folder_for_each(tmp_path: Path) -> None:
    assert shapes.write(tmp_path / "a", 3) == {"circle": 3, "cross": 3, "square": 3}
    shapes.write(tmp_path / "b", 3)
    for path in (tmp_path / "a").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
        with Image.open(path) as image:
            image.load()
            assert (image.size, image.mode) == ((16, 16), "L")
