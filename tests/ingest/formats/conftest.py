"""The tests of formats read files as the other tests of reading do."""

from __future__ import annotations

from tests.ingest.reading import read_files

__all__ = ["read_files"]
