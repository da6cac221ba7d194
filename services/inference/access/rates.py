"""Token buckets: how often each key may ask at this gateway. Lives on the event loop, in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from tidemill.contracts import Rate


@dataclass(slots=True)
class _Bucket:
    rate: Rate
    tokens: float
    filled_at: float


class Rates:
    """A bucket for everybody who has a rate."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, who: str, rate: Rate) -> int | None:
        """Take a token for ``who``: None when there was one, else the whole seconds until there is one again."""
        now = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[who] = _Bucket(rate, float(rate.requests), now)
        refill = rate.requests / rate.seconds
        bucket.tokens = min(float(rate.requests), bucket.tokens + (now - bucket.filled_at) * refill)
        bucket.filled_at = now
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return None
        return max(1, math.ceil((1.0 - bucket.tokens) / refill))
