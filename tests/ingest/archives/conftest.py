"""What the tests of archives share: unpacking files given as bytes, and a look at all that is there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from services.ingest.archives import UnpackLimits, unpack
from tidemill.jobs.report import ProgressReport, SilentReport

Unpack = Callable[..., dict[str, bytes]]


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpack:
    """Unpack a source; gives the dataset's files by relative path. Nothing may lie outside ``into`` afterwards."""

    def run(
        files: Mapping[str, bytes], limits: UnpackLimits | None = None, report: ProgressReport | None = None
    ) -> dict[str, bytes]:
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        source, into = root / "source", root / "deep" / "into"
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        into.parent.mkdir()
        try:
            folder = unpack(source, into, limits or UnpackLimits(), report or SilentReport())
        finally:
            assert {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_relative_to(into)} == {
                "deep", "source", *(f"source/{name}" for name in files),
                *(f"source/{parent}" for name in files for parent in map(str, Path(name).parents) if parent != "."),
            }  # fmt: skip
            assert not any(path.is_symlink() for path in root.rglob("*"))
        assert folder in (source, into) or folder.parent == into
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return run
