"""A pickle that shows when somebody loads it: it makes a folder."""

from __future__ import annotations

import os
import pickle
from pathlib import Path


class Canary:
    """Pickles as a call that makes the folder ``cage``."""

    def __init__(self, cage: Path) -> None:
        self._cage = cage

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._cage),)

    @property
    def sang(self) -> bool:
        """Whether somebody has loaded it."""
        return self._cage.exists()

    def pickled(self, protocol: int = 4) -> bytes:
        return pickle.dumps(self, protocol=protocol)
