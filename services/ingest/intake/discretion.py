"""What messages and reports leave out where the recipe protects personal data: values as they stood in the files."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""(\bcolumn )?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""What a message quotes: values, unless the word before says that it is a column's name."""


def without_values(message: str) -> str:
    """``message`` with an ellipsis for each value that it quotes; names of columns stay."""
    return _QUOTED.sub(lambda quoted: quoted[0] if quoted[1] else "'…'", message)
