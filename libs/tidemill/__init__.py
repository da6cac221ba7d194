"""Tidemill: publish a dataset event, get a served model.

>>> import tidemill
>>> run = tidemill.connect().publish("reviews.csv", name="reviews")
>>> run.wait().metrics["accuracy"]

Importing this package loads nothing else; what is named here is loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.client import Platform, Run, connect
    from tidemill.errors import TidemillError

__all__ = ["Platform", "Run", "TidemillError", "connect"]

_HOME = {
    "Platform": "tidemill.client",
    "Run": "tidemill.client",
    "connect": "tidemill.client",
    "TidemillError": "tidemill.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
