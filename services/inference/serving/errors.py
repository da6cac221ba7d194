"""Why a model does not answer now. Both are worth another try."""

from __future__ import annotations

from tidemill.errors import TransientError


class Overloaded(TransientError):
    """The queue is full; the client may come again soon."""


class NotReady(TransientError):
    """The model is known but not loaded yet, or the gateway is leaving."""
