"""Secrets in files: a variable ``X`` holds a secret itself, or ``X_FILE`` names the file that does.

A file is read by its owner; a variable is read by whoever may look at the process or at the container's description.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tidemill.errors import InvalidInput

SUFFIX = "_FILE"
"""What the variable of a file has behind the one of its secret."""


def secret(variable: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The secret that ``variable`` holds, or that the file holds which ``<variable>_FILE`` names; None without either.

    Raises:
        InvalidInput: both are set, or the file cannot be read or is empty; names variable and file, never the content.
    """
    environment = os.environ if environment is None else environment
    value, named = environment.get(variable), environment.get(variable + SUFFIX)
    if not named:
        return value
    if value:
        raise InvalidInput(f"{variable} and {variable}{SUFFIX} are both set; remove one of them")
    try:
        text = Path(named).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InvalidInput(f"{variable}{SUFFIX}: the file {named} cannot be read: {why}") from None
    text = text.rstrip("\r\n")
    if not text:
        raise InvalidInput(f"{variable}{SUFFIX}: the file {named} is empty; write the secret into it")
    return text
