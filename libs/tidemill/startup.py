"""Imported first by a service's ``__main__``, for what has to be settled before other imports. Acts when imported.

nats-py imports aiohttp wherever it is installed, for WebSockets alone, and a fifth of a service's start goes there. No
service connects that way. Never import this in a process that is not a service's own.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("aiohttp", None)  # type: ignore[arg-type]
