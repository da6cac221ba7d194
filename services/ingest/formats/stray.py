"""Whether the lines that a stray quote joined to a row are rows by themselves."""

from __future__ import annotations

import io
from collections.abc import Sequence

from services.ingest.formats.dialect import Dialect
from services.ingest.formats.plainness import check_plain


def is_plain_tail(lines: Sequence[str], dialect: Dialect, width: int, max_cell: int) -> bool:
    """Whether each of ``lines`` is a whole, well-formed row of ``width`` fields, so that it belongs to no other."""
    if width < 2:
        return False
    text = "".join(lines).encode("utf-8", errors="surrogatepass")
    plain = check_plain(io.BytesIO(text), dialect, width, max_cell=max_cell)
    return plain is not None and not plain.joined
