"""Canonical JSON: the same content is always the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, document: Any, *, sort_keys: bool = False) -> None:
    """Write ``document`` to ``path``: UTF-8, no white space, one line.

    The keys of a mapping keep their order, which may say something, unless they are to be sorted.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=sort_keys)
    path.write_text(text + "\n", encoding="utf-8")
